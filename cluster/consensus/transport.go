package consensus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// layer is how Raft reaches other nodes. All it knows of them are their IDs, which stand where it
// has addresses; so an address that changes changes nothing for it.
type layer struct {
	net.Listener
	self  raft.ServerID
	dial  func(context.Context, raft.ServerID) (net.Conn, error)
	limit int64 // see conn

	ctx    context.Context // ends dials
	cancel context.CancelFunc
	served sync.WaitGroup // connections that Raft has taken and not closed
	mu     struct {
		sync.Mutex
		stopped bool
		stalled bool // the log waits for room
		silent  bool // and has done so for long
		conns   map[*conn]struct{}
	}
}

// idAddr is the ID of a server in place of its address.
type idAddr string

func (idAddr) Network() string  { return "barograph" }
func (a idAddr) String() string { return string(a) }

func newLayer(o *Options, dial func(context.Context, raft.ServerID) (net.Conn, error)) *layer {
	l := &layer{
		Listener: o.Listener,
		self:     serverID(o.ID),
		dial:     dial,
		limit:    int64(o.MaxSnapshotBytes) + 3*maxAppendEntries*int64(o.MaxCommandBytes+1024),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.mu.conns = map[*conn]struct{}{}
	return l
}

// ServerAddr implements raft.ServerAddressProvider.
func (l *layer) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	return raft.ServerAddress(id), nil
}

// Addr implements net.Listener.
func (l *layer) Addr() net.Addr { return idAddr(l.self) }

// Accept implements net.Listener.
func (l *layer) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c, err := l.track(c, true); !errors.Is(err, errSilent) {
			return c, err
		}
	}
}

var errSilent = errors.New("the disk of this node is full")

// Dial implements raft.StreamLayer.
func (l *layer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	c, err := l.dial(ctx, raft.ServerID(to))
	if err != nil {
		return nil, err
	}
	return l.track(c, false)
}

func (l *layer) track(c net.Conn, served bool) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.stopped {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	if l.mu.silent {
		return nil, errors.Join(errSilent, c.Close())
	}
	tracked := &conn{Conn: c, layer: l, served: served}
	l.mu.conns[tracked] = struct{}{}
	if served {
		l.served.Add(1)
	}
	return tracked, nil
}

// stop breaks all connections and lets no other begin, so that nobody waits for an answer.
func (l *layer) stop() {
	l.cancel()
	_ = l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.stopped = true
	l.breakLocked()
}

func (l *layer) breakLocked() {
	for c := range l.mu.conns {
		_ = c.Conn.Close()
	}
}

// conn bounds what comes in before something goes out, which is how requests and answers alternate:
// hashicorp/raft itself takes messages of any size.
type conn struct {
	net.Conn
	layer  *layer
	served bool
	once   sync.Once
	in     atomic.Int64
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.in.Add(int64(n)) > c.layer.limit {
		return 0, fmt.Errorf("message of another node: %w: more than %d bytes", ErrTooLarge, c.layer.limit)
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.in.Store(0)
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.layer.mu.Lock()
		delete(c.layer.mu.conns, c)
		c.layer.mu.Unlock()
		if c.served {
			c.layer.served.Done()
		}
	})
	return c.Conn.Close()
}

func (l *layer) transport(c *raft.Config) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: l,
		Logger:                c.Logger,
		Stream:                l,
		MaxPool:               2,
		Timeout:               ioTimeout,
	})
}
