package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/cluster"
)

// listen takes all addresses or none; a network of nil is the machine's.
func listen(network cluster.Network, addresses []string) ([]net.Listener, error) {
	take := (&net.ListenConfig{}).Listen
	if network != nil {
		take = func(ctx context.Context, _, addr string) (net.Listener, error) { return network.Listen(ctx, addr) }
	}
	var ls []net.Listener
	for _, a := range addresses {
		l, err := take(context.Background(), "tcp", a)
		if err != nil {
			for _, l := range ls {
				l.Close()
			}
			if errors.Is(err, syscall.EADDRINUSE) {
				return nil, fmt.Errorf("--web.listen-address=%s is in use by another process", a)
			}
			return nil, fmt.Errorf("--web.listen-address=%s: %w", a, err)
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// connLimit counts the open connections of all listeners and closes those above its bound at once:
// a client that is turned away knows it immediately, while one left waiting in the kernel's queue
// would not.
type connLimit struct {
	open, refused prometheus.Counter
	connections   prometheus.Gauge

	slots chan struct{} // Holds one token for each open connection.
}

func newConnLimit(limit int, m *metrics) *connLimit {
	m.connectionsMax.Set(float64(limit))
	return &connLimit{
		open: m.connectionsOpened, refused: m.connectionsRefused, connections: m.connections,
		slots: make(chan struct{}, limit),
	}
}

// limitedListener is a listener whose connections count.
type limitedListener struct {
	net.Listener
	limit *connLimit
}

// Accept waits for a connection that has a slot.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.limit.slots <- struct{}{}:
			l.limit.open.Inc()
			l.limit.connections.Inc()
			return &limitedConn{Conn: c, limit: l.limit}, nil
		default:
			l.limit.refused.Inc()
			c.Close()
		}
	}
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn
	limit *connLimit
	once  sync.Once
}

// Close closes the connection.
func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		<-c.limit.slots
		c.limit.connections.Dec()
	})
	return err
}

// maxConnections is the configured bound, lowered so that connections leave half of the process'
// files to the storage.
func maxConnections(configured int, files uint64) int {
	if files > 0 && uint64(configured) > files/2 {
		return max(1, int(files/2))
	}
	return configured
}
