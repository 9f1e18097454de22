package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/series"
)

// knows makes the nodes answer as nodes do that know a placement.
func (c *cluster) knows(p *placement.Placement) {
	for i, n := range c.nodes {
		n.refuse = func(epoch uint64, shards *series.ShardSet) error {
			for s := range p.Shards {
				whole, _ := p.Replicas(series.Shard(s))
				held := slices.ContainsFunc(whole, func(r placement.Replica) bool { return r.Node == id(i) })
				if p.Epoch < epoch || shards.Contains(series.Shard(s)) && !held {
					return &leaf.Failure{Elsewhere: true, Stale: true, Epoch: p.Epoch, Text: fmt.Sprintf("epoch %d", p.Epoch)}
				}
			}
			return nil
		}
	}
}

// older is the placement before, by which every third shard was on other nodes.
func (c *cluster) older() *placement.Placement {
	old := *c.placement
	old.Epoch--
	old.Shards = slices.Clone(old.Shards)
	n := len(c.nodes)
	for s := 0; s < len(old.Shards); s += 3 {
		old.Shards[s] = nil
		for i := range c.placement.Factor {
			old.Shards[s] = append(old.Shards[s], placement.Replica{Node: id((s + n - 1 - i) % n)})
		}
		slices.SortFunc(old.Shards[s], func(a, b placement.Replica) int { return a.Node.Compare(b.Node) })
	}
	return &old
}

// ask asks everything there is to ask, by a plan, and compares it with one node.
func (c *cluster) ask(t *testing.T, p plan.Plan) {
	ctx, sel := context.Background(), series.Selector{Maxt: 1 << 40, Matchers: all}
	set, err := c.one.Select(ctx, sel)
	require.NoError(t, err)
	want := samples(t, set)
	sets, err := c.Select(ctx, p, sel)
	require.NoError(t, err)
	got := map[sample]bool{}
	for _, set := range sets {
		for _, s := range samples(t, set) {
			require.False(t, got[s], "twice")
			got[s] = true
		}
		require.NoError(t, set.Err())
		require.NoError(t, set.Close())
	}
	require.Len(t, got, len(want))
	names, err := c.LabelNames(ctx, p, sel)
	require.NoError(t, err)
	wantNames, err := c.one.LabelNames(ctx, sel)
	require.NoError(t, err)
	require.Equal(t, wantNames, names)
	values, err := c.LabelValues(ctx, p, "i", sel)
	require.NoError(t, err)
	require.Len(t, values, numSeries)
	exemplars, err := c.Exemplars(ctx, p, all)
	require.NoError(t, err)
	require.Len(t, exemplars, numSeries)
}

// Nodes refuse what they hold no more; what was refused is planned anew, once, also where each shard has one
// replica only.
func TestPlansAnew(t *testing.T) {
	for _, factor := range []int{1, 2} {
		c := newCluster(t, 4, factor)
		old := c.older()
		require.NoError(t, old.Validate())
		c.knows(c.placement)
		var learnt atomic.Int32
		c.catchUp = func(_ context.Context, from plan.Node, epoch uint64) (plan.View, error) {
			learnt.Add(1)
			require.Equal(t, c.placement.Epoch, epoch)
			return view(c.placement), nil
		}
		p := plan.Make(plan.Query{Maxt: 1 << 40}, view(old))
		c.ask(t, p)
		require.EqualValues(t, 4, learnt.Load(), "once for each question")
		require.EqualValues(t, 4, c.count(t, "barograph_fanout_replans_total", "done"))
		require.Zero(t, c.count(t, "barograph_fanout_replans_total", "failed"))
	}
}

// A node that knows no placement as new as the plan's is as good as none: others are asked.
func TestNodeIsBehind(t *testing.T) {
	c := newCluster(t, 4, 2)
	c.nodes[1].refuse = func(uint64, *series.ShardSet) error {
		return &leaf.Failure{Elsewhere: true, Stale: true, Epoch: c.placement.Epoch - 1, Text: "behind"}
	}
	c.catchUp = func(context.Context, plan.Node, uint64) (plan.View, error) {
		t.Error("nothing is to be learnt")
		return plan.View{}, errors.New("no")
	}
	c.ask(t, c.plan())
}

// Where the newer placement can't be learnt, the nodes that refused count as failed.
func TestCannotCatchUp(t *testing.T) {
	c := newCluster(t, 4, 2)
	c.knows(c.placement)
	c.catchUp = func(context.Context, plan.Node, uint64) (plan.View, error) {
		return plan.View{}, errors.New("nobody says")
	}
	_, err := c.LabelNames(context.Background(), plan.Make(plan.Query{Maxt: 1 << 40}, view(c.older())), series.Selector{Matchers: all})
	require.ErrorContains(t, err, "epoch 3")
	require.Positive(t, c.count(t, "barograph_fanout_replans_total", "failed"))
}

// Nodes that know ever newer placements don't keep a question for ever.
func TestPlansAnewTwice(t *testing.T) {
	c := newCluster(t, 3, 3)
	for _, n := range c.nodes {
		n.refuse = func(epoch uint64, _ *series.ShardSet) error {
			return &leaf.Failure{Elsewhere: true, Stale: true, Epoch: epoch + 1, Text: "newer still"}
		}
	}
	c.catchUp = func(_ context.Context, _ plan.Node, epoch uint64) (plan.View, error) {
		next := *c.placement
		next.Epoch = epoch
		return view(&next), nil
	}
	_, err := c.LabelNames(context.Background(), c.plan(), series.Selector{Matchers: all})
	require.ErrorContains(t, err, "newer still")
	require.EqualValues(t, 2, c.count(t, "barograph_fanout_replans_total", "done"))
	require.Positive(t, c.count(t, "barograph_fanout_replans_total", "refused"))
}
