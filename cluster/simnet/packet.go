package simnet

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// packetConn is a net.PacketConn. The network's lock guards it.
type packetConn struct {
	host   *Host
	port   uint16
	queue  []packet // By arrival.
	closed error
	ready  sync.Cond // For whoever reads.

	readBy, writeBy time.Time
}

type packet struct {
	at   time.Time
	from *net.UDPAddr
	data []byte
}

// WriteTo implements net.PacketConn. The address may also be a name, as that of another net.Addr.
func (c *packetConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for c.closed == nil && c.host.paused {
		n.waitLocked(&n.changed, time.Time{})
	}
	switch {
	case c.closed != nil:
		return 0, c.opError("write", c.closed)
	case passed(c.writeBy, time.Now()):
		return 0, c.opError("write", os.ErrDeadlineExceeded)
	case len(p) > maxPacket:
		return 0, c.opError("write", syscall.EMSGSIZE)
	}
	name, port, err := n.resolveLocked(addr.String())
	if err != nil {
		return 0, c.opError("write", err)
	}
	c.host.traffic.Packets++
	c.host.traffic.PacketBytes += uint64(len(p))
	l := n.linkLocked(c.host.name, name)
	lost, at := l.rng.Float64() < l.loss, time.Now().Add(l.delay())
	if peer := n.mu.hosts[name]; peer != nil && !lost && !l.cut {
		if to := peer.sockets[port]; to != nil {
			to.receiveLocked(packet{at, c.udpAddr(), slices.Clone(p)})
		}
	}
	return len(p), nil
}

// receiveLocked takes a packet that is under way. Packets may overtake each other.
func (c *packetConn) receiveLocked(p packet) {
	if len(c.queue) >= packetQueue {
		return
	}
	i := len(c.queue)
	for i > 0 && c.queue[i-1].at.After(p.at) {
		i--
	}
	c.queue = slices.Insert(c.queue, i, p)
	c.ready.Broadcast()
}

// ReadFrom implements net.PacketConn. What does not fit is cut off.
func (c *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		now, until := time.Now(), c.readBy
		if len(c.queue) > 0 {
			until = earliest(until, c.queue[0].at)
		}
		switch {
		case c.closed != nil:
			return 0, nil, c.opError("read", c.closed)
		case c.host.paused:
			until = time.Time{}
		case passed(c.readBy, now):
			return 0, nil, c.opError("read", os.ErrDeadlineExceeded)
		case len(c.queue) > 0 && !c.queue[0].at.After(now):
			first := c.queue[0]
			c.queue = c.queue[1:]
			return copy(p, first.data), first.from, nil
		}
		n.waitLocked(&c.ready, until)
	}
}

// Close implements net.PacketConn.
func (c *packetConn) Close() error {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed != nil {
		return c.opError("close", c.closed)
	}
	c.closeLocked(net.ErrClosed)
	n.changed.Broadcast() // Writers of a paused host wait there.
	return nil
}

func (c *packetConn) closeLocked(why error) {
	c.closed, c.queue = why, nil
	c.ready.Broadcast()
	delete(c.host.sockets, c.port)
}

func (c *packetConn) udpAddr() *net.UDPAddr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.host.ip, c.port))
}

func (c *packetConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.udpAddr(), Err: err}
}

// LocalAddr implements net.PacketConn.
func (c *packetConn) LocalAddr() net.Addr { return c.udpAddr() }

// SetDeadline implements net.PacketConn.
func (c *packetConn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline implements net.PacketConn.
func (c *packetConn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline implements net.PacketConn.
func (c *packetConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *packetConn) setDeadlines(read, write *time.Time) error {
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
	c.ready.Broadcast()
	return nil
}
