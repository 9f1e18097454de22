package querier

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

func TestInstantAndRange(t *testing.T) {
	reg := prometheus.NewRegistry()
	e := newTestEngine(t, &fakeStore{series: 3, samples: 200}, Options{Registerer: reg})
	r, err := e.Instant(context.Background(), "sum(up)", unix(300), QueryOptions{})
	require.NoError(t, err)
	require.Equal(t, 60.0, vectorOf(t, r)[0].F)
	require.EqualValues(t, 3, r.Stats.Samples.TotalSamples)
	require.Positive(t, e.memory.used.Load())
	r.Close()

	r, err = e.Range(context.Background(), "sum(rate(up[1m]))", Window{unix(300), unix(600), time.Minute}, QueryOptions{})
	require.NoError(t, err)
	m := r.Value.(promql.Matrix)
	require.Len(t, m[0].Floats, 6)
	require.InDelta(t, 0.2, m[0].Floats[0].F, 1e-9)
	r.Close()
	r.Close() // Once more does no harm.

	require.EqualValues(t, 1, testutil.ToFloat64(e.metrics.queries.WithLabelValues("instant", "ok")))
	require.EqualValues(t, 6, testutil.ToFloat64(e.metrics.series))
	_, err = e.ParseExpr(context.Background(), strings.Repeat("(", 2000))
	requireLimit(t, err, BadData, limitDepth)
	require.EqualValues(t, 1, testutil.ToFloat64(e.metrics.limits.WithLabelValues("max_depth")))
	lint, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, lint)
}

func TestErrorKinds(t *testing.T) {
	broken := errors.New("disk on fire")
	store := &fakeStore{series: 1, samples: 10}
	e := newTestEngine(t, store, Options{})
	ctx := context.Background()
	for _, tc := range []struct {
		expr string
		kind Kind
		text string
	}{
		{"up{", BadData, "unexpected end of input"},
		{"", BadData, "no expression found in input"},
		{`up{a=~"("}`, BadData, "missing closing"},
		{`up{a=~"a{1001}"}`, BadData, "invalid repeat count"},
		{`{a=~".*"}`, BadData, "must contain at least one non-empty matcher"},
		{`label_replace(up, "a", "b", "c", "(")`, Execution, "invalid regular expression"},
		{`sort_by_label(up, "a")`, BadData, "not enabled"},
		{
			`vector(1) + on() (label_replace(vector(1), "a", "b", "", "") or label_replace(vector(1), "a", "c", "", ""))`,
			Execution, "found duplicate series",
		},
	} {
		_, err := e.Instant(ctx, tc.expr, unix(60), QueryOptions{})
		require.Error(t, err, tc.expr)
		require.Equal(t, tc.kind, KindOf(err), "%s: %v", tc.expr, err)
		require.ErrorContains(t, err, tc.text)
	}
	_, err := e.Range(ctx, "up[5m]", Window{unix(0), unix(60), time.Second}, QueryOptions{})
	require.Equal(t, BadData, KindOf(err))
	require.ErrorContains(t, err, "invalid expression type")

	store.onSelect = func(context.Context, series.Selector) error { return broken }
	_, err = e.Instant(ctx, "up", unix(60), QueryOptions{})
	require.Equal(t, Internal, KindOf(err))
	require.ErrorIs(t, err, broken)
	_, err = e.Exemplars(ctx, 0, 1)
	require.Equal(t, Internal, KindOf(err))
}

func TestWindow(t *testing.T) {
	e := newTestEngine(t, &fakeStore{}, Options{})
	ask := func(w Window) error {
		r, err := e.Range(context.Background(), "vector(1)", w, QueryOptions{})
		if err == nil {
			r.Close()
		}
		return err
	}
	require.NoError(t, ask(Window{unix(0), unix(11_000), time.Second})) // 11,001 steps, as in Prometheus.
	requireLimit(t, ask(Window{unix(0), unix(11_001), time.Second}), BadData, limitPoints)
	requireLimit(t, ask(Window{unix(0), unix(365 * 86400), time.Millisecond}), BadData, limitPoints)
	requireLimit(t, ask(Window{unix(-1 << 40), unix(1 << 40), time.Nanosecond}), BadData, limitPoints)
	for _, step := range []time.Duration{0, -1} {
		err := ask(Window{unix(0), unix(60), step})
		require.Equal(t, BadData, KindOf(err))
		require.ErrorContains(t, err, "zero or negative query resolution step widths")
	}
	err := ask(Window{unix(60), unix(0), time.Second})
	require.Equal(t, BadData, KindOf(err))
}

func TestQueryOptions(t *testing.T) {
	e := newTestEngine(t, &fakeStore{series: 1, samples: 10}, Options{Features: []string{"promql-per-step-stats"}})
	r, err := e.Instant(context.Background(), "up", unix(600), QueryOptions{})
	require.NoError(t, err)
	require.Empty(t, vectorOf(t, r))
	r.Close()
	r, err = e.Instant(context.Background(), "up", unix(600), QueryOptions{LookbackDelta: time.Hour, PerStepStats: true})
	require.NoError(t, err)
	require.Len(t, vectorOf(t, r), 1)
	require.NotNil(t, r.Stats.Samples.TotalSamplesPerStepMap())
	r.Close()
}

func TestLimitsWhileRunning(t *testing.T) {
	ctx := context.Background()
	store := &fakeStore{series: 100, samples: 500}
	run := func(t *testing.T, o Options, expr string) error {
		e := newTestEngine(t, store, o)
		_, err := e.Instant(ctx, expr, unix(7000), QueryOptions{})
		return err
	}
	t.Run("series", func(t *testing.T) {
		err := run(t, Options{MaxSeries: 99}, `count(up{i=~".+"})`)
		requireLimit(t, err, Execution, limitSeries)
		require.ErrorContains(t, err, `{i=~".+", __name__="up"}`)
		requireLimit(t, run(t, Options{MaxSeries: 199}, "up + up"), Execution, limitSeries)
	})
	t.Run("samples", func(t *testing.T) {
		requireLimit(t, run(t, Options{MaxSamples: 1000}, "up[1h]"), Execution, limitSamples)
	})
	t.Run("bytes of a query", func(t *testing.T) {
		err := run(t, Options{MaxQueryBytes: 10_000}, "up")
		requireLimit(t, err, Execution, limitQueryBytes)
		require.ErrorContains(t, err, `__name__="up"`)
	})
	t.Run("bytes of the node", func(t *testing.T) {
		requireLimit(t, run(t, Options{MaxBytes: 10_000}, "up"), TooMany, limitBytes)
	})
	t.Run("points to come", func(t *testing.T) {
		e := newTestEngine(t, store, Options{MaxQueryBytes: 1 << 20})
		_, err := e.Range(ctx, "up", Window{unix(0), unix(7000), time.Second}, QueryOptions{})
		requireLimit(t, err, Execution, limitQueryBytes) // 100 series at 7000 points.
		r, err := e.Range(ctx, "up", Window{unix(0), unix(7000), time.Minute}, QueryOptions{})
		require.NoError(t, err)
		r.Close()
	})
	t.Run("none", func(t *testing.T) {
		e := newTestEngine(t, store, Options{MaxQueryBytes: -1, MaxBytes: -1, MaxSeries: -1, MaxSamples: -1})
		r, err := e.Instant(ctx, "up", unix(7000), QueryOptions{})
		require.NoError(t, err)
		r.Close()
	})
}

func TestGate(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	store := &fakeStore{series: 1, samples: 10, onSelect: func(context.Context, series.Selector) error {
		entered <- struct{}{}
		<-leave
		return nil
	}}
	e := newTestEngine(t, store, Options{MaxConcurrency: 1, MaxQueued: 1})
	ask := func(o QueryOptions) error {
		r, err := e.Instant(context.Background(), "up", unix(60), o)
		if err == nil {
			r.Close()
		}
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() { errs[i] = ask(QueryOptions{}) })
	}
	<-entered
	require.Eventually(t, func() bool { return e.gate.queued.Load() == 1 }, 10*time.Second, time.Millisecond)
	requireLimit(t, ask(QueryOptions{}), TooMany, limitQueued)
	leave <- struct{}{}
	<-entered
	// The wait for a turn is part of the time a query has.
	require.Equal(t, Timeout, KindOf(ask(QueryOptions{Timeout: time.Millisecond})))
	leave <- struct{}{}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

func TestCancel(t *testing.T) {
	t.Run("in the store", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		store := &fakeStore{onSelect: func(_ context.Context, sel series.Selector) error {
			cancel()
			return sel.Take(0) // What a store does that knows no contexts.
		}}
		e := newTestEngine(t, store, Options{})
		_, err := e.Instant(ctx, "up", unix(60), QueryOptions{})
		require.Equal(t, Canceled, KindOf(err), err)
	})
	t.Run("waiting", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		e := newTestEngine(t, &fakeStore{}, Options{})
		_, err := e.Instant(ctx, "up", unix(60), QueryOptions{})
		require.Equal(t, Canceled, KindOf(err))
	})
	t.Run("evaluating", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		selected := make(chan struct{})
		e := newTestEngine(t, &fakeStore{series: 2000, samples: 2000, onSelect: func(context.Context, series.Selector) error {
			close(selected)
			return nil
		}}, Options{})
		go func() {
			<-selected
			cancel()
		}()
		begin := time.Now()
		_, err := e.Range(ctx, "sum(quantile_over_time(0.9, up[2h]))", Window{unix(0), unix(30_000), 3 * time.Second}, QueryOptions{})
		require.Equal(t, Canceled, KindOf(err), err)
		require.Less(t, time.Since(begin), 5*time.Second)
	})
	t.Run("timeout", func(t *testing.T) {
		e := newTestEngine(t, &fakeStore{series: 2000, samples: 2000}, Options{})
		_, err := e.Range(context.Background(), "sum(quantile_over_time(0.9, up[2h]))",
			Window{unix(0), unix(30_000), 3 * time.Second}, QueryOptions{Timeout: 50 * time.Millisecond})
		require.Equal(t, Timeout, KindOf(err), err)
	})
}

func TestQueryable(t *testing.T) {
	ctx := context.Background()
	e := newTestEngine(t, &fakeStore{series: 5, samples: 10}, Options{})
	m := labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")
	q, err := e.Queryable().Querier(0, 1_000_000)
	require.NoError(t, err)
	set := q.Select(ctx, true, nil, m)
	n := 0
	for last := labels.EmptyLabels(); set.Next(); n++ {
		require.Negative(t, labels.Compare(last, set.At().Labels()))
		last = set.At().Labels()
	}
	require.NoError(t, set.Err())
	require.Equal(t, 5, n)
	values, _, err := q.LabelValues(ctx, "x", &promstorage.LabelHints{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, values)
	names, _, err := q.LabelNames(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"__name__", "i"}, names)
	require.Positive(t, e.memory.used.Load())
	require.NoError(t, q.Close())
	require.Zero(t, e.memory.used.Load())

	cq, err := e.Queryable().ChunkQuerier(0, 1_000_000)
	require.NoError(t, err)
	chunks := cq.Select(ctx, false, nil, m)
	require.True(t, chunks.Next())
	it := chunks.At().Iterator(nil)
	require.True(t, it.Next())
	require.Equal(t, 10, it.At().Chunk.NumSamples())
	require.NoError(t, cq.Close())

	small := newTestEngine(t, &fakeStore{series: 5, samples: 10}, Options{MaxSeries: 1})
	q, err = small.Queryable().Querier(0, 1_000_000)
	require.NoError(t, err)
	set = q.Select(ctx, false, nil, m)
	require.True(t, set.Next())
	require.False(t, set.Next())
	requireLimit(t, set.Err(), Execution, limitSeries)
	require.NoError(t, q.Close())
}
