package dedup

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
)

// nothing is a memory that keeps no samples.
type nothing struct{ *memory }

func (nothing) Append(context.Context, *frame.Frame) ([]frame.Rejected, error) { return nil, nil }

// BenchmarkWriter is what the Writer takes for samples of known series: without elections, of the
// elected replica, and of one that is left out.
func BenchmarkWriter(b *testing.B) {
	const count, perBatch = 500_000, 2000
	for _, c := range []struct{ name, replica string }{{"off", "a"}, {"elected", "a"}, {"left out", "b"}} {
		b.Run(c.name, func(b *testing.B) {
			var opts ingest.Options
			if c.name != "off" {
				e := newBenchElections(b)
				opts.Elector = e
			}
			w, err := ingest.NewWriter(nothing{newMemory()}, opts)
			require.NoError(b, err)
			now := time.Now().UnixMilli()
			first := &ingest.Batch{}
			add(first, pairs("__name__", "first", "cluster", "p", "__replica__", "a"), now, 1)
			_, err = w.Append(b.Context(), first)
			require.NoError(b, err)
			order := rand.New(rand.NewPCG(1, 1)).Perm(count)
			var batches []*ingest.Batch
			for part := range slices.Chunk(order, perBatch) {
				batch := &ingest.Batch{}
				for _, i := range part {
					add(batch, pairs("__name__", fmt.Sprint("x", i), "cluster", "p", "__replica__", c.replica), now, 1)
				}
				batches = append(batches, batch)
			}
			var scratch ingest.Batch
			send := func(i int) {
				runs := scratch.Runs
				scratch = *batches[i%len(batches)]
				scratch.Runs = append(runs[:0], scratch.Runs...) // They are changed.
				if _, err := w.Append(b.Context(), &scratch); err != nil {
					b.Fatal(err)
				}
			}
			for i := range batches {
				send(i)
			}
			b.ReportAllocs()
			begin, i := cpuTime(), 0
			for b.Loop() {
				send(i)
				i++
			}
			b.ReportMetric(float64(cpuTime()-begin)/float64(i*perBatch), "cpu-ns/sample")
		})
	}
}

func newBenchElections(b *testing.B) *Elections {
	table := NewTable()
	e, err := New(table, Options{Propose: func(_ context.Context, c []byte) ([]byte, error) { return table.Apply(c), nil }})
	require.NoError(b, err)
	return e
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
