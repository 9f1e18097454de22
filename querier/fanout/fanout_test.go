package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier/fanout"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/merge"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a store that is out of order.
type node struct {
	leaf.Node
	err     error         // in place of an answer
	late    error         // after lateAt series
	lateAt  int           //
	silence time.Duration // before an answer
	refuse  func(epoch uint64, shards *series.ShardSet) error
	asked   atomic.Int32
	closed  atomic.Int32 // sets
	open    atomic.Int32 // sets
}

func (n *node) wait(ctx context.Context) error {
	n.asked.Add(1)
	if n.silence > 0 {
		select {
		case <-time.After(n.silence):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return n.err
}

// ask is wait, and what the node says to the epoch and the shards.
func (n *node) ask(ctx context.Context, shards *series.ShardSet) error {
	if err := n.wait(ctx); err != nil || n.refuse == nil {
		return err
	}
	return n.refuse(leaf.EpochOf(ctx), shards)
}

func (n *node) Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	if err := n.ask(ctx, sel.Shards); err != nil {
		return nil, err
	}
	set, err := n.Node.Select(ctx, sel)
	if err == nil {
		n.open.Add(1)
		set = &nodeSeries{SeriesSet: set, node: n}
	}
	return set, err
}

func (n *node) LabelNames(ctx context.Context, sel series.Selector) ([]string, error) {
	if err := n.ask(ctx, sel.Shards); err != nil {
		return nil, err
	}
	return n.Node.LabelNames(ctx, sel)
}

func (n *node) LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error) {
	if err := n.ask(ctx, sel.Shards); err != nil {
		return nil, err
	}
	return n.Node.LabelValues(ctx, name, sel)
}

func (n *node) Exemplars(ctx context.Context, sel series.Selector, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	if err := n.ask(ctx, sel.Shards); err != nil {
		return nil, err
	}
	return n.Node.Exemplars(ctx, sel, ms...)
}

func (n *node) Metadata(ctx context.Context) ([]frame.Metadata, error) {
	if err := n.wait(ctx); err != nil {
		return nil, err
	}
	return n.Node.Metadata(ctx)
}

type nodeSeries struct {
	chunk.SeriesSet
	node *node
	seen int
	err  error
}

func (s *nodeSeries) Next() bool {
	if s.node.late != nil && s.seen == s.node.lateAt {
		s.err = s.node.late
	}
	s.seen++
	return s.err == nil && s.SeriesSet.Next()
}

func (s *nodeSeries) Err() error {
	if s.err != nil {
		return s.err
	}
	return s.SeriesSet.Err()
}

func (s *nodeSeries) Close() error {
	s.node.closed.Add(1)
	return s.SeriesSet.Close()
}

// cluster is some nodes that hold the same series as one.
type cluster struct {
	*fanout.Fanout
	metrics   *prometheus.Registry
	placement *placement.Placement
	nodes     []*node
	one       leaf.Node
	catchUp   func(ctx context.Context, from plan.Node, epoch uint64) (plan.View, error)
}

const numSeries = 200

func id(i int) placement.NodeID { return placement.NodeID{15: byte(i + 1)} }

func newCluster(t testing.TB, nodes, factor int) *cluster {
	c := &cluster{metrics: prometheus.NewRegistry(), placement: &placement.Placement{Epoch: 3, Bits: 4, Factor: factor}}
	for i := range nodes {
		c.placement.Nodes = append(c.placement.Nodes, placement.Node{ID: id(i), Name: string(rune('a' + i)), Weight: 1})
	}
	for s := range 16 {
		var on []placement.Replica
		for i := range factor {
			on = append(on, placement.Replica{Node: id((s + i) % nodes)})
		}
		slices.SortFunc(on, func(a, b placement.Replica) int { return a.Node.Compare(b.Node) })
		c.placement.Shards = append(c.placement.Shards, on)
	}
	require.NoError(t, c.placement.Validate())
	stores := make([]*queriertest.Mem, nodes+1)
	for i := range stores {
		stores[i] = &queriertest.Mem{}
		if i < nodes {
			c.nodes = append(c.nodes, &node{Node: leaf.New(stores[i])})
		}
	}
	for i := range numSeries {
		ls := series.FromStrings("__name__", "m", "i", fmt.Sprint(i), fmt.Sprintf("name%d", i%7), "x")
		shard := ls.Fingerprint().Shard(4)
		for n, store := range stores {
			if n < nodes && !c.placement.Holds(shard, id(n)) {
				continue
			}
			store.SetMetadata([]frame.Metadata{{Metric: "m"}})
			store.AddExemplars(frame.ExemplarSeries{Labels: ls, Exemplars: []frame.Exemplar{{T: 5, V: 1}, {T: 7, V: 2}}})
			for at := range int64(5) {
				require.NoError(t, store.Write(context.Background(), []queriertest.Sample{
					{Labels: ls, Sample: series.Sample{T: at * 1000, V: float64(i)}},
				}))
			}
		}
	}
	c.one = leaf.New(stores[nodes])
	c.Fanout = fanout.New(fanout.Options{
		Reach: func(n plan.Node) (leaf.Node, error) { return c.nodes[n.ID[15]-1], nil },
		CatchUp: func(ctx context.Context, from plan.Node, epoch uint64) (plan.View, error) {
			return c.catchUp(ctx, from, epoch)
		},
		Registerer: c.metrics,
	})
	return c
}

// hedges with that result.
func (c *cluster) hedges(t testing.TB, result string) float64 {
	return c.count(t, "barograph_fanout_hedges_total", result)
}

func (c *cluster) count(t testing.TB, metric, result string) float64 {
	families, err := c.metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != metric {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// plan is made by node a.
func (c *cluster) plan(gaps ...plan.Gap) plan.Plan {
	return plan.Make(plan.Query{Maxt: math.MaxInt64}, view(c.placement, gaps...))
}

// view is what node a sees.
func view(p *placement.Placement, gaps ...plan.Gap) plan.View {
	return plan.NewView(plan.Cluster{
		Placement: p, Self: id(0), Alive: func(placement.NodeID) bool { return true }, Gaps: gaps,
	})
}

var all = []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")}

// sample is one sample of a series.
type sample struct {
	series string
	t      int64
	v      float64
}

func samples(t testing.TB, set chunk.SeriesSet) []sample {
	var out []sample
	for set.Next() {
		s := set.At()
		it := chunk.NewIterator(s.Chunks)
		for it.Next() != 0 {
			at, v := it.At()
			out = append(out, sample{string(s.Labels), at, v})
		}
		require.NoError(t, it.Err())
	}
	return out
}

// requireWhole asks all questions and compares the answers with those of one node.
func (c *cluster) requireWhole(t testing.TB, p plan.Plan) {
	ctx := context.Background()
	sel := series.Selector{Maxt: math.MaxInt64, Matchers: all, Take: func(int64) error { return nil }}
	single, err := c.one.Select(ctx, sel)
	require.NoError(t, err)
	want := samples(t, single)
	require.Len(t, want, 5*numSeries)
	sets, err := c.Select(ctx, p, sel)
	require.NoError(t, err)
	set := merge.Sets(sets)
	require.Equal(t, want, samples(t, set))
	require.NoError(t, set.Err())
	require.NoError(t, set.Close())

	wantNames, err := c.one.LabelNames(ctx, sel)
	require.NoError(t, err)
	names, err := c.LabelNames(ctx, p, sel)
	require.NoError(t, err)
	require.Equal(t, wantNames, names)
	wantValues, err := c.one.LabelValues(ctx, "i", sel)
	require.NoError(t, err)
	values, err := c.LabelValues(ctx, p, "i", sel)
	require.NoError(t, err)
	require.Equal(t, wantValues, values)
	exemplars, err := c.Exemplars(ctx, p, all)
	require.NoError(t, err)
	require.Len(t, exemplars, numSeries)
	for _, s := range exemplars {
		require.Len(t, s.Exemplars, 2)
	}
}

func (c *cluster) requireClosed(t testing.TB) {
	for _, n := range c.nodes {
		require.Equal(t, n.open.Load(), n.closed.Load(), "sets that were opened and closed")
	}
}

func TestReplicas(t *testing.T) {
	for _, factor := range []int{1, 2, 3} {
		c := newCluster(t, 3, factor)
		c.requireWhole(t, c.plan())
		c.requireWhole(t, c.plan(plan.Gap{Node: id(0), Mint: 1500, Maxt: 2500}))
		c.requireWhole(t, c.plan(plan.Gap{Node: id(0), Mint: 1500, Maxt: 2500}, plan.Gap{Node: id(1), Mint: 500, Maxt: 2000},
			plan.Gap{Node: id(2), Mint: 1700, Maxt: 9000}))
		c.requireClosed(t)
		found, err := c.Metadata(context.Background(), plan.NewView(plan.Cluster{
			Placement: c.placement, Self: id(0), Alive: func(placement.NodeID) bool { return true },
		}))
		require.NoError(t, err)
		require.Equal(t, []frame.Metadata{{Metric: "m"}}, found)
	}
}

func TestAlone(t *testing.T) {
	c := newCluster(t, 1, 1)
	p := plan.Make(plan.Query{Maxt: math.MaxInt64}, plan.Single(plan.Node{ID: id(0)}))
	c.requireWhole(t, p)
	broken := errors.New("broken")
	c.nodes[0].err = broken
	_, err := c.Select(context.Background(), p, series.Selector{})
	require.Equal(t, broken, err)
	_, err = c.Metadata(context.Background(), plan.Single(plan.Node{ID: id(0)}))
	require.ErrorIs(t, err, broken)
}

// TestNodeFails replaces each node in turn: before it answers, and after some series.
func TestNodeFails(t *testing.T) {
	broken := errors.New("broken")
	for _, late := range []int{-1, 0, 1, 20} {
		for _, factor := range []int{1, 2, 3} {
			for i := range 3 {
				c := newCluster(t, 3, factor)
				if c.nodes[i].err = broken; late >= 0 {
					c.nodes[i].err, c.nodes[i].late, c.nodes[i].lateAt = nil, broken, late
				}
				if factor > 1 {
					c.requireWhole(t, c.plan())
				} else if late < 1 {
					c.requireMissing(t, i, broken)
				}
				c.requireClosed(t)
			}
		}
	}
}

// requireMissing holds that node i's shards are named, and that the rest is there when that will do.
func (c *cluster) requireMissing(t testing.TB, i int, cause error) {
	sel := series.Selector{Maxt: math.MaxInt64, Matchers: all}
	_, err := c.collect(context.Background(), t, sel)
	var missing *fanout.MissingError
	require.ErrorAs(t, err, &missing)
	require.ErrorIs(t, err, cause)
	where := fmt.Sprintf("node %c: broken", 'a'+i)
	shards := []string{"0,3,6,9,12,15 of 16", "1,4,7,10,13 of 16", "2,5,8,11,14 of 16"}[i]
	require.ErrorContains(t, err, "missing shards "+shards)
	require.ErrorContains(t, err, where)

	ctx, lacks := fanout.Allow(context.Background())
	got, err := c.collect(ctx, t, sel)
	require.NoError(t, err)
	require.Len(t, lacks.Warnings(), 1)
	require.ErrorContains(t, lacks.Warnings()[0], "the answer is not complete: missing shards "+shards)
	for _, s := range got {
		require.NotEqual(t, i, int(series.Labels(s.series).Fingerprint().Shard(4))%3)
	}
	require.NotEmpty(t, got)
}

func (c *cluster) collect(ctx context.Context, t testing.TB, sel series.Selector) ([]sample, error) {
	sets, err := c.Select(ctx, c.plan(), sel)
	if err != nil {
		return nil, err
	}
	set := merge.Sets(sets)
	defer func() { require.NoError(t, set.Close()) }()
	return samples(t, set), set.Err()
}

func TestPlanLacksShards(t *testing.T) {
	c := newCluster(t, 3, 1)
	p := plan.Make(plan.Query{Maxt: 5}, plan.NewView(plan.Cluster{
		Placement: c.placement, Self: id(0), Alive: func(n placement.NodeID) bool { return n != id(1) },
	}))
	_, err := c.LabelNames(context.Background(), p, series.Selector{})
	require.EqualError(t, err, "missing shards 1,4,7,10,13 of 16 from 1970-01-01T00:00:00Z to 1970-01-01T00:00:00.005Z: no replica can be reached")
	require.Zero(t, c.nodes[0].asked.Load(), "nobody is asked in vain")
	ctx, lacks := fanout.Allow(context.Background())
	_, err = c.LabelNames(ctx, p, series.Selector{})
	require.NoError(t, err)
	require.Len(t, lacks.Warnings(), 1)
}

// TestSlowNode takes the answer of others when one says nothing, after a while.
func TestSlowNode(t *testing.T) {
	for _, factor := range []int{2, 3} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 3, factor)
			for i := range c.nodes {
				c.nodes[i].silence = time.Millisecond
			}
			c.nodes[1].silence = time.Hour
			begin := time.Now()
			c.requireWhole(t, c.plan(plan.Gap{Node: id(0), Mint: 0, Maxt: 1})) // So that others are asked.
			require.Less(t, time.Since(begin), 5*time.Second)
			synctest.Wait() // For those who were told to stop.
			c.requireClosed(t)
			require.Positive(t, c.hedges(t, "won"))
			require.Equal(t, c.hedges(t, "sent"), c.hedges(t, "won"))
		})
	}
}

// TestHedgeLoses takes the first answer if it comes first after all, or if the others fail.
func TestHedgeLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, broken := range []error{nil, errors.New("broken")} {
			c := newCluster(t, 2, 2)
			gap := plan.Gap{Node: id(0), Mint: 0, Maxt: math.MaxInt64}
			c.nodes[1].silence = 700 * time.Millisecond
			c.nodes[0].silence, c.nodes[0].err = time.Hour, broken
			if broken != nil {
				c.nodes[0].silence = 0
			}
			c.requireWhole(t, c.plan(gap))
			synctest.Wait()
			c.requireClosed(t)
			require.Zero(t, c.hedges(t, "won"))
		}
	})
}

// TestHedgesAreBounded stops asking more when all are slow.
func TestHedgesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, 3)
		gap := plan.Gap{Node: id(0), Mint: 0, Maxt: 2000}
		for _, n := range c.nodes {
			n.silence = 10 * time.Second
		}
		for range 50 {
			_, err := c.LabelNames(context.Background(), c.plan(gap), series.Selector{Maxt: 5})
			require.NoError(t, err)
		}
		synctest.Wait()
		sent := c.hedges(t, "sent")
		require.GreaterOrEqual(t, sent, 16.0)     // Those that were saved,
		require.LessOrEqual(t, sent, 16.0+150/10) // and one for each ten parts.
		require.Positive(t, c.hedges(t, "refused"))
	})
}

// TestFinalErrors are asked nowhere else, and no partial answer makes up for them.
func TestFinalErrors(t *testing.T) {
	c := newCluster(t, 3, 3)
	gap := plan.Gap{Node: id(0), Mint: 0, Maxt: math.MaxInt64}
	limit := &leaf.Failure{Kind: 2, Text: "too many bytes"}
	c.nodes[1].err = limit
	ctx, lacks := fanout.Allow(context.Background())
	_, err := c.Select(ctx, c.plan(gap), series.Selector{Matchers: all, Maxt: 5})
	require.ErrorIs(t, err, limit)
	require.Empty(t, lacks.Warnings())
	require.Zero(t, c.nodes[0].asked.Load())
	limit.Elsewhere = true
	c.requireWhole(t, c.plan(gap))

	c = newCluster(t, 3, 3)
	full := errors.New("full")
	_, err = c.Select(context.Background(), c.plan(gap), series.Selector{Matchers: all, Maxt: 5, Take: func(int64) error { return full }})
	require.ErrorIs(t, err, full)
	require.Zero(t, c.nodes[0].asked.Load())

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.Select(ctx, c.plan(gap), series.Selector{Matchers: all, Maxt: 5})
	require.ErrorIs(t, err, context.Canceled)
	c.requireClosed(t)
}

func TestMetadataOfWhoAnswers(t *testing.T) {
	c := newCluster(t, 3, 2)
	v := plan.NewView(plan.Cluster{Placement: c.placement, Self: id(0), Alive: func(placement.NodeID) bool { return true }})
	c.nodes[0].err, c.nodes[2].err = errors.New("broken"), errors.New("broken")
	found, err := c.Metadata(context.Background(), v)
	require.NoError(t, err)
	require.Len(t, found, 1)
	c.nodes[1].err = errors.New("broken too")
	_, err = c.Metadata(context.Background(), v)
	require.ErrorContains(t, err, "broken too")
}
