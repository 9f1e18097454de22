package querier_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// BenchmarkRange asks for an hour of 10,000 series with a sample each 15 s, over columns and with
// promql alone, over the same chunks.
func BenchmarkRange(b *testing.B) {
	store := counters(b, 10_000, time.Hour)
	for _, expr := range []string{
		"sum(rate(m_total[5m]))", "sum by (job) (rate(m_total[5m]))", "rate(m_total[5m])", "sum(m_total)", "m_total",
		"sum by (instance) (m_total)", "max by (job) (max_over_time(m_total[5m]))", "avg(avg_over_time(m_total[5m]))",
		"topk(5, rate(m_total[5m]))", "quantile by (job) (0.9, rate(m_total[5m]))", "stddev by (job) (rate(m_total[5m]))",
		"sum(deriv(m_total[5m]))", "max(quantile_over_time(0.9, m_total[5m]))", "m_total / m_total",
		"sum(max_over_time(rate(m_total[5m])[10m:1m]))",
	} {
		benchmarkHour(b, store, expr)
	}
}

// BenchmarkHistogramQuantile asks for an hour of 10,000 series of classic buckets, and of 1,000 series
// of native histograms.
func BenchmarkHistogramQuantile(b *testing.B) {
	store := hourOfBuckets(b, 1_000)
	for _, expr := range []string{
		"sum by (le, job) (rate(m_bucket[5m]))",
		"histogram_quantile(0.9, sum by (le, job) (rate(m_bucket[5m])))", "histogram_quantile(0.9, rate(m_bucket[5m]))",
		"histogram_quantile(0.9, sum by (job) (rate(m[5m])))",
	} {
		benchmarkHour(b, store, expr)
	}
}

func benchmarkHour(b *testing.B, store *fixedStore, expr string) {
	for _, step := range []time.Duration{15 * time.Second, time.Minute} {
		benchmarkBoth(b, fmt.Sprintf("%s/%s", expr, step), store, func(e *querier.Engine) (*querier.Result, error) {
			w := querier.Window{Start: time.UnixMilli(300_000), End: time.UnixMilli(3_900_000), Step: step}
			return e.Range(context.Background(), expr, w, querier.QueryOptions{})
		})
	}
}

// BenchmarkDay asks for a day of 1,000 series with a step of two minutes.
func BenchmarkDay(b *testing.B) {
	store := counters(b, 1_000, 24*time.Hour)
	for _, expr := range []string{"sum(rate(m_total[5m]))", "sum(rate(m_total[1h]))", "max by (job) (max_over_time(m_total[1h]))"} {
		benchmarkBoth(b, expr, store, func(e *querier.Engine) (*querier.Result, error) {
			w := querier.Window{Start: time.UnixMilli(300_000), End: time.UnixMilli(86_700_000), Step: 2 * time.Minute}
			return e.Range(context.Background(), expr, w, querier.QueryOptions{})
		})
	}
}

// BenchmarkInstant asks for the current values of 10,000 series.
func BenchmarkInstant(b *testing.B) {
	store := counters(b, 10_000, 10*time.Minute)
	for _, expr := range []string{"m_total", "sum(m_total)", "sum by (job) (rate(m_total[5m]))", "m_total / m_total"} {
		benchmarkBoth(b, expr, store, func(e *querier.Engine) (*querier.Result, error) {
			return e.Instant(context.Background(), expr, time.UnixMilli(900_000), querier.QueryOptions{})
		})
	}
}

func benchmarkBoth(b *testing.B, name string, store *fixedStore, ask func(*querier.Engine) (*querier.Result, error)) {
	for _, plain := range []bool{false, true} {
		b.Run(fmt.Sprintf("%s/plain=%t", name, plain), func(b *testing.B) {
			e, err := querier.New(store, querier.Options{Plain: plain, MaxQueryBytes: -1, MaxBytes: -1})
			require.NoError(b, err)
			b.ReportAllocs()
			begin := cpuTime()
			for b.Loop() {
				r, err := ask(e)
				if err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
			b.ReportMetric(float64((cpuTime()-begin).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // It can't fail for the process itself.
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// counters are of n series, with a sample each 15 s over this long and five minutes before.
func counters(b *testing.B, n int, long time.Duration) *fixedStore {
	end := 300_000 + long.Milliseconds()
	rng := rand.New(rand.NewPCG(1, 1))
	store := &fixedStore{}
	for i := range n {
		v := float64(rng.IntN(1_000_000))
		store.add(b, each15s(rng, end, func(s *series.Sample) {
			v += float64(rng.IntN(500)) / 10
			s.V = v
		}), "__name__", "m_total", "job", fmt.Sprintf("job-%d", i%20), "instance", fmt.Sprintf("host-%d:9100", i))
	}
	store.sort()
	return store
}

// hourOfBuckets has n histograms, as ten series of buckets and as a native one.
func hourOfBuckets(b *testing.B, n int) *fixedStore {
	rng := rand.New(rand.NewPCG(1, 1))
	store := &fixedStore{}
	bounds := []string{"0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf"}
	for i := range n {
		counts := make([][]float64, len(bounds)) // Of each bucket, over time.
		for range 270 {
			sum := 0.0
			for j := range counts {
				sum += float64(rng.IntN(20))
				counts[j] = append(counts[j], sum)
			}
		}
		ls := []string{"__name__", "m", "job", fmt.Sprintf("job-%d", i%20), "instance", fmt.Sprintf("host-%d:9100", i)}
		for j, le := range bounds {
			at, v := 0, 0.0
			store.add(b, each15s(rng, 3_900_000, func(s *series.Sample) {
				v += counts[j][at]
				at, s.V = at+1, v
			}), append([]string{"__name__", "m_bucket", "le", le}, ls[2:]...)...)
		}
		h := &histogram.FloatHistogram{
			Schema: 3, ZeroThreshold: 1e-9, PositiveSpans: []histogram.Span{{Length: 10}, {Offset: 3, Length: 10}},
			PositiveBuckets: make([]float64, 20),
		}
		store.add(b, each15s(rng, 3_900_000, func(s *series.Sample) {
			for j := range h.PositiveBuckets {
				n := float64(rng.IntN(5))
				h.PositiveBuckets[j] += n
				h.Count += n
				h.Sum += n * float64(j)
			}
			s.FH = h.Copy()
		}), ls...)
	}
	store.sort()
	return store
}

// each15s returns samples each 15 s, with what set gives them.
func each15s(rng *rand.Rand, end int64, set func(*series.Sample)) []series.Sample {
	var samples []series.Sample
	for t := rng.Int64N(15_000); t < end; t += 15_000 {
		s := series.Sample{T: t}
		set(&s)
		samples = append(samples, s)
	}
	return samples
}

func (s *fixedStore) add(b *testing.B, samples []series.Sample, ls ...string) {
	var builder chunk.Builder
	for _, one := range samples {
		require.NoError(b, builder.Append(one))
	}
	chunks, err := chunk.Recode(nil, builder.Close(nil))
	require.NoError(b, err)
	l := series.FromStrings(ls...)
	s.series = append(s.series, chunk.Series{Labels: l, Fingerprint: l.Fingerprint(), Chunks: chunks})
}

func (s *fixedStore) sort() {
	slices.SortFunc(s.series, func(a, b chunk.Series) int {
		return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
	})
}
