package rpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster/placement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func id(n byte) placement.NodeID { return placement.NodeID{15: n} }

func identity(n byte) Identity {
	return Identity{Cluster: "prod", Name: string('a' + rune(n) - 1), Region: "here", Software: "1.0", Node: id(n)}
}

// node is a Transport that runs.
type node struct {
	*Transport
	t     testing.TB
	peer  Peer
	stop  context.CancelFunc
	ended chan error
}

// handlers are what all nodes of these tests serve.
func handlers(t *Transport) {
	t.Handle(Method{Name: "echo"}, Unary(func(_ context.Context, _ Identity, req []byte) ([]byte, error) {
		return req, nil
	}))
	t.Handle(Method{Name: "who"}, Unary(func(_ context.Context, from Identity, _ []byte) ([]byte, error) {
		return []byte(from.String()), nil
	}))
	t.Handle(Method{Name: "mirror", Class: Bulk, MaxMessage: 4 << 20}, mirror)
	t.Handle(Method{Name: "fail"}, func(context.Context, Identity, Stream) error {
		return &Error{StaleEpoch, "epoch 7 is old"}
	})
	t.Handle(Method{Name: "panic"}, func(context.Context, Identity, Stream) error { panic("oh") })
}

// mirror sends back what it receives.
func mirror(_ context.Context, _ Identity, s Stream) error {
	var buf []byte
	for {
		var err error
		if buf, err = s.Recv(buf); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.Send(buf); err != nil {
			return err
		}
	}
}

// start runs a node, which ends with the test.
func start(t testing.TB, n byte, with ...func(*Transport)) *node {
	return startOpts(t, Options{Identity: identity(n)}, with...)
}

func startOpts(t testing.TB, opts Options, with ...func(*Transport)) *node {
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	opts.Registerer = prometheus.NewRegistry()
	tr, err := New(opts)
	require.NoError(t, err)
	handlers(tr)
	for _, f := range with {
		f(tr)
	}
	ctx, stop := context.WithCancel(context.Background())
	nd := &node{Transport: tr, t: t, stop: stop, ended: make(chan error, 1)}
	go func() { nd.ended <- tr.Run(ctx) }()
	addr, err := tr.Addr(ctx)
	require.NoError(t, err)
	nd.peer = Peer{ID: opts.Identity.Node, Addr: addr.String()}
	t.Cleanup(func() { nd.end() })
	return nd
}

// end stops the node and waits until it has ended.
func (n *node) end() {
	n.stop()
	if err, ok := <-n.ended; ok {
		assert.NoError(n.t, err)
		close(n.ended)
	}
}

// value reads a metric.
func value(c prometheus.Collector) int { return int(testutil.ToFloat64(c)) }

// limitedTo is a context that fails the test rather than hang it.
func limitedTo(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func soon(t testing.TB) context.Context { return limitedTo(t, time.Minute) }

func eventually(t testing.TB, f func() bool) {
	t.Helper()
	require.Eventually(t, f, 30*time.Second, time.Millisecond)
}
