package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

// runIn is run on the machine's own disk.
func runIn(b *testing.B, dir string, opts Options) *running {
	b.Helper()
	opts.FS, opts.Retention = vfs.Default, century
	db, err := Open(dir, opts)
	require.NoError(b, err)
	r := start(db)
	b.Cleanup(r.stop)
	return r
}

// walk appends a sample every 15 s to each of refs: counters with some noise.
func walk(b *testing.B, db *DB, refs []series.Ref, from, to int64) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, len(refs))
	for at := from; at < to; at += 15_000 {
		f := &frame.Frame{Refs: refs, Times: make([]int64, len(refs)), Values: values}
		for i := range refs {
			f.Times[i] = at
			values[i] += float64(r.IntN(100))
		}
		rejected, err := db.Append(context.Background(), f)
		require.NoError(b, err)
		require.Empty(b, rejected)
	}
}

// BenchmarkSelect reads 1000 series over twelve slots, eleven of them in parts.
func BenchmarkSelect(b *testing.B) {
	ctx := context.Background()
	db := runIn(b, b.TempDir(), Options{WALSync: wal.Off})
	sets := make([]series.Labels, 1000)
	for i := range sets {
		sets[i] = series.FromStrings("__name__", fmt.Sprintf("m%d", i/100), "i", fmt.Sprint(i))
	}
	refs, err := db.Refs(ctx, nil, sets)
	require.NoError(b, err)
	walk(b, db.DB, refs, longAgo, longAgo+12*testSlot)
	db.Maintain(ctx, time.UnixMilli(longAgo+11*testSlot+testSlot/2))
	require.Len(b, db.parts.snapshot(), 11)
	for name, m := range map[string]*labels.Matcher{
		"all":    labels.MustNewMatcher(labels.MatchRegexp, "__name__", "m.+"),
		"metric": equal("__name__", "m7"),
		"series": equal("i", "777"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set, err := db.Select(ctx, series.Selector{
					Mint: longAgo, Maxt: longAgo + 12*testSlot, Matchers: []*labels.Matcher{m},
				})
				require.NoError(b, err)
				n := 0
				for set.Next() {
					n += len(set.At().Chunks)
				}
				require.Positive(b, n)
				require.NoError(b, set.Close())
			}
		})
	}
}

// BenchmarkAppend writes frames of 2000 samples of 100,000 series, one after the other and from
// many callers.
func BenchmarkAppend(b *testing.B) {
	const (
		nSeries = 100_000
		perCall = 2000
	)
	for _, mode := range []wal.Mode{wal.Off, wal.Batch} {
		for _, callers := range []int{1, 16} {
			b.Run(fmt.Sprintf("sync=%s/callers=%d", mode, callers), func(b *testing.B) {
				ctx := context.Background()
				db := runIn(b, b.TempDir(), Options{WALSync: mode, MaxExemplars: -1})
				sets := make([]series.Labels, nSeries)
				for i := range sets {
					sets[i] = series.FromStrings("__name__", "m", "i", fmt.Sprint(i))
				}
				refs, err := db.Refs(ctx, nil, sets)
				require.NoError(b, err)
				frames := make(chan *frame.Frame, 2*callers)
				done := make(chan *frame.Frame, 4*callers)
				failed := make(chan error, callers)
				for range 3 * callers {
					done <- &frame.Frame{Times: make([]int64, perCall), Values: make([]float64, perCall)}
				}
				for range callers {
					go func() {
						for f := range frames {
							if _, err := db.Append(ctx, f); err != nil {
								failed <- err
								return
							}
							done <- f
						}
						failed <- nil
					}()
				}
				b.ReportAllocs()
				b.ResetTimer()
				for n := 0; n < b.N; n++ {
					f := <-done
					from := n * perCall % nSeries
					f.Refs = refs[from : from+perCall]
					for i := range f.Times {
						f.Times[i] = longAgo + int64(n*perCall/nSeries)*15_000
						f.Values[i] = float64(n + i)
					}
					frames <- f
				}
				close(frames)
				for range callers {
					require.NoError(b, <-failed)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*perCall), "ns/sample")
			})
		}
	}
}
