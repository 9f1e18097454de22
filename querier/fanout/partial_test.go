package fanout_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/fanout"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

func (n *node) Partial(ctx context.Context, sel series.Selector, req leaf.Request) (*leaf.Partial, error) {
	if err := n.wait(ctx); err != nil {
		return nil, err
	}
	return n.Node.Partial(ctx, sel, req)
}

// partials asks for parts of count(m).
func (c *cluster) partials(ctx context.Context, t testing.TB, p plan.Plan) ([]*leaf.Partial, error) {
	root, err := parser.NewParser(parser.Options{}).ParseExpr("count(m)")
	require.NoError(t, err)
	var x *eval.Expr
	require.NoError(t, eval.Rewrite(&root, eval.Mode{}, func(found *eval.Expr, _ parser.Expr, _ bool) (parser.Expr, error) {
		x = found
		return nil, nil
	}))
	sel := series.Selector{Matchers: all, Take: func(int64) error { return nil }}
	return c.Partial(ctx, p, sel, func(ctx context.Context, n leaf.Node, sel series.Selector) (*leaf.Partial, error) {
		return n.Partial(ctx, sel, leaf.Request{Expr: x, Params: eval.Params{
			Grid: eval.Grid{Start: 4000, Step: 1, Steps: 1}, Lookback: 300_000, Workers: 1, MaxSamples: 1e6,
			Hold: func(chunk.Series) error { return nil },
		}})
	})
}

// requireAllCounted holds that each series is in one of the parts.
func (c *cluster) requireAllCounted(t testing.TB, p plan.Plan) {
	parts, err := c.partials(context.Background(), t, p)
	require.NoError(t, err)
	read := 0
	for _, p := range parts {
		read += p.Read
	}
	require.Equal(t, numSeries, read)
}

var ancient = plan.Gap{Node: id(0), Mint: 0, Maxt: 1} // So that others are asked.

func TestPartials(t *testing.T) {
	for factor := 1; factor <= 3; factor++ {
		c := newCluster(t, 3, factor)
		c.requireAllCounted(t, c.plan())
		for i := range 3 {
			c := newCluster(t, 3, factor)
			c.nodes[i].err = errors.New("broken")
			if factor > 1 {
				c.requireAllCounted(t, c.plan())
				continue
			}
			_, err := c.partials(context.Background(), t, c.plan())
			var missing *fanout.MissingError
			require.ErrorAs(t, err, &missing)
			ctx, lacks := fanout.Allow(context.Background())
			parts, err := c.partials(ctx, t, c.plan())
			require.NoError(t, err)
			require.Len(t, parts, 2)
			require.Len(t, lacks.Warnings(), 1)
		}
	}
}

func TestPartialOfSlowNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, 3)
		for _, n := range c.nodes {
			n.silence = time.Millisecond
		}
		c.nodes[1].silence = time.Hour
		begin := time.Now()
		whole, rest := c.plan(ancient).Split()
		require.Empty(t, rest.Parts)
		_, err := c.partials(context.Background(), t, whole)
		require.NoError(t, err)
		require.Less(t, time.Since(begin), 5*time.Second)
		synctest.Wait() // For the one that was told to stop.
	})
}

// TestPartialsAreWhole neither replaces a node by pieces nor asks for them beside it.
func TestPartialsAreWhole(t *testing.T) {
	c := newCluster(t, 3, 3)
	p := c.plan(plan.Gap{Node: id(0), Mint: 0, Maxt: 10}, plan.Gap{Node: id(2), Mint: 20, Maxt: 30})
	c.requireAllCounted(t, p)
	c.nodes[1].err = errors.New("broken")
	_, err := c.partials(context.Background(), t, p)
	require.ErrorIs(t, err, fanout.ErrDivided)
	require.Zero(t, c.nodes[0].asked.Load()+c.nodes[2].asked.Load())

	c = newCluster(t, 3, 3)
	c.nodes[1].err = fanout.Final(eval.ErrFallback)
	_, err = c.partials(context.Background(), t, c.plan(ancient, plan.Gap{Node: id(2), Mint: 0, Maxt: math.MaxInt64}))
	require.ErrorIs(t, err, eval.ErrFallback)
	require.Zero(t, c.nodes[0].asked.Load()+c.nodes[2].asked.Load())
}
