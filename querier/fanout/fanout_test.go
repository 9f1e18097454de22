package fanout

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node answers with its own name, or not at all.
type node struct {
	name   string
	err    error
	asked  series.Selector
	closed bool
}

func (n *node) Select(_ context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	n.asked = sel
	return (*set)(n), n.err
}

func (n *node) LabelNames(_ context.Context, sel series.Selector) ([]string, error) {
	n.asked = sel
	return []string{"common", n.name}, n.err
}

func (n *node) LabelValues(_ context.Context, name string, sel series.Selector) ([]string, error) {
	n.asked = sel
	return []string{name + "-common", name + "-" + n.name}, n.err
}

func (n *node) Exemplars(context.Context, int64, int64, ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	return nil, nil
}
func (n *node) Metadata(context.Context) []frame.Metadata { return nil }

type set node

func (s *set) Next() bool       { return false }
func (s *set) At() chunk.Series { return chunk.Series{} }
func (s *set) Err() error       { return nil }
func (s *set) Close() error {
	s.closed = true
	return nil
}

func cluster(n int) (*Fanout, []*node, plan.View) {
	var nodes []*node
	var v plan.View
	byName := map[plan.Node]*node{}
	for i := range n {
		name := fmt.Sprintf("n%02d", i)
		shards := &series.ShardSet{Bits: 8}
		shards.Add(series.Shard(i))
		nodes = append(nodes, &node{name: name})
		byName[plan.Node(name)] = nodes[i]
		v.Nodes = append(v.Nodes, plan.Owner{Node: plan.Node(name), Shards: shards})
	}
	return &Fanout{Reach: func(name plan.Node) (leaf.Store, error) {
		if s, ok := byName[name]; ok {
			return s, nil
		}
		return nil, fmt.Errorf("no way to %s", name)
	}}, nodes, v
}

func TestFanout(t *testing.T) {
	ctx := context.Background()
	for _, n := range []int{0, 1, 2, 50} {
		f, nodes, v := cluster(n)
		p := plan.Make(plan.Query{Mint: 3, Maxt: 9}, v)
		sets, err := f.Select(ctx, p, series.Selector{Limit: 5})
		require.NoError(t, err)
		require.Len(t, sets, n)
		for i, nd := range nodes {
			require.Same(t, (*set)(nd), sets[i].(*set), "sets are in the order of the parts")
			require.Equal(t, series.Selector{Mint: 3, Maxt: 9, Limit: 5, Shards: v.Nodes[i].Shards}, nd.asked)
		}
		names, err := f.LabelNames(ctx, p, series.Selector{})
		require.NoError(t, err)
		values, err := f.LabelValues(ctx, p, "a", series.Selector{})
		require.NoError(t, err)
		if n > 0 {
			require.Len(t, names, n+1)
			require.Len(t, values, n+1)
			require.IsIncreasing(t, append([]string{""}, names...))
		}
	}
}

func TestMissingShards(t *testing.T) {
	ctx := context.Background()
	broken := errors.New("broken")
	f, nodes, v := cluster(4)
	nodes[2].err = broken
	p := plan.Make(plan.Query{Maxt: 1}, v)
	_, err := f.Select(ctx, p, series.Selector{})
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "node n02: shards 2 of 256: broken")
	for i, nd := range nodes {
		require.Equal(t, i != 2, nd.closed)
	}
	_, err = f.LabelNames(ctx, p, series.Selector{})
	require.ErrorIs(t, err, broken)

	f, nodes, v = cluster(1)
	nodes[0].err = broken
	_, err = f.LabelValues(ctx, plan.Make(plan.Query{Maxt: 1}, v), "x", series.Selector{})
	require.EqualError(t, err, "broken")

	_, err = f.Select(ctx, plan.Make(plan.Query{Maxt: 1}, plan.Single("elsewhere")), series.Selector{})
	require.EqualError(t, err, "no way to elsewhere")
}
