package querier

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore has so many series up{i="..."} with a sample every 15 s from time 0 on. Every bytes it
// holds are asked for, as a store does.
type fakeStore struct {
	series, samples int
	histograms      bool // in place of floats
	onSelect        func(ctx context.Context, sel series.Selector) error
}

func (f *fakeStore) Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	if f.onSelect != nil {
		if err := f.onSelect(ctx, sel); err != nil {
			return nil, err
		}
	}
	var b chunk.Builder
	for i := range f.samples {
		s := series.Sample{T: int64(i) * 15_000, V: float64(i)}
		if f.histograms {
			s.FH = &histogram.FloatHistogram{Count: s.V, Sum: s.V, ZeroCount: s.V}
		}
		if err := b.Append(s); err != nil {
			return nil, err
		}
	}
	chunks := b.Close(nil)
	set := &fakeSet{}
	for i := range f.series {
		ls := series.FromStrings("__name__", "up", "i", fmt.Sprintf("%06d", i))
		set.series = append(set.series, chunk.Series{Labels: ls, Fingerprint: series.Fingerprint(i), Chunks: chunks})
		n := len(ls)
		for _, c := range chunks {
			n += len(c.Data)
		}
		if err := sel.Take(int64(n)); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (f *fakeStore) LabelNames(context.Context, series.Selector) ([]string, error) {
	return []string{"__name__", "i"}, nil
}

func (f *fakeStore) LabelValues(context.Context, string, series.Selector) ([]string, error) {
	return []string{"a", "b", "c"}, nil
}

func (f *fakeStore) Exemplars(context.Context, int64, int64, ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	return nil, errors.New("no exemplars today")
}

func (f *fakeStore) Metadata(context.Context) []frame.Metadata {
	return []frame.Metadata{{Metric: "up"}}
}

func (f *fakeStore) Cardinality(context.Context, series.Selector) (*cardinality.Counts, error) {
	return &cardinality.Counts{}, nil
}

type fakeSet struct {
	series []chunk.Series
	next   int
	closed int
}

func (s *fakeSet) Next() bool {
	s.next++
	return s.next <= len(s.series)
}
func (s *fakeSet) At() chunk.Series { return s.series[s.next-1] }
func (s *fakeSet) Err() error       { return nil }
func (s *fakeSet) Close() error {
	s.closed++
	return nil
}

func newTestEngine(t testing.TB, store *fakeStore, opts Options) *Engine {
	t.Helper()
	e, err := New(store, opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Zero(t, e.memory.used.Load(), "bytes held at the end")
		require.Zero(t, e.gate.running(), "queries running at the end")
		require.NoError(t, e.Close())
	})
	return e
}

func unix(s int64) time.Time { return time.Unix(s, 0) }

// requireLimit fails unless err is the limit, of the kind, and says so.
func requireLimit(t testing.TB, err error, kind Kind, name limitName) {
	t.Helper()
	require.Error(t, err)
	var l *LimitError
	require.ErrorAs(t, err, &l)
	require.Equal(t, name.key(), l.Key)
	require.Contains(t, err.Error(), name.id())
	require.Contains(t, err.Error(), "barograph.query."+string(name))
	require.Equal(t, kind, KindOf(err), err)
}

func vectorOf(t testing.TB, r *Result) promql.Vector {
	t.Helper()
	v, ok := r.Value.(promql.Vector)
	require.True(t, ok, "%T", r.Value)
	return v
}
