package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	gometrics "runtime/metrics"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

const (
	perWrite   = 2000
	liveSeries = 1_000_000
)

// machines are the label sets of n series, machine by machine.
func machines(n int) []series.Labels {
	sets := make([]series.Labels, n)
	for i := range sets {
		m, metric := i/busyMachine, i%busyMachine
		sets[i] = series.FromStrings(
			"__name__", fmt.Sprintf("node_%d_seconds_total", metric/8), "cluster", "dc"+strconv.Itoa(m%4),
			"instance", fmt.Sprintf("10.%d.%d.1:9100", m>>8, m&255), "job", "node", "mode", strconv.Itoa(metric%8))
	}
	return sets
}

// shuffled is 0 to n-1 in an order that has none.
func shuffled(n int) []int { return rand.New(rand.NewPCG(1, 1)).Perm(n) }

// BenchmarkCreate creates a million series, 2000 in a call, as requests of machines bring them and in
// no order.
func BenchmarkCreate(b *testing.B) {
	sets := machines(liveSeries)
	for _, random := range []bool{false, true} {
		b.Run(fmt.Sprintf("random=%t", random), func(b *testing.B) {
			sets := slices.Clone(sets)
			if random {
				for i, at := range shuffled(len(sets)) {
					sets[i], sets[at] = sets[at], sets[i]
				}
			}
			ctx, cpu, created := context.Background(), time.Duration(0), 0
			var refs []series.Ref
			batch, text := make([]series.Labels, perWrite), []byte(nil)
			for b.Loop() {
				db := runIn(b, b.TempDir(), Options{WALSync: wal.Off})
				for some := range slices.Chunk(sets, perWrite) {
					text = text[:0] // A request's labels lie together, and were just read.
					for i, set := range some {
						text = append(text, set...)
						batch[i] = text[len(text)-len(set):]
					}
					began := cpuTime()
					refs = db.Find(refs[:0], batch[:len(some)])
					require.Zero(b, refs[0])
					_, err := db.Refs(ctx, refs[:0], batch[:len(some)])
					require.NoError(b, err)
					cpu += cpuTime() - began
				}
				created += len(sets)
				db.stop()
			}
			b.ReportMetric(float64(cpu)/float64(created), "cpu-ns/series")
		})
	}
}

// BenchmarkWrite appends to a million series in no order, 2000 samples in a call, from several
// goroutines with as many processors: more than there are cores show what waits for locks.
func BenchmarkWrite(b *testing.B) {
	ctx := context.Background()
	db := runIn(b, b.TempDir(), Options{WALSync: wal.Off, MaxExemplars: -1})
	var refs []series.Ref
	for some := range slices.Chunk(machines(liveSeries), perWrite) {
		var err error
		refs, err = db.Refs(ctx, refs, some)
		require.NoError(b, err)
	}
	mixed := make([]series.Ref, len(refs))
	for i, at := range shuffled(len(refs)) {
		mixed[i] = refs[at]
	}
	var calls atomic.Int64
	for _, callers := range []int{2, 4, 8} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(callers))
			before := readUsage()
			b.ReportAllocs()
			b.ResetTimer()
			var running sync.WaitGroup
			left := atomic.Int64{}
			left.Store(int64(b.N))
			for range callers {
				running.Go(func() {
					f := &frame.Frame{Times: make([]int64, perWrite), Values: make([]float64, perWrite)}
					for left.Add(-1) >= 0 {
						n := int(calls.Add(1))
						from := n * perWrite % len(mixed)
						f.Refs = mixed[from : from+perWrite]
						for i := range f.Times {
							f.Times[i] = longAgo + int64(n*perWrite/len(mixed))*15_000
							f.Values[i] = float64(n + i%3)
						}
						if _, err := db.Append(ctx, f); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			running.Wait()
			b.StopTimer()
			after, samples := readUsage(), float64(b.N*perWrite)
			b.ReportMetric((after.cpu-before.cpu)*1e9/samples, "cpu-ns/sample")
			b.ReportMetric((after.waits-before.waits)*1e9/samples, "lock-wait-ns/sample")
			b.ReportMetric((after.gc-before.gc)*100/(after.cpu-before.cpu), "gc-%")
		})
	}
}

// usage is in seconds since the process began.
type usage struct{ cpu, gc, waits float64 }

func readUsage() usage {
	s := []gometrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
		{Name: "/sync/mutex/wait/total:seconds"},
	}
	runtime.GC() // The figures are brought up to date by a cycle.
	gometrics.Read(s)
	return usage{
		cpu: cpuTime().Seconds(), gc: s[0].Value.Float64() - s[1].Value.Float64(), waits: s[2].Value.Float64(),
	}
}
