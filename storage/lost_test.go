package storage

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

// A bit is flipped in the middle of the log, which loses one record. What builds on it is dropped and
// counted; what comes is right; and what follows the next cut is all there.
func TestDamageInTheMiddleOfTheLog(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 1))
		mem := vfs.NewMem()
		db := run(t, mem, Options{Retention: century})
		refs := define(t, db.DB, 300)
		values := make([]float64, len(refs))
		scrape := func(at int64) {
			for from := 0; from < len(refs); from += 100 {
				f := row(refs[from:from+100], at, 0)
				for i := range f.Values {
					values[from+i] += float64(rng.IntN(3))
					f.Values[i] = values[from+i] / 10
				}
				put(t, db.DB, f)
			}
		}
		for i := range int64(50) {
			scrape(longAgo + i*1000)
		}
		_, cut := db.wal.Segments()
		_, err := db.cut()
		require.NoError(t, err)
		for i := range int64(10) {
			scrape(longAgo + (100+i)*1000)
		}
		want := readAll(t, db.DB)
		db.stop()
		hit := damageRecord(t, mem, cut, rng)

		var info ReplayInfo
		again := run(t, mem, Options{Retention: century, Events: Events{Replayed: func(i ReplayInfo) { info = i }}})
		require.Equal(t, 1, info.Damaged)
		require.EqualValues(t, info.Lost, testutil.ToFloat64(again.metrics.lost))
		if info.Lost > 0 {
			require.Equal(t, cut, info.LostFrom)
		}
		got, rows := readAll(t, again.DB), 0
		for ls, samples := range want {
			have := 0
			for at, bits := range samples {
				b, ok := got[ls][at]
				if ok {
					require.Equal(t, math.Float64frombits(bits), math.Float64frombits(b), series.Labels(ls))
					have++
				}
				if at >= longAgo+100_000 {
					require.True(t, ok, "after the cut")
				}
			}
			rows += len(samples) - have
		}
		require.Equal(t, 100*(1+info.Lost), rows, "each record has a hundred samples")
		require.Less(t, info.Lost, 50, "other series do not build on it")
		t.Logf("record %d is damaged, %d build on it", hit, info.Lost)
		again.stop()
	}
}

// damageRecord flips a bit in one of the samples' records of a segment, and returns which.
func damageRecord(t *testing.T, fs vfs.FS, segment uint64, rng *rand.Rand) int {
	t.Helper()
	path := fs.PathJoin("data", walDir, fmt.Sprintf("%016d.wal", segment))
	var at []int64
	_, err := wal.DumpSegment(fs, path, func(e wal.Entry) error {
		if e.Kind == KindFrame {
			at = append(at, e.Offset+e.Bytes/2)
		}
		return nil
	})
	require.NoError(t, err)
	f, err := fs.Open(path)
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	hit := 1 + rng.IntN(len(at)-1) // The first has the definitions.
	b[at[hit]] ^= 0x10
	write(t, fs, path, string(b))
	return hit
}
