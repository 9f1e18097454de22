package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Network is what gossip travels on. A simnet.Host is one; the default is that of the machine.
type Network interface {
	Listen(ctx context.Context, addr string) (net.Listener, error)
	ListenPacket(ctx context.Context, addr string) (net.PacketConn, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// system is the network of the machine: TCP and UDP.
type system struct{}

func (system) Listen(ctx context.Context, addr string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
}

// ListenPacket asks for a buffer that takes a burst of a few hundred packets. A smaller one is no
// reason to fail.
func (system) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	c, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", addr)
	if u, ok := c.(*net.UDPConn); ok {
		_ = u.SetReadBuffer(1 << 20)
	}
	return c, err
}

func (system) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

// listenBoth listens for streams and packets at one port. Where it is to be any free one, a few
// are tried, since it may be free for one of them only.
func listenBoth(ctx context.Context, n Network, addr string) (l net.Listener, c net.PacketConn, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	for range 10 {
		if l, err = n.Listen(ctx, addr); err != nil {
			return nil, nil, err
		}
		_, got, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			l.Close()
			return nil, nil, err
		}
		if c, err = n.ListenPacket(ctx, net.JoinHostPort(host, got)); err == nil {
			return l, c, nil
		}
		l.Close()
		if port != "0" {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("listen at %s: no port is free for both TCP and UDP", addr)
}

// advertised returns where the others reach a node that listens at local.
func (o *Options) advertised(ctx context.Context, local net.Addr) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	if o.Advertise != "" {
		ip, err := netip.ParseAddr(o.Advertise)
		if err != nil {
			ips, err := o.Resolve(ctx, o.Advertise)
			if err == nil && len(ips) == 0 {
				err = errors.New("it has no address")
			}
			if err != nil {
				return netip.AddrPort{}, fmt.Errorf("resolve the host to advertise %q: %w", o.Advertise, err)
			}
			ip = ips[0]
		}
		return netip.AddrPortFrom(ip.Unmap(), at.Port()), nil
	}
	ip := at.Addr().Unmap()
	if ip.IsUnspecified() {
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("find an address to advertise: %w", err)
		}
		ip = preferred(addrs)
	}
	return netip.AddrPortFrom(ip, at.Port()), nil
}

// preferred chooses a machine's address: a private one, any global one, or else loopback; IPv4
// before IPv6.
func preferred(addrs []net.Addr) netip.Addr {
	rank := func(ip netip.Addr) (r int) {
		switch {
		case ip.IsPrivate():
		case ip.IsGlobalUnicast():
			r = 2
		default:
			r = 4
		}
		if !ip.Is4() {
			r++
		}
		return r
	}
	var usable []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			usable = append(usable, p.Addr().Unmap())
		}
	}
	if len(usable) == 0 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return slices.MinFunc(usable, func(a, b netip.Addr) int { return rank(a) - rank(b) })
}
