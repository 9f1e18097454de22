package gossip

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// dialTimeout bounds a dial: a host that is there answers sooner, and joining waits for the others.
const dialTimeout = 2 * time.Second

// transport carries memberlist's packets and streams over a Network. Unlike memberlist's own it
// runs on any network, counts, and ends all streams when it is shut down.
type transport struct {
	network  Network
	metrics  *metrics
	self     netip.AddrPort
	listener net.Listener
	packets  net.PacketConn

	ctx      context.Context // Ends when it is shut down.
	cancel   context.CancelFunc
	packetCh chan *memberlist.Packet
	streamCh chan net.Conn
	readers  sync.WaitGroup

	mu struct {
		sync.Mutex
		streams map[*stream]struct{}
	}
}

// stream is a connection that is counted, and closed with the transport.
type stream struct {
	net.Conn
	t *transport
}

func newTransport(ctx context.Context, o *Options, m *metrics) (*transport, error) {
	t := &transport{
		network: o.Network, metrics: m,
		packetCh: make(chan *memberlist.Packet), streamCh: make(chan net.Conn),
	}
	t.mu.streams = map[*stream]struct{}{}
	var err error
	if t.listener, t.packets, err = listenBoth(ctx, o.Network, o.Listen); err != nil {
		return nil, err
	}
	if t.self, err = o.advertised(ctx, t.listener.Addr()); err != nil {
		t.listener.Close()
		_ = t.packets.Close() // Nothing was sent.
		return nil, err
	}
	// It ends with Shutdown, so that a node whose context has ended can still say that it leaves.
	t.ctx, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.readers.Go(t.accept)
	t.readers.Go(t.receive)
	return t, nil
}

// accept hands on streams until the transport is shut down.
func (t *transport) accept() {
	for t.ctx.Err() == nil {
		c, err := t.listener.Accept()
		if err != nil {
			t.pause()
			continue
		}
		select {
		case t.streamCh <- t.track(c):
		case <-t.ctx.Done():
			c.Close()
		}
	}
}

// receive hands on packets until the transport is shut down.
func (t *transport) receive() {
	buf := make([]byte, 64<<10)
	for t.ctx.Err() == nil {
		n, from, err := t.packets.ReadFrom(buf)
		if err != nil {
			t.pause()
			continue
		}
		t.metrics.packets.in(n)
		if n == 0 {
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}
		select {
		case t.packetCh <- p:
		case <-t.ctx.Done():
		}
	}
}

// pause keeps an error that lasts, such as too many open files, from taking all the CPU.
func (t *transport) pause() {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-t.ctx.Done():
	}
}

// track makes a stream of a connection; one that comes too late is closed.
func (t *transport) track(c net.Conn) net.Conn {
	s := &stream{c, t}
	t.metrics.streams.Inc()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		c.Close()
	}
	t.mu.streams[s] = struct{}{}
	return s
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.t.metrics.streamBytes.in(n)
	return n, err
}

func (s *stream) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	s.t.metrics.streamBytes.out(n)
	return n, err
}

func (s *stream) Close() error {
	s.t.mu.Lock()
	delete(s.t.mu.streams, s)
	s.t.mu.Unlock()
	return s.Conn.Close()
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.self.Addr().AsSlice(), int(t.self.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	t.metrics.packets.out(len(b))
	_, err = t.packets.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *transport) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, addr.Addr)
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, min(timeout, dialTimeout))
	defer cancel()
	c, err := t.network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return t.track(c), nil
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(addr.Addr, timeout)
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packetCh }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streamCh }

// Shutdown implements memberlist.Transport. It ends all streams and returns when nothing is handed
// on any more.
func (t *transport) Shutdown() error {
	t.mu.Lock()
	t.cancel()
	for s := range t.mu.streams {
		s.Conn.Close()
	}
	t.mu.Unlock()
	t.listener.Close()
	_ = t.packets.Close() // What was sent is on its way.
	t.readers.Wait()
	return nil
}
