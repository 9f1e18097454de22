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
	store := hourOfCounters(b, 10_000)
	for _, expr := range []string{
		"sum(rate(m_total[5m]))", "sum by (job) (rate(m_total[5m]))", "rate(m_total[5m])", "sum(m_total)",
		"max by (job) (max_over_time(m_total[5m]))", "avg(avg_over_time(m_total[5m]))",
	} {
		for _, step := range []time.Duration{15 * time.Second, time.Minute} {
			for _, plain := range []bool{false, true} {
				name := fmt.Sprintf("%s/%s/plain=%t", expr, step, plain)
				b.Run(name, func(b *testing.B) { benchmarkRange(b, store, expr, step, plain) })
			}
		}
	}
}

func benchmarkRange(b *testing.B, store *fixedStore, expr string, step time.Duration, plain bool) {
	e, err := querier.New(store, querier.Options{Plain: plain, MaxQueryBytes: -1, MaxBytes: -1})
	require.NoError(b, err)
	w := querier.Window{Start: time.UnixMilli(300_000), End: time.UnixMilli(3_900_000), Step: step}
	b.ReportAllocs()
	begin := cpuTime()
	for b.Loop() {
		r, err := e.Range(context.Background(), expr, w, querier.QueryOptions{})
		if err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
	b.ReportMetric(float64((cpuTime()-begin).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // It can't fail for the process itself.
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func hourOfCounters(b *testing.B, n int) *fixedStore {
	rng := rand.New(rand.NewPCG(1, 1))
	store := &fixedStore{}
	for i := range n {
		var samples []series.Sample
		v, offset := float64(rng.IntN(1_000_000)), rng.Int64N(15_000)
		for t := offset; t < 3_900_000; t += 15_000 {
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
