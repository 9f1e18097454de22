package querier_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

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
		"sum(deriv(m_total[5m]))", "max(quantile_over_time(0.9, m_total[5m]))", "m_total / m_total",
		"sum(max_over_time(rate(m_total[5m])[10m:1m]))",
	} {
		for _, step := range []time.Duration{15 * time.Second, time.Minute} {
			benchmarkBoth(b, fmt.Sprintf("%s/%s", expr, step), store, func(e *querier.Engine) (*querier.Result, error) {
				w := querier.Window{Start: time.UnixMilli(300_000), End: time.UnixMilli(3_900_000), Step: step}
				return e.Range(context.Background(), expr, w, querier.QueryOptions{})
			})
		}
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
		var samples []series.Sample
		v, offset := float64(rng.IntN(1_000_000)), rng.Int64N(15_000)
		for t := offset; t < end; t += 15_000 {
			v += float64(rng.IntN(500)) / 10
			samples = append(samples, series.Sample{T: t, V: v})
		}
		var builder chunk.Builder
		for _, s := range samples {
			require.NoError(b, builder.Append(s))
		}
		chunks, err := chunk.Recode(nil, builder.Close(nil))
		require.NoError(b, err)
		l := series.FromStrings("__name__", "m_total", "job", fmt.Sprintf("job-%d", i%20), "instance", fmt.Sprintf("host-%d:9100", i))
		store.series = append(store.series, chunk.Series{Labels: l, Fingerprint: l.Fingerprint(), Chunks: chunks})
	}
	slices.SortFunc(store.series, func(a, b chunk.Series) int {
		return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
	})
	return store
}
