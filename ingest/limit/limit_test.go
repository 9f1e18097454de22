package limit

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
)

func newLimiter(t *testing.T, o Options) *Limiter {
	t.Helper()
	l, err := New(o, prometheus.NewPedanticRegistry())
	require.NoError(t, err)
	return l
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{BodyBytes: -1}, {BodyBytes: 1 << 40}, {DecodedBytes: -1}, {HistogramBuckets: -5}, {BodyTime: -1}, {InFlightBytes: 1 << 20},
	} {
		_, err := New(o, nil)
		require.Error(t, err, "%+v", o)
	}
	l := newLimiter(t, Options{LabelsPerSeries: -1})
	require.Equal(t, ingest.LabelLimits{Labels: -1, NameBytes: 1024, ValueBytes: 8192}, l.LabelLimits())
	require.Error(t, l.Set(Options{BodyBytes: -1}))
	require.Equal(t, int64(32<<20), l.Options().BodyBytes)
	require.NoError(t, l.Set(Options{BodyBytes: 5}))
	require.Equal(t, int64(5), l.Options().BodyBytes)
}

func TestHoldsNeverExceedTheLimit(t *testing.T) {
	const limit = 1000
	l := newLimiter(t, Options{InFlightBytes: limit, BodyBytes: 1})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				h := l.Hold()
				for range 4 {
					if err := h.Grow(100); err != nil {
						if ingest.AsError(err).Reason != ingest.InFlightFull {
							t.Error(err)
						}
						break
					}
				}
				h.Release()
			}
		})
	}
	wg.Wait()
	require.Zero(t, l.inFlight.Load())
	h := l.Hold()
	require.NoError(t, h.Grow(limit))
	require.Error(t, h.Grow(1))
	h.Release()
	require.NoError(t, l.Set(Options{InFlightBytes: -1}))
	require.NoError(t, h.Grow(1<<40))
	h.Release()
}

func TestActiveSeries(t *testing.T) {
	l := newLimiter(t, Options{ActiveSeries: 100})
	for _, c := range []struct{ active, n, want int }{{0, 50, 50}, {90, 20, 10}, {100, 5, 0}, {120, 5, 0}} {
		got, why := l.NewSeries(c.active, c.n)
		require.Equal(t, c.want, got)
		require.Equal(t, got < c.n, why == ingest.TooManySeries)
	}
	require.Equal(t, 20.0, testutil.ToFloat64(l.metrics.refused[ActiveSeries]))
	require.NoError(t, l.Set(Options{ActiveSeries: -1, NewSeriesPerSecond: -1}))
	got, why := l.NewSeries(1<<40, 1<<40)
	require.Equal(t, 1<<40, got)
	require.Zero(t, why)
}

func TestNewSeriesPerSecond(t *testing.T) {
	o := &Options{NewSeriesPerSecond: 10, NewSeriesBurst: 30}
	l := newLimiter(t, *o)
	at := l.bucket.filled
	require.Equal(t, 25, l.draw(o, 25, at))
	require.Equal(t, 5, l.draw(o, 25, at))
	require.Equal(t, 0, l.draw(o, 1, at))
	require.Equal(t, 10, l.draw(o, 25, at.Add(time.Second)))
	require.Equal(t, 0, l.draw(o, 25, at)) // The clock went back.
	require.Equal(t, 30, l.draw(o, 100, at.Add(time.Hour)))
	got, why := l.NewSeries(0, 100)
	require.Zero(t, got)
	require.Equal(t, ingest.TooManyNewSeries, why)
}

type recorder struct{ b *ingest.Batch }

func (r *recorder) Append(_ context.Context, b *ingest.Batch) (ingest.Result, error) {
	r.b = b
	return ingest.Result{Rejections: b.Rejections}, nil
}

func TestOver(t *testing.T) {
	l := newLimiter(t, Options{ExemplarsPerRequest: 3, MetadataPerRequest: 2, MetadataBytes: 8})
	r := &recorder{}
	b := &ingest.Batch{
		Runs:      []ingest.Run{{Exemplars: ingest.Span{From: 0, To: 2}}, {Exemplars: ingest.Span{From: 2, To: 5}}, {Exemplars: ingest.Span{From: 5, To: 6}}},
		Exemplars: make([]frame.Exemplar, 6),
		Metadata:  []frame.Metadata{{Metric: "a"}, {Metric: "much too long"}, {Metric: "b", Help: "\xff"}, {Metric: "c"}, {Metric: "d"}},
	}
	res, err := l.Over(r).Append(t.Context(), b)
	require.NoError(t, err)
	require.Zero(t, res.Rejections.Status())
	require.Len(t, r.b.Exemplars, 3)
	require.Equal(t, []int{2, 1, 0}, []int{b.Runs[0].Exemplars.Len(), b.Runs[1].Exemplars.Len(), b.Runs[2].Exemplars.Len()})
	require.Equal(t, []frame.Metadata{{Metric: "a"}, {Metric: "c"}}, b.Metadata)
	require.Len(t, res.Rejections, 3)
}
