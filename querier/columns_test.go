package querier

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

func TestPartsOverColumns(t *testing.T) {
	store := &fakeStore{series: 3, samples: 200}
	e := newTestEngine(t, store, Options{})
	w := Window{unix(300), unix(600), time.Minute}
	for expr, parts := range map[string]float64{
		"sum(rate(up[1m]))":                             1,
		"sum(rate(up[1m])) / count(up)":                 1,
		"rate(up[1m]) * 2":                              1,
		"topk(1, rate(up[1m]))":                         1,
		"sum(rate(up[1m] @ 400))":                       1,
		"max_over_time(sum(up)[2m:1m])":                 1,
		"absent_over_time(sum(up)[2m:1m])":              0,
		"up":                                            1,
		"absent(up)":                                    0, // Nothing would be gained.
		"sum(deriv(up[1m]))":                            1,
		"rate(up[1m] smoothed)":                         0,
		"histogram_quantile(.9, sum(rate(up[1m])))":     1,
		"info(rate(up[1m]))":                            0,
		"sum(rate(up[1m])) > scalar(sum(up offset 1h))": 2,
	} {
		before := testutil.ToFloat64(e.metrics.columnar.WithLabelValues("computed"))
		r, err := e.Range(context.Background(), expr, w, QueryOptions{})
		if err != nil { // The function info is an experiment.
			require.ErrorContains(t, err, "not enabled", expr)
			continue
		}
		r.Close()
		require.Equal(t, parts, testutil.ToFloat64(e.metrics.columnar.WithLabelValues("computed"))-before, expr)
	}
	plain := newTestEngine(t, store, Options{Plain: true})
	r, err := plain.Range(context.Background(), "sum(rate(up[1m]))", w, QueryOptions{})
	require.NoError(t, err)
	r.Close()
	require.Zero(t, testutil.ToFloat64(plain.metrics.columnar.WithLabelValues("computed")))
}

// A value is at exactly the steps that have one, though promql looks back over the gaps.
func TestGapsStayGaps(t *testing.T) {
	e := newTestEngine(t, &fakeStore{series: 1, samples: 3}, Options{})
	r, err := e.Range(context.Background(), "1 + sum(count_over_time(up[10s]))", Window{unix(0), unix(60), 5 * time.Second}, QueryOptions{})
	require.NoError(t, err)
	defer r.Close()
	var times []int64
	for _, p := range r.Value.(promql.Matrix)[0].Floats {
		require.Equal(t, 2.0, p.F)
		times = append(times, p.T)
	}
	require.Equal(t, []int64{0, 5_000, 15_000, 20_000, 30_000, 35_000}, times)
}

func TestLimitsOverColumns(t *testing.T) {
	const expr = "sum(rate(up[1m]))"
	w := Window{unix(300), unix(600), time.Second}
	for name, opts := range map[limitName]Options{
		limitSamples:    {MaxSamples: 20_000},
		limitSeries:     {MaxSeries: 99},
		limitQueryBytes: {MaxQueryBytes: 50_000},
	} {
		e := newTestEngine(t, &fakeStore{series: 100, samples: 50}, opts)
		_, err := e.Range(context.Background(), expr, w, QueryOptions{})
		requireLimit(t, err, Execution, name)
	}
	e := newTestEngine(t, &fakeStore{series: 100, samples: 50}, Options{MaxBytes: 50_000})
	_, err := e.Range(context.Background(), expr, w, QueryOptions{})
	requireLimit(t, err, TooMany, limitBytes)

	ctx, cancel := context.WithCancel(context.Background())
	store := &fakeStore{series: 100, samples: 50, onSelect: func(context.Context, series.Selector) error {
		cancel()
		return nil
	}}
	_, err = newTestEngine(t, store, Options{}).Range(ctx, expr, w, QueryOptions{})
	require.Equal(t, Canceled, KindOf(err))
}

// Rules evaluate queries over the engine's queryable and don't close them.
func TestNothingHeldAfterExec(t *testing.T) {
	e := newTestEngine(t, &fakeStore{series: 10, samples: 50}, Options{})
	q, err := e.NewInstantQuery(context.Background(), e.Queryable(), nil, "sum(rate(up[1m])) + count(up)", unix(300))
	require.NoError(t, err)
	res := q.Exec(context.Background())
	require.NoError(t, res.Err)
	require.Len(t, res.Value, 1)
	require.Zero(t, e.memory.used.Load())
	require.EqualValues(t, 1, testutil.ToFloat64(e.metrics.columnar.WithLabelValues("computed")))
}
