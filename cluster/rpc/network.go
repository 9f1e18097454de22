package rpc

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Network connects nodes. Connections honour deadlines.
type Network interface {
	Listen(ctx context.Context, addr string) (net.Listener, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// TCP is the network of the machine.
type TCP struct{}

// Listen listens at an address, which may lack the host.
func (TCP) Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
}

// Dial connects to host and port. The host may have several addresses: the first that answers is
// taken.
func (TCP) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// conn is a connection whose bytes are counted, as they are under TLS.
type conn struct {
	net.Conn          // what is spoken over
	raw      net.Conn // what is closed: TLS would wait for the peer to take its goodbye

	reads          atomic.Uint64 // how often something has come
	received, sent prometheus.Counter
	closed         atomic.Bool
	onClose        func() // may be nil
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.reads.Add(1)
		c.received.Add(float64(n))
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(float64(n))
	return n, err
}

func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	err := c.raw.Close()
	if c.onClose != nil {
		c.onClose()
	}
	return err
}

func (t *Transport) newConn(raw net.Conn) *conn {
	return &conn{Conn: raw, raw: raw, received: t.metrics.received, sent: t.metrics.sent}
}

// within runs f, which reads and writes, until ctx ends or the time is over.
func (c *conn) within(ctx context.Context, timeout time.Duration, f func() error) error {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	err := f()
	if !stop() {
		err = ctx.Err()
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	return err
}
