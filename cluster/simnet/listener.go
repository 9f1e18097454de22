package simnet

import (
	"net"
	"time"
)

// listener is a net.Listener. The network's lock guards it.
type listener struct {
	host    *Host
	port    uint16
	pending []*conn
	closed  error
}

// connectLocked puts a connection into the backlog and returns its other end.
func (l *listener) connectLocked(from *Host, there, back *link) (*conn, error) {
	n := l.host.net
	port, err := from.freePortLocked(func(uint16) bool { return false })
	if err != nil {
		return nil, err
	}
	out, in := newPipe(n, there), newPipe(n, back)
	near := &conn{host: from, local: from.tcpAddr(port), remote: l.host.tcpAddr(l.port), in: in, out: out}
	far := &conn{host: l.host, local: near.remote, remote: near.local, in: out, out: in}
	n.mu.conns[near], n.mu.conns[far] = struct{}{}, struct{}{}
	l.pending = append(l.pending, far)
	n.changed.Broadcast()
	return near, nil
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	n := l.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case l.closed != nil:
			return nil, &net.OpError{Op: "accept", Net: "tcp", Source: l.Addr(), Err: l.closed}
		case !l.host.paused && len(l.pending) > 0:
			c := l.pending[0]
			l.pending = l.pending[1:]
			n.changed.Broadcast() // There is room again.
			return c, nil
		}
		n.waitLocked(&n.changed, time.Time{})
	}
}

// Close implements net.Listener. Connections that were not accepted are reset.
func (l *listener) Close() error {
	n := l.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed != nil {
		return &net.OpError{Op: "close", Net: "tcp", Source: l.Addr(), Err: l.closed}
	}
	l.closeLocked(net.ErrClosed)
	n.changed.Broadcast()
	return nil
}

func (l *listener) closeLocked(why error) {
	if l.closed != nil {
		return
	}
	l.closed = why
	delete(l.host.listeners, l.port)
	for _, c := range l.pending {
		c.closeLocked(ErrKilled)
	}
	l.pending = nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.host.tcpAddr(l.port) }
