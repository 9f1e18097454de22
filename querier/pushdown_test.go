package querier_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/series"
)

// pushedParts returns how many parts were computed elsewhere, with that result.
func pushedParts(t *testing.T, r *prometheus.Registry, result string) int {
	return (&differential{t: t, metrics: r}).counted("barograph_querier_pushed_parts_total", result)
}

func TestPushdown(t *testing.T) {
	for replicas := 1; replicas <= 2; replicas++ { // With three the node asked holds all.
		metrics := prometheus.NewRegistry()
		e := threeNodes(t, replicas, querier.Options{Registerer: metrics}).Engines[0]
		n, err := count(context.Background(), t, e, "count(up)")
		require.NoError(t, err)
		require.Equal(t, 100.0, n)
		parts := pushedParts(t, metrics, "computed")
		require.GreaterOrEqual(t, parts, 2)

		n, err = count(context.Background(), t, e, "max_over_time(sum(up)[10s:1s]) + scalar(max(sum by (i) (up)))")
		require.NoError(t, err)
		require.Equal(t, 101.0, n)
		require.Equal(t, 3*parts, pushedParts(t, metrics, "computed"), "what is in a subquery, and in another aggregation")

		n, err = count(context.Background(), t, e, "count(topk(50, up))")
		require.NoError(t, err)
		require.Equal(t, 50.0, n)
		require.Equal(t, parts, pushedParts(t, metrics, "left"), "ties are decided by the order of all series")
	}
}

// TestPushdownOfReplicasWithGaps computes what lies in pieces from the pieces.
func TestPushdownOfReplicasWithGaps(t *testing.T) {
	metrics := prometheus.NewRegistry()
	c := threeNodes(t, 2, querier.Options{Registerer: metrics})
	c.AddGap(0, -200_000, -100_000)
	c.AddGap(1, -90_000, -80_000)
	n, err := count(context.Background(), t, c.Engines[0], "sum(up)")
	require.NoError(t, err)
	require.Equal(t, 100.0, n)
	require.Positive(t, pushedParts(t, metrics, "computed"))
}

// TestPushdownOfAKilledNode asks its replicas, or says what is missing.
func TestPushdownOfAKilledNode(t *testing.T) {
	metrics := prometheus.NewRegistry()
	c := threeNodes(t, 2, querier.Options{Registerer: metrics})
	c.Kill(2)
	for _, i := range []int{0, 1} {
		n, err := count(context.Background(), t, c.Engines[i], "sum(count_over_time(up[1m]))")
		require.NoError(t, err)
		require.Equal(t, 100.0, n)
	}
	require.Positive(t, pushedParts(t, metrics, "computed"))
	require.Zero(t, pushedParts(t, metrics, "left"))
}

// TestPushdownMeetsHistograms where another node has a mix that only the engine can evaluate.
func TestPushdownMeetsHistograms(t *testing.T) {
	metrics := prometheus.NewRegistry()
	c, mems := threeMems(t, 1, querier.Options{Registerer: metrics})
	h := &histogram.FloatHistogram{Count: 3, Sum: 5, ZeroCount: 3}
	for i := range 30 {
		ls := series.FromStrings("__name__", "mixed", "i", fmt.Sprint(i))
		for n, m := range mems {
			if c.Holds(n, ls) {
				require.NoError(t, m.Write(context.Background(), []queriertest.Sample{{Labels: ls, Sample: series.Sample{T: 5000, FH: h}}}))
			}
		}
	}
	_, err := c.Engines[0].Instant(context.Background(), "sum(timestamp(mixed))", time.Unix(10, 0), querier.QueryOptions{})
	require.NoError(t, err)
	require.Positive(t, pushedParts(t, metrics, "left"))
	require.Zero(t, pushedParts(t, metrics, "computed"))
}

// TestLimitsWherePartsAreComputed reach the client with the kind that they have there.
func TestLimitsWherePartsAreComputed(t *testing.T) {
	w := querier.Window{Start: time.Unix(5, 0), End: time.Unix(105, 0), Step: time.Second}
	for name, tc := range map[string]struct {
		opts querier.Options
		kind querier.Kind
		text []string
	}{
		"series":            {querier.Options{MaxSeries: 10}, querier.Execution, []string{"max_series", `{__name__=~"up|down"} for another node`}},
		"samples":           {querier.Options{MaxSamples: 500}, querier.Execution, []string{"max_samples"}},
		"bytes":             {querier.Options{MaxQueryBytes: 4_000}, querier.Execution, []string{"max_query_bytes", `{__name__=~"up|down"} for another node`}},
		"bytes of the node": {querier.Options{MaxBytes: 4_000}, querier.TooMany, []string{"max_bytes", `{__name__=~"up|down"} for another node`}},
		"expressions":       {querier.Options{MaxRegexLength: 3}, querier.BadData, []string{"max_regex_length"}},
		"time":              {querier.Options{Timeout: time.Nanosecond}, querier.Timeout, []string{"deadline exceeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			strict, asked := threeNodes(t, 1, tc.opts), threeNodes(t, 1, querier.Options{})
			asked.Ask(strict)
			_, err := asked.Engines[0].Range(context.Background(), `sum({__name__=~"up|down"})`, w, querier.QueryOptions{})
			require.Equal(t, tc.kind, querier.KindOf(err), err)
			for _, text := range tc.text {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

// TestLimitsOfAllPartsTogether are those of the node that is asked.
func TestLimitsOfAllPartsTogether(t *testing.T) {
	w := querier.Window{Start: time.Unix(5, 0), End: time.Unix(105, 0), Step: time.Second}
	for name, opts := range map[string]querier.Options{
		"max_series": {MaxSeries: 90}, "max_samples": {MaxSamples: 9_000},
	} {
		c, asked := threeNodes(t, 1, querier.Options{}), threeNodes(t, 1, opts)
		asked.Ask(c)
		_, err := asked.Engines[0].Range(context.Background(), "sum(up)", w, querier.QueryOptions{})
		require.Equal(t, querier.Execution, querier.KindOf(err))
		require.ErrorContains(t, err, name)
	}
}

// TestCutPartials ends what another node sends at every message.
func TestCutPartials(t *testing.T) {
	for _, how := range []error{errors.New("broken"), queriertest.ErrCutInOrder} {
		for at := range 4 {
			c := threeNodes(t, 2, querier.Options{})
			cut := 0
			c.Tap(1, func(i int, _ []byte) error {
				if i == at {
					cut++
					return how
				}
				return nil
			})
			n, err := count(context.Background(), t, c.Engines[0], "sum(up)")
			require.NoError(t, err)
			require.Equal(t, 100.0, n)
			require.Equal(t, at < 3, cut > 0, "message %d", at)
		}
	}
}

// TestPushdownKeepsPlaces of what there is to say in the query's text.
func TestPushdownKeepsPlaces(t *testing.T) {
	c, mems := threeMems(t, 1, querier.Options{})
	const expr = "1 + sum(rate(up[1m]))"
	for i := range 100 { // Series with a sample have no rate: they get another.
		ls := series.FromStrings("__name__", "up", "i", fmt.Sprint(i))
		for n, m := range mems {
			if c.Holds(n, ls) {
				require.NoError(t, m.Write(context.Background(), []queriertest.Sample{{Labels: ls, Sample: series.Sample{T: 6000, V: 2}}}))
			}
		}
	}
	r, err := c.Engines[0].Instant(context.Background(), expr, time.Unix(10, 0), querier.QueryOptions{})
	require.NoError(t, err)
	defer r.Close()
	_, infos := r.Warnings.AsStrings(expr, 0, 0)
	require.Equal(t, []string{`PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "up" (1:14)`}, infos)
}
