package querier_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/leaf/wire"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/series"
)

// threeNodes hold a hundred series up{i} of value 1, each on so many of them.
func threeNodes(t *testing.T, replicas int, opts querier.Options) *queriertest.Cluster {
	c, _ := threeMems(t, replicas, opts)
	return c
}

func threeMems(t *testing.T, replicas int, opts querier.Options) (*queriertest.Cluster, []*queriertest.Mem) {
	mems, stores := make([]*queriertest.Mem, 3), make([]leaf.Store, 3)
	for i := range mems {
		mems[i] = &queriertest.Mem{}
		stores[i] = mems[i]
	}
	c := queriertest.NewCluster(t, stores, replicas, opts)
	for i := range 100 {
		ls := series.FromStrings("__name__", "up", "i", fmt.Sprint(i))
		for n, m := range mems {
			if c.Holds(n, ls) {
				require.NoError(t, m.Write(context.Background(), []queriertest.Sample{{Labels: ls, Sample: series.Sample{T: 5000, V: 1}}}))
			}
		}
	}
	return c, mems
}

func count(ctx context.Context, t *testing.T, e *querier.Engine, expr string) (float64, error) {
	r, err := e.Instant(ctx, expr, time.Unix(10, 0), querier.QueryOptions{})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	v := r.Value.(promql.Vector)
	require.Len(t, v, 1)
	return v[0].F, nil
}

func TestMissingShards(t *testing.T) {
	c := threeNodes(t, 1, querier.Options{})
	c.Kill(1)
	for _, i := range []int{0, 2} {
		e := c.Engines[i]
		_, err := count(context.Background(), t, e, "count(up)")
		require.ErrorContains(t, err, "missing shards 1,4,7,10,13 of 16")
		require.ErrorContains(t, err, "node b: connection refused")
		require.Equal(t, querier.Unavailable, querier.KindOf(err))

		ctx, missing := querier.AllowPartial(context.Background())
		n, err := count(ctx, t, e, "count(up)")
		require.NoError(t, err)
		require.Positive(t, n)
		require.Less(t, n, 100.0)
		require.Len(t, missing(), 1)
		require.ErrorContains(t, missing()[0], "the answer is not complete: missing shards 1,4,7,10,13 of 16")

		q, err := e.Queryable().Querier(0, math.MaxInt64)
		require.NoError(t, err)
		_, _, err = q.LabelValues(context.Background(), "i", &promstorage.LabelHints{})
		require.Equal(t, querier.Unavailable, querier.KindOf(err))
		require.NoError(t, q.Close())
		_, err = e.Exemplars(context.Background(), 0, math.MaxInt64, nil)
		require.Equal(t, querier.Unavailable, querier.KindOf(err))
		_, err = e.Metadata(context.Background())
		require.NoError(t, err)
	}
	n, err := count(context.Background(), t, threeNodes(t, 2, querier.Options{}).Engines[0], "count(up)")
	require.NoError(t, err)
	require.Equal(t, 100.0, n)
}

// TestLimitsOfTheOtherNode survive the wire: with their kinds, and without others being asked.
func TestLimitsOfTheOtherNode(t *testing.T) {
	store := &queriertest.Mem{}
	for i := range 200 {
		require.NoError(t, store.Write(context.Background(), []queriertest.Sample{
			{Labels: series.FromStrings("__name__", "up", "i", fmt.Sprint(i)), Sample: series.Sample{T: 5000, V: 1}},
		}))
	}
	regex := labels.MustNewMatcher(labels.MatchRegexp, "i", "(a|b.){1,9}c")
	long := series.Selector{Maxt: math.MaxInt64, Matchers: []*labels.Matcher{regex}}
	for name, tc := range map[string]struct {
		opts querier.Options
		sel  series.Selector
		kind querier.Kind
		text string
	}{
		"bytes of a request":  {querier.Options{MaxQueryBytes: 1000}, series.Selector{Maxt: math.MaxInt64}, querier.Execution, "barograph.query.max_query_bytes"},
		"bytes of the node":   {querier.Options{MaxBytes: 1000}, series.Selector{Maxt: math.MaxInt64}, querier.TooMany, "barograph.query.max_bytes"},
		"size of expressions": {querier.Options{MaxRegexSize: 3}, long, querier.BadData, "barograph.query.max_regex_size"},
		"length of them":      {querier.Options{MaxRegexLength: 3}, long, querier.BadData, "barograph.query.max_regex_length"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := querier.New(store, tc.opts)
			require.NoError(t, err)
			n := &queriertest.Network{Handlers: e.Server().Handlers(), Window: 1}
			for range 3 { // What was taken is given back.
				_, err = wire.NewRemote(n.Open).Select(context.Background(), tc.sel)
				var failure *leaf.Failure
				require.ErrorAs(t, err, &failure)
				require.Equal(t, tc.kind, querier.KindOf(err))
				require.Equal(t, tc.kind == querier.TooMany, failure.Elsewhere)
				require.ErrorContains(t, err, tc.text)
			}
			n.Wait()
			require.NoError(t, e.Close())
		})
	}
}

func TestFailureOfUnknownKind(t *testing.T) {
	require.Equal(t, querier.Internal, querier.KindOf(&leaf.Failure{Kind: 200}))
	require.Equal(t, querier.Internal, querier.KindOf(errors.New("broken")))
}
