package gossip_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/gossip"
)

// Two nodes over real TCP and UDP.
func TestRealNetwork(t *testing.T) {
	var nodes []*node
	reg := prometheus.NewRegistry()
	start := func(o gossip.Options) *node {
		i := len(nodes) + 1
		o.Cluster, o.Node, o.RPCAddr, o.Listen = "real", id(i), ":11014", "127.0.0.1:0"
		o.Logger = slog.New(slog.DiscardHandler)
		p, err := gossip.New(o)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		n := &node{Pool: p, id: id(i), host: "127.0.0.1", cancel: cancel, ended: make(chan error, 1)}
		go func() { n.ended <- p.Run(ctx) }()
		nodes = append(nodes, n)
		return n
	}
	a := start(gossip.Options{Registerer: reg})
	a.await(t, 10*time.Second, func() bool { return a.count(gossip.Alive) == 1 })
	b := start(gossip.Options{Join: []string{a.Members()[0].GossipAddr}})
	for _, n := range nodes {
		n.await(t, 10*time.Second, func() bool { return n.count(gossip.Alive) == 2 })
	}
	require.NoError(t, a.Publish("k", []byte("v")))
	b.await(t, 10*time.Second, func() bool { return len(b.facts("k")) == 1 })
	require.Equal(t, "127.0.0.1:11014", b.member(id(1)).RPCAddr)

	require.NoError(t, b.Leave(t.Context()))
	a.await(t, 10*time.Second, func() bool { return a.member(id(2)).State == gossip.Left })
	for _, n := range nodes {
		n.cancel()
		require.NoError(t, <-n.ended)
	}
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}
