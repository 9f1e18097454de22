package simnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// Host is one place in the network, until it is killed.
type Host struct {
	net  *Network
	name string
	ip   netip.Addr

	// The network's lock guards what follows.
	killed    error // ErrKilled once it is.
	paused    bool
	listeners map[uint16]*listener
	sockets   map[uint16]*packetConn
	lastPort  uint16
	traffic   Traffic
}

// Traffic is what a host has sent: payloads, without the headers that a real network adds.
type Traffic struct {
	Packets, PacketBytes uint64 // Also those lost on the way.
	Dials, StreamBytes   uint64
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// IP returns the host's address.
func (h *Host) IP() netip.Addr { return h.ip }

// Sent returns what the host has sent so far.
func (h *Host) Sent() Traffic {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.traffic
}

// Listen takes connections at HOST:PORT, where an empty host is this one and port 0 any free one.
func (h *Host) Listen(ctx context.Context, addr string) (net.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	port, err := h.portLocked(addr, func(p uint16) bool { return h.listeners[p] != nil })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	l := &listener{host: h, port: port}
	h.listeners[port] = l
	return l, nil
}

// ListenPacket takes packets at HOST:PORT, where an empty host is this one and port 0 any free one.
func (h *Host) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	port, err := h.portLocked(addr, func(p uint16) bool { return h.sockets[p] != nil })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Err: err}
	}
	p := &packetConn{host: h, port: port}
	p.ready.L = &h.net.mu.Mutex
	h.sockets[port] = p
	return p, nil
}

// portLocked returns the port of an address to listen at.
func (h *Host) portLocked(addr string, used func(uint16) bool) (uint16, error) {
	if h.killed != nil {
		return 0, h.killed
	}
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	if ip, err := netip.ParseAddr(host); host != "" && host != h.name && (err != nil || !ip.IsUnspecified() && ip != h.ip) {
		return 0, fmt.Errorf("%q: %w", addr, syscall.EADDRNOTAVAIL)
	}
	number, err := strconv.ParseUint(p, 10, 16)
	port := uint16(number)
	switch {
	case err != nil:
		return 0, fmt.Errorf("port of %q: %w", addr, err)
	case port == 0:
		return h.freePortLocked(used)
	case used(port):
		return 0, syscall.EADDRINUSE
	}
	return port, nil
}

// freePortLocked finds one in the range from which systems give them, in turn.
func (h *Host) freePortLocked(used func(uint16) bool) (uint16, error) {
	const first, ports = 32768, 28232
	for range ports {
		h.lastPort = (h.lastPort + 1) % ports
		if port := first + h.lastPort; !used(port) {
			return port, nil
		}
	}
	return 0, syscall.EADDRINUSE
}

// Dial connects to HOST:PORT. It hangs while the way there or back is cut, until ctx ends.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	n := h.net
	defer context.AfterFunc(ctx, n.wake)()
	n.mu.Lock()
	defer n.mu.Unlock()
	h.traffic.Dials++
	c, err := h.dialLocked(ctx, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s: %w", addr, err)}
	}
	return c, nil
}

func (h *Host) dialLocked(ctx context.Context, addr string) (*conn, error) {
	n := h.net
	name, port, err := n.resolveLocked(addr)
	if err != nil {
		return nil, err
	}
	there, back := n.linkLocked(h.name, name), n.linkLocked(name, h.name)
	for due := (time.Time{}); ; n.waitLocked(&n.changed, due) {
		switch now := time.Now(); {
		case h.killed != nil:
			return nil, h.killed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case h.paused || there.cut || back.cut:
			due = time.Time{} // A lost handshake begins anew.
			continue
		case due.IsZero():
			due = now.Add(there.delay() + back.delay())
		}
		if time.Now().Before(due) {
			continue
		}
		peer := n.mu.hosts[name]
		if peer == nil { // An address without a host: nobody there to refuse.
			due = time.Time{}
			continue
		}
		l := peer.listeners[port]
		if l == nil {
			return nil, syscall.ECONNREFUSED
		}
		if len(l.pending) < backlog {
			return l.connectLocked(h, there, back)
		}
		due = time.Time{} // Until somebody accepts.
	}
}

// tcpAddr is the host's address with a port.
func (h *Host) tcpAddr(port uint16) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(h.ip, port))
}
