package querier_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/series"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fill gives each node its part of a hundred series up and three series down, with samples every 15 s.
func fill(t testing.TB, c *queriertest.Cluster, mems []*queriertest.Mem) {
	for i := range 103 {
		ls := series.FromStrings("__name__", "up", "i", fmt.Sprint(i), "job", fmt.Sprint(i%2))
		if i >= 100 {
			ls = series.FromStrings("__name__", "down", "i", fmt.Sprint(i), "job", fmt.Sprint(i%2))
		}
		var samples []queriertest.Sample
		for at := range int64(9) {
			samples = append(samples, queriertest.Sample{Labels: ls, Sample: series.Sample{T: at * 15_000, V: 1}})
		}
		for n, m := range mems {
			if c == nil || c.Holds(n, ls) {
				require.NoError(t, m.Write(context.Background(), samples))
			}
		}
	}
}

// placed is a cluster of so many nodes, the zones of which are a and b by turns if there are zones.
func placed(t testing.TB, nodes, replicas int, zones bool) (*queriertest.Cluster, []*queriertest.Mem) {
	var mems []*queriertest.Mem
	var stores []leaf.Store
	var list []placement.Node
	for i := range nodes {
		mems = append(mems, &queriertest.Mem{})
		stores = append(stores, mems[i])
		n := queriertest.NewNode(i)
		if zones {
			n.Zone = [...]string{"east", "west"}[i%2]
		}
		list = append(list, n)
	}
	p, err := placement.Found(4, replicas, list)
	require.NoError(t, err)
	c := queriertest.NewPlacedCluster(t, p, stores, querier.Options{})
	fill(t, c, mems)
	return c, mems
}

// explained returns what an engine says of a query.
func explained(ctx context.Context, t testing.TB, e *querier.Engine, expr string, w *querier.Window) *explain.Explanation {
	opts := querier.QueryOptions{Explain: true}
	var r *querier.Result
	var err error
	if w != nil {
		r, err = e.Range(ctx, expr, *w, opts)
	} else {
		r, err = e.Instant(ctx, expr, time.Unix(100, 0), opts)
	}
	require.NoError(t, err)
	defer r.Close()
	return r.Explanation
}

// TestExplain holds explanations to text: of expressions, over placements, with nodes that are gone and gaps.
// Time stands still but where something waits for it.
func TestExplain(t *testing.T) {
	all := []string{
		"sum by (job) (rate(up[1m]))", "up", "topk(50, up)", "max_over_time(sum(up)[30s:10s])",
		"sum(up) / on () group(down) + scalar(sort(avg(up)))", "down * on (i) group_left () up", "absent(nothing)", "1 + 1",
	}
	few := all[:3]
	for _, tc := range []struct {
		name            string
		nodes, replicas int
		zones           bool
		exprs           []string
		change          func(*queriertest.Cluster)
	}{
		{name: "alone", exprs: all},
		{name: "one-replica", nodes: 3, replicas: 1, exprs: all},
		{name: "two-replicas", nodes: 3, replicas: 2, exprs: few},
		{name: "all-replicas-here", nodes: 3, replicas: 3, exprs: few},
		{name: "zones", nodes: 4, replicas: 2, zones: true, exprs: few},
		{name: "zone-is-dead", nodes: 4, replicas: 2, zones: true, exprs: few, change: func(c *queriertest.Cluster) {
			c.Bury(1)
			c.Bury(3)
		}},
		{name: "out-of-reach", nodes: 3, replicas: 2, exprs: few, change: func(c *queriertest.Cluster) { c.Kill(1) }},
		{name: "missing", nodes: 3, replicas: 1, exprs: few, change: func(c *queriertest.Cluster) { c.Kill(1) }},
		{name: "dead", nodes: 3, replicas: 1, exprs: few, change: func(c *queriertest.Cluster) { c.Bury(2) }},
		{name: "slow", nodes: 3, replicas: 2, exprs: few, change: func(c *queriertest.Cluster) {
			c.Tap(1, func(int, []byte) error {
				time.Sleep(3 * time.Second)
				return nil
			})
		}},
		{name: "gaps", nodes: 3, replicas: 2, exprs: few, change: func(c *queriertest.Cluster) {
			c.AddLoss(0, 60_000, 70_000)
			c.AddLoss(1, 75_000, 80_000)
		}},
		{name: "gaps-at-once", nodes: 3, replicas: 3, exprs: few, change: func(c *queriertest.Cluster) {
			c.AddGap(0, 60_000, 70_000)
			c.AddGap(1, 65_000, 80_000)
			c.AddGap(2, 50_000, 67_000)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			warm(t)
			var b strings.Builder
			for _, expr := range tc.exprs {
				synctest.Test(t, func(t *testing.T) {
					var e *querier.Engine
					if tc.nodes == 0 {
						e = aloneEngine(t)
					} else {
						c, _ := placed(t, tc.nodes, tc.replicas, tc.zones)
						if tc.change != nil {
							tc.change(c)
						}
						e = c.Engines[0]
					}
					ctx, _ := querier.AllowPartial(context.Background())
					fmt.Fprintf(&b, "%s\n", explained(ctx, t, e, expr, nil))
				})
			}
			golden(t, "testdata/explain/"+tc.name+".txt", b.String())
		})
	}
}

func golden(t *testing.T, file, got string) {
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// warm makes what all queries share outside of the bubbles.
func warm(t *testing.T) {
	c, _ := placed(t, 3, 1, false)
	for _, expr := range []string{"up", "sum(up)"} {
		explained(context.Background(), t, c.Engines[0], expr, nil)
	}
}

func aloneEngine(t testing.TB) *querier.Engine {
	m := &queriertest.Mem{}
	fill(t, nil, []*queriertest.Mem{m})
	e, err := querier.New(m, querier.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// TestExplainCounts what went over the network, and the same series and samples whoever reads them.
func TestExplainCounts(t *testing.T) {
	w := &querier.Window{Start: time.Unix(60, 0), End: time.Unix(120, 0), Step: 15 * time.Second}
	for _, expr := range []string{"up", "sum by (job) (rate(up[1m]))", "sort(up)"} {
		alone := explained(context.Background(), t, aloneEngine(t), expr, w)
		require.Len(t, alone.Nodes, 1)
		require.Zero(t, alone.Nodes[0].Sent)
		require.Equal(t, int64(100), alone.Nodes[0].Series)
		require.Equal(t, int64(900), alone.Nodes[0].Samples)
		require.Positive(t, alone.Nodes[0].Worked)
		for replicas := 1; replicas <= 3; replicas++ {
			c, _ := placed(t, 3, replicas, false)
			sent := make([]int64, 3)
			for n := range sent {
				c.Tap(n, func(_ int, msg []byte) error {
					sent[n] += int64(len(msg))
					return nil
				})
			}
			got := explained(context.Background(), t, c.Engines[1], expr, w)
			c.Wait()
			var sum explain.Work
			for _, n := range got.Nodes {
				i := int(n.Name[0] - 'a')
				require.Equal(t, sent[i], n.Sent, "%s by %d: %s", expr, replicas, got)
				require.Equal(t, n.Name == "b", n.Sent == 0)
				require.Positive(t, n.Worked)
				sum.Series += n.Series
				sum.Samples += n.Samples
				sum.Read += n.Read
			}
			require.Equal(t, "b", got.Nodes[0].Name)
			require.Equal(t, alone.Nodes[0].Series, sum.Series)
			require.Equal(t, alone.Nodes[0].Samples, sum.Samples)
			require.Equal(t, alone.Nodes[0].Read, sum.Read)
			require.Positive(t, got.Took)

			data, err := json.Marshal(got)
			require.NoError(t, err)
			var again explain.Explanation
			require.NoError(t, json.Unmarshal(data, &again))
			require.Equal(t, got.String(), again.String())
		}
	}
}

// TestExplainWhatBroke on the way, after the first series were there.
func TestExplainWhatBroke(t *testing.T) {
	c, _ := placed(t, 3, 2, false)
	c.Tap(1, func(n int, _ []byte) error {
		if n > 0 {
			return fmt.Errorf("broken")
		}
		return nil
	})
	x := explained(context.Background(), t, c.Engines[0], "up", nil)
	text := x.String()
	require.Contains(t, text, "failed after")
	require.Contains(t, text, "c, instead")
	for _, n := range x.Nodes {
		require.Equal(t, n.Name == "b", n.Failed == 1, text)
	}
}

// TestNotExplained unless that was asked for.
func TestNotExplained(t *testing.T) {
	c, _ := placed(t, 3, 2, false)
	r, err := c.Engines[0].Instant(context.Background(), "up", time.Unix(10, 0), querier.QueryOptions{})
	require.NoError(t, err)
	defer r.Close()
	require.Nil(t, r.Explanation)
}
