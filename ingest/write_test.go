package ingest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

func newWriter(t testing.TB, s ingest.Store, o ingest.Options) *ingest.Writer {
	t.Helper()
	o.Registerer = prometheus.NewPedanticRegistry()
	w, err := ingest.NewWriter(s, o)
	require.NoError(t, err)
	return w
}

func write(t testing.TB, w ingest.Appender, b *ingest.Batch) ingest.Result {
	t.Helper()
	res, err := w.Append(t.Context(), b)
	require.NoError(t, err)
	return res
}

func TestRawFormsShareASeries(t *testing.T) {
	s := newFakeStore()
	w := newWriter(t, s, ingest.Options{})
	now := time.Now().UnixMilli()
	forms := [][]series.Pair{
		pairs("__name__", "up", "a", "1"),
		pairs("a", "1", "__name__", "up"),
		pairs("a", "1", "empty", "", "__name__", "up"),
	}
	res := write(t, w, batch(now, forms...))
	require.Equal(t, 3, res.Written.Samples)
	require.Equal(t, 1, s.created)
	for _, f := range forms {
		write(t, w, batch(now+1, f))
	}
	require.Equal(t, 1, s.created)
	require.Len(t, s.samples[string(series.FromStrings("__name__", "up", "a", "1"))], 2)
}

type guard struct {
	lim   ingest.LabelLimits
	admit int
}

func (g guard) LabelLimits() ingest.LabelLimits { return g.lim }
func (g guard) NewSeries(_, n int) (int, ingest.Reason) {
	return min(n, g.admit), ingest.TooManySeries
}

func TestBadLabelsAreRefusedOneByOne(t *testing.T) {
	s := newFakeStore()
	w := newWriter(t, s, ingest.Options{Guard: guard{lim: ingest.LabelLimits{Labels: 3, NameBytes: 10, ValueBytes: 20}, admit: 100}})
	for _, c := range []struct {
		pairs []series.Pair
		want  ingest.Reason
	}{
		{pairs("a", "b"), ingest.NoMetricName},
		{pairs("__name__", "", "a", "b"), ingest.NoMetricName},
		{nil, ingest.NoMetricName},
		{pairs("__name__", "x", "", "b"), ingest.EmptyLabelName},
		{pairs("__name__", "x", "a", "b", "a", "c"), ingest.DuplicateLabel},
		{pairs("__name__", "x", "a", "\xff"), ingest.InvalidUTF8},
		{pairs("__name__", "x", "\xff", "a"), ingest.InvalidUTF8},
		{pairs("__name__", "x", "a", "1", "b", "2", "c", "3"), ingest.TooManyLabels},
		{pairs("__name__", "x", strings.Repeat("n", 1<<20), "1"), ingest.LabelNameTooLong},
		{pairs("__name__", "x", "a", strings.Repeat("é", 1<<21)), ingest.LabelValueTooLong},
	} {
		good := pairs("__name__", "good")
		res := write(t, w, batch(time.Now().UnixMilli(), good, c.pairs, good))
		require.Equal(t, 2, res.Written.Samples, c.want)
		require.Len(t, res.Rejections, 1)
		require.Equal(t, c.want, res.Rejections[0].Reason)
		require.Equal(t, 1, res.Rejections[0].Counts.Samples)
		require.Less(t, len(res.Rejections.String()), 600)
		require.Equal(t, 400, res.Rejections.Status())
	}
	require.Equal(t, 1, s.created)
}

func TestKnownSeriesGoOnAtTheLimit(t *testing.T) {
	s := newFakeStore()
	now := time.Now().UnixMilli()
	write(t, newWriter(t, s, ingest.Options{}), batch(now, pairs("__name__", "old")))
	// A new writer's cache is empty, as after a restart: the series is known all the same.
	w := newWriter(t, s, ingest.Options{Guard: guard{admit: 0}})
	res := write(t, w, batch(now, pairs("__name__", "old"), pairs("__name__", "new"), pairs("__name__", "new", "x", "")))
	require.Equal(t, 1, res.Written.Samples)
	require.Equal(t, ingest.TooManySeries, res.Rejections[0].Reason)
	require.Equal(t, 2, res.Rejections[0].Counts.Samples)
	require.Equal(t, 429, res.Rejections.Status())
	require.Equal(t, 1, s.created)
}

func TestTimeBounds(t *testing.T) {
	s := newFakeStore()
	w := newWriter(t, s, ingest.Options{Retention: time.Hour})
	now := time.Now()
	b := batch(0, pairs("__name__", "a"), pairs("__name__", "b"), pairs("__name__", "c"), pairs("__name__", "d"))
	b.Times[0] = now.UnixMilli()
	b.Times[1] = now.Add(11 * time.Minute).UnixMilli()
	b.Times[2] = now.Add(-61 * time.Minute).UnixMilli()
	b.Times[3] = 1 << 62
	res := write(t, w, b)
	require.Equal(t, 1, res.Written.Samples)
	require.Equal(t, "err-barograph-too-new", res.Rejections[0].Reason.ID())
	require.Equal(t, 2, res.Rejections[0].Counts.Samples)
	require.Equal(t, "err-barograph-too-old", res.Rejections[1].Reason.ID())
	require.Contains(t, res.Rejections[1].First, `series {__name__="c"}`)
}

func TestStartTimestamps(t *testing.T) {
	now := time.Now().UnixMilli()
	set := pairs("__name__", "a")
	name := string(series.FromStrings("__name__", "a"))
	starts := func(b *ingest.Batch, st ...int64) *ingest.Batch { b.Starts = st; return b }

	s := newFakeStore()
	w := newWriter(t, s, ingest.Options{})
	write(t, w, starts(batch(now, set), now-5))
	write(t, w, starts(batch(now+1, set), now+1)) // Not before its sample.
	require.Equal(t, map[int64]int64{now: now - 5, now + 1: 0}, s.starts[name])

	s = newFakeStore()
	w = newWriter(t, s, ingest.Options{StartTimestampZero: true})
	for i := range int64(3) {
		res := write(t, w, starts(batch(now+i, set), now-5))
		require.Equal(t, 1, res.Written.Samples)
	}
	s.forget(name)
	write(t, w, starts(batch(now+3, set), now-5))
	write(t, w, starts(batch(now+10, set), now+5))
	require.Equal(t, map[int64]float64{now - 5: 0, now: 0, now + 1: 0, now + 2: 0, now + 3: 0, now + 5: 0, now + 10: 0}, s.samples[name])
	require.Empty(t, s.starts[name])
}

func TestHistograms(t *testing.T) {
	now := time.Now().UnixMilli()
	good := &histogram.Histogram{Schema: 9, Count: 3, Sum: 1, PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []int64{1, 1}}
	bad := &histogram.FloatHistogram{Schema: 0, Count: 3, PositiveSpans: []histogram.Span{{Length: 1 << 31}}, PositiveBuckets: []float64{1}}
	b := &ingest.Batch{Source: pairsSource{pairs("__name__", "h")}}
	b.Histograms = []frame.Histogram{{T: now, ST: now - 1, H: good}, {T: now, FH: bad}, {T: now + 1e9, H: good}}
	b.Runs = []ingest.Run{{Key: rawKey(pairs("__name__", "h")), Histograms: ingest.Span{To: 3}}}
	s := newFakeStore()
	res := write(t, newWriter(t, s, ingest.Options{}), b)
	require.Equal(t, 1, res.Written.Histograms)
	require.Equal(t, ingest.BadHistogram, res.Rejections[0].Reason)
	require.Equal(t, ingest.TooNew, res.Rejections[1].Reason)
	require.Len(t, s.hists, 1)
	require.Equal(t, int32(8), s.hists[0].H.Schema)
	require.Equal(t, now-1, s.hists[0].ST)
}

func TestStoreRejections(t *testing.T) {
	s := newFakeStore()
	w := newWriter(t, s, ingest.Options{})
	s.reject = func(*frame.Frame) []frame.Rejected {
		return []frame.Rejected{{Index: 1, Reason: frame.TooOld}, {Index: 2, Reason: frame.TooOld}}
	}
	now := time.Now().UnixMilli()
	res := write(t, w, batch(now, pairs("__name__", "a"), pairs("__name__", "b"), pairs("__name__", "c")))
	require.Equal(t, 1, res.Written.Samples)
	require.Equal(t, ingest.TooOld, res.Rejections[0].Reason)
	require.Equal(t, 2, res.Rejections[0].Counts.Samples)
	require.Contains(t, res.Rejections[0].First, `__name__="b"`)

	// A reference that stays unknown is a fault that passes.
	s.reject = func(*frame.Frame) []frame.Rejected { return []frame.Rejected{{Index: 0, Reason: frame.UnknownRef}} }
	_, err := w.Append(t.Context(), batch(now, pairs("__name__", "a")))
	require.Equal(t, 503, ingest.AsError(err).Reason.Status())
	s.reject, s.err = nil, errFake
	_, err = w.Append(t.Context(), batch(now, pairs("__name__", "z")))
	require.ErrorIs(t, err, errFake)
	require.Equal(t, ingest.StoreUnavailable, ingest.AsError(err).Reason)
}

func TestMetadataAloneMakesNoSeries(t *testing.T) {
	s := newFakeStore()
	b := &ingest.Batch{Source: pairsSource{pairs("__name__", "a")}, Metadata: []frame.Metadata{{Metric: "a"}}}
	b.Runs = []ingest.Run{{Key: rawKey(pairs("__name__", "a"))}}
	res := write(t, newWriter(t, s, ingest.Options{}), b)
	require.Equal(t, ingest.Counts{Metadata: 1}, res.Written)
	require.Zero(t, s.created)
	require.Len(t, s.metadata, 1)
}

// TestConcurrentWithLostReferences writes from many goroutines to a store that forgets series all
// the time, through a cache that is too small: every sample must be there in the end.
func TestConcurrentWithLostReferences(t *testing.T) {
	s := newFakeStore()
	s.lose = 0.5
	w := newWriter(t, s, ingest.Options{CacheEntries: 256})
	const writers, rounds, perBatch, seriesCount = 4, 150, 20, 1000
	base := time.Now().Add(-time.Hour).UnixMilli()
	var wg sync.WaitGroup
	var mu sync.Mutex
	want, failed := 0, 0
	for g := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 7))
			for round := range rounds {
				var sets [][]series.Pair
				for range perBatch {
					n := rng.IntN(seriesCount)*writers + g
					sets = append(sets, pairs("__name__", "m", "n", fmt.Sprint(n)))
				}
				b := batch(base+int64(round), sets...)
				distinct := map[string]bool{}
				for i := range sets {
					distinct[string(sets[i][1].Value)] = true
					b.Runs[i].Exemplars = ingest.Span{From: uint32(i), To: uint32(i + 1)}
					b.Exemplars = append(b.Exemplars, frame.Exemplar{T: base})
				}
				for { // A series may be forgotten twice: that is a fault that passes.
					res, err := w.Append(t.Context(), b)
					if err == nil {
						if res.Written.Samples != perBatch || res.Written.Exemplars != perBatch || len(res.Rejections) > 0 {
							t.Errorf("written %+v, rejections %s", res.Written, res.Rejections)
						}
						break
					}
					var e *ingest.Error
					if !errors.As(err, &e) || e.Reason != ingest.StoreUnavailable {
						t.Error(err)
						break
					}
					mu.Lock()
					failed++
					mu.Unlock()
				}
				mu.Lock()
				want += len(distinct)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got := 0
	for _, m := range s.samples {
		got += len(m)
	}
	require.Equal(t, want, got)
	t.Logf("%d samples, %d requests sent again", got, failed)
}
