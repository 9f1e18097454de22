package rpc

import (
	"context"
	"net"
	"sync"
)

// rawBacklog is how many raw connections wait to be accepted.
const rawBacklog = 16

// rawListener hands over the raw connections of a kind.
type rawListener struct {
	t      *Transport
	conns  chan *conn
	closed chan struct{}
	once   sync.Once
}

// Raw returns the two ends of connections of a kind that are handed over as they are, for what
// speaks a protocol of its own. The listener is closed when Run ends, and so are all connections.
func (t *Transport) Raw(kind string) (listener net.Listener, dial func(context.Context, Peer) (net.Conn, error)) {
	t.checkName(kind, t.kinds[kind] != nil)
	l := &rawListener{t: t, conns: make(chan *conn, rawBacklog), closed: make(chan struct{})}
	t.kinds[kind] = l
	return l, func(ctx context.Context, to Peer) (net.Conn, error) {
		return t.pool.raw(ctx, to, kind)
	}
}

// give hands a connection over.
func (l *rawListener) give(c *conn) {
	select {
	case l.conns <- c:
		l.t.metrics.raws[accepting].Inc()
	default:
		l.t.metrics.limits[limitRaw].Inc()
		_ = c.Close()
	}
}

// drop closes what nobody has accepted.
func (l *rawListener) drop() {
	for {
		select {
		case c := <-l.conns:
			_ = c.Close()
		default:
			return
		}
	}
}

func (l *rawListener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Accept implements net.Listener.
func (l *rawListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *rawListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *rawListener) Addr() net.Addr { return listenAddr(l.t.opts.Listen) }

// listenAddr is an address as it was given.
type listenAddr string

func (listenAddr) Network() string  { return "tcp" }
func (a listenAddr) String() string { return string(a) }
