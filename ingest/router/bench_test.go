package router

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// cpuTime is what the process has used of the processors: on a busy machine it says more than the
// clock on the wall.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loop runs f until the benchmark has enough, and reports CPU time per unit.
func loop(b *testing.B, perOp int, unit string, f func()) {
	b.ReportAllocs()
	begin, n := cpuTime(), 0
	for b.Loop() {
		f()
		n += perOp
	}
	b.ReportMetric(float64(cpuTime()-begin)/float64(n), "cpu-ns/"+unit)
}

// sink takes everything and keeps nothing.
type sink struct{ *store }

func (sink) Append(context.Context, *frame.Frame) ([]frame.Rejected, error) { return nil, nil }

func (sink) Send(_ *frame.Frame, done func([]frame.Rejected, error)) error {
	done(nil, nil)
	return nil
}

// BenchmarkWriter writes 100,000 series, a request of 1000 at a time: over a store that does
// nothing, and with a Router between, whose Senders do nothing either.
func BenchmarkWriter(b *testing.B) {
	const total, each = 100_000, 1000
	direct := func(testing.TB) ingest.Store { return sink{newStore()} }
	routed := func(factor, nodes int) func(testing.TB) ingest.Store {
		return func(t testing.TB) ingest.Store {
			s := sink{newStore()}
			r, err := New(Options{Self: id(0), Local: s, Reach: func(placement.NodeID) (Sender, bool) { return s, true }})
			require.NoError(t, err)
			r.SetPlacement(found(t, factor, nodes, 1))
			return r
		}
	}
	for _, c := range []struct {
		name  string
		store func(testing.TB) ingest.Store
	}{
		{"direct", direct},
		{"RF1of1", routed(1, 1)},
		{"RF1of3", routed(1, 3)},
		{"RF2of3", routed(2, 3)},
		{"RF3of3", routed(3, 3)},
		{"RF3of5", routed(3, 5)},
	} {
		b.Run(c.name, func(b *testing.B) {
			w, err := ingest.NewWriter(c.store(b), ingest.Options{})
			require.NoError(b, err)
			var batches []*ingest.Batch
			all, now := sets(total), time.Now().UnixMilli()
			for at := 0; at < total; at += each {
				batches = append(batches, batch(now, all[at:at+each]))
			}
			next := 0
			write := func() {
				if _, err := w.Append(b.Context(), batches[next%len(batches)]); err != nil {
					b.Fatal(err)
				}
				next++
			}
			for range batches {
				write()
			}
			loop(b, each, "sample", write)
		})
	}
}

// BenchmarkTable tells what a series takes, and what it costs to make it known.
func BenchmarkTable(b *testing.B) {
	const n = 1 << 18
	all := make([]series.Labels, n)
	bytes := 0
	for i := range all {
		all[i] = series.FromStrings("__name__", "node_cpu_seconds_total", "cpu", fmt.Sprint(i%64), "instance", fmt.Sprintf("10.0.%d.%d:9100", i>>14, i>>6&255), "job", "node", "mode", "idle")
		bytes += len(all[i])
	}
	var before, after runtime.MemStats
	for b.Loop() {
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&before)
		table := newTable(n, 60)
		b.StartTimer()
		for _, ls := range all {
			table.create(ls.Fingerprint(), ls, 1)
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(table)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/series")
		b.StartTimer()
	}
	b.ReportMetric(float64(bytes)/n, "labelB/series")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/series")
}
