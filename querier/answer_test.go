package querier

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/stats"
	"github.com/stretchr/testify/require"
)

// What columns evaluate as a whole is what promql answers: order, times, statistics.
func TestAnswersAreThoseOfPromql(t *testing.T) {
	store := &fakeStore{series: 50, samples: 200}
	columns, plain := newTestEngine(t, store, Options{}), newTestEngine(t, store, Options{Plain: true})
	for _, expr := range []string{"up", "up > 100", "rate(up[1m])", "sum(up)", "-up", "up / up", "nothing", "max_over_time(up[2m:30s])"} {
		for _, ask := range []func(*Engine) (*Result, error){
			func(e *Engine) (*Result, error) {
				return e.Instant(context.Background(), expr, unix(300), QueryOptions{})
			},
			func(e *Engine) (*Result, error) {
				return e.Range(context.Background(), expr, Window{unix(300), unix(600), time.Minute}, QueryOptions{})
			},
		} {
			want, err := ask(plain)
			require.NoError(t, err)
			got, err := ask(columns)
			require.NoError(t, err)
			require.Equal(t, want.Value.String(), got.Value.String(), expr)
			require.Equal(t, want.Value.Type(), got.Value.Type(), expr)
			require.Equal(t, want.Stats.Samples.TotalSamples, got.Stats.Samples.TotalSamples, expr)
			require.Positive(t, got.Stats.Timers.GetTimer(stats.EvalTotalTime).Duration())
			got.Close()
			want.Close()
		}
	}
	require.Zero(t, columns.memory.used.Load())
	require.Zero(t, testutil.ToFloat64(columns.metrics.columnar.WithLabelValues("left")))
}

// Points of one answer don't touch those of another that is still in use.
func TestAnswersKeepTheirPoints(t *testing.T) {
	e := newTestEngine(t, &fakeStore{series: 70, samples: 2_000}, Options{})
	ask := func(expr string) *Result {
		r, err := e.Range(context.Background(), expr, Window{unix(0), unix(10_000), 5 * time.Second}, QueryOptions{})
		require.NoError(t, err)
		return r
	}
	ones := ask("up * 0 + 1")
	ask("up * 0 + 2").Close()
	twos := ask("up * 0 + 2")
	defer twos.Close()
	defer ones.Close()
	for _, one := range ones.Value.(promql.Matrix) {
		require.Equal(t, 1.0, one.Floats[0].F, one.Metric)
		for _, p := range one.Floats {
			require.Equal(t, one.Floats[0].F, p.F)
		}
	}
}

// Pairs that the engine refuses end with its words, after columns have given the query back.
func TestPairsThatAreRefused(t *testing.T) {
	e := newTestEngine(t, &fakeStore{series: 3, samples: 50}, Options{})
	_, err := e.Instant(context.Background(), "up / on () up", unix(300), QueryOptions{})
	require.ErrorContains(t, err, "many-to-many matching not allowed")
	require.Equal(t, Execution, KindOf(err))
	require.Zero(t, e.memory.used.Load())
	r, err := e.Instant(context.Background(), "up * on () group_left () sum(up)", unix(300), QueryOptions{})
	require.NoError(t, err)
	defer r.Close()
	require.Len(t, r.Value, 3)
}
