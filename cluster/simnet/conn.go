package simnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// pipe is one direction of a connection. The network's lock guards it.
type pipe struct {
	link    *link
	arrived bytes.Buffer // To be read.
	end     error        // After what has arrived: io.EOF or a reset.
	flight  []segment    // Under way, in the order of arrival.
	unread  int          // Bytes arrived and under way.

	data, space sync.Cond // For whoever reads; for whoever writes.
}

// segment is what one call sent, or the end.
type segment struct {
	at   time.Time
	data []byte
	end  error
}

func newPipe(n *Network, l *link) *pipe {
	p := &pipe{link: l}
	p.data.L, p.space.L = &n.mu.Mutex, &n.mu.Mutex
	return p
}

// send puts a segment under way. The data are copied.
func (p *pipe) send(now time.Time, data []byte, end error) {
	at := now.Add(p.link.delay())
	if last := len(p.flight) - 1; last >= 0 && at.Before(p.flight[last].at) {
		at = p.flight[last].at
	}
	p.unread += len(data)
	if len(p.flight) == 0 && !p.link.cut && !at.After(now) {
		p.arrived.Write(data)
		p.end = end
	} else {
		p.flight = append(p.flight, segment{at, slices.Clone(data), end})
	}
	p.data.Broadcast()
}

// settle takes in what has arrived by now.
func (p *pipe) settle(now time.Time) {
	if p.link.cut {
		return
	}
	for len(p.flight) > 0 && !p.flight[0].at.After(now) {
		p.arrived.Write(p.flight[0].data)
		p.end = p.flight[0].end
		p.flight = p.flight[1:]
	}
}

// next is when something arrives; zero if nothing does.
func (p *pipe) next() time.Time {
	if p.link.cut || len(p.flight) == 0 {
		return time.Time{}
	}
	return p.flight[0].at
}

// conn is one end of a connection, a net.Conn. The network's lock guards it.
type conn struct {
	host          *Host
	local, remote *net.TCPAddr
	in, out       *pipe

	closed          error
	readBy, writeBy time.Time
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		now := time.Now()
		c.in.settle(now)
		until := earliest(c.readBy, c.in.next())
		switch {
		case c.closed != nil:
			return 0, c.opError("read", c.closed)
		case c.host.paused:
			until = time.Time{}
		case passed(c.readBy, now):
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case c.in.arrived.Len() > 0:
			k, _ := c.in.arrived.Read(p)
			c.in.unread -= k
			c.in.space.Broadcast()
			return k, nil
		case errors.Is(c.in.end, io.EOF):
			return 0, io.EOF
		case c.in.end != nil:
			return 0, c.opError("read", c.in.end)
		}
		n.waitLocked(&c.in.data, until)
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (sent int, err error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		now := time.Now()
		c.in.settle(now)
		until := earliest(c.writeBy, c.in.next()) // What arrives may be the other's end.
		room := streamBuffer - c.out.unread
		switch {
		case c.closed != nil:
			return sent, c.opError("write", c.closed)
		case c.host.paused:
			until = time.Time{}
		case passed(c.writeBy, now):
			return sent, c.opError("write", os.ErrDeadlineExceeded)
		case errors.Is(c.in.end, io.EOF):
			return sent, c.opError("write", syscall.EPIPE)
		case c.in.end != nil:
			return sent, c.opError("write", c.in.end)
		case sent == len(p):
			return sent, nil
		case room > 0:
			part := p[sent:min(sent+room, len(p))]
			c.out.send(now, part, nil)
			c.host.traffic.StreamBytes += uint64(len(part))
			if sent += len(part); sent == len(p) {
				return sent, nil
			}
			continue
		}
		n.waitLocked(&c.out.space, until)
	}
}

// Close implements net.Conn. What was written is still delivered.
func (c *conn) Close() error {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed != nil {
		return c.opError("close", c.closed)
	}
	c.closeLocked(net.ErrClosed)
	return nil
}

// closeLocked ends this end of the connection; the other sees it once it has read the rest.
func (c *conn) closeLocked(why error) {
	if c.closed != nil {
		return
	}
	c.closed = why
	end := io.EOF
	if errors.Is(why, ErrKilled) {
		end = syscall.ECONNRESET
	}
	c.out.send(time.Now(), nil, end)
	c.out.space.Broadcast() // Its own writers.
	c.in.data.Broadcast()   // Its own readers.
	c.in.space.Broadcast()  // The other's writers, which are to see the end.
	delete(c.host.net.mu.conns, c)
}

// wakeLocked makes all who wait on this end look again.
func (c *conn) wakeLocked() {
	c.in.data.Broadcast()
	c.out.space.Broadcast()
}

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *conn) setDeadlines(read, write *time.Time) error {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed != nil {
		return c.opError("set", c.closed)
	}
	if read != nil {
		c.readBy = *read
	}
	if write != nil {
		c.writeBy = *write
	}
	c.wakeLocked()
	return nil
}
