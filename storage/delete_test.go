package storage

import (
	"context"
	"math"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

func bits(v float64) uint64 { return math.Float64bits(v) }

// key is what define calls a series.
func key(i string) string { return string(series.FromStrings("__name__", "m", "i", i)) }

func TestDelete(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	refs := define(t, db.DB, 2)
	for i := range int64(4) {
		put(t, db.DB, row(refs, longAgo+i, float64(i)))
	}
	require.Error(t, db.Delete(ctx, longAgo, longAgo))
	require.NoError(t, db.Delete(ctx, longAgo+1, longAgo+2, equal("i", "0")))
	hidden := map[string]written{
		key("0"): {longAgo: bits(0), longAgo + 3: bits(3)},
		key("1"): {longAgo: bits(0), longAgo + 1: bits(1), longAgo + 2: bits(2), longAgo + 3: bits(3)},
	}
	require.Equal(t, hidden, readAll(t, db.DB), "at once")
	count := func(db *DB, mint, maxt int64) int {
		set, err := db.Select(ctx, series.Selector{
			Mint: mint, Maxt: maxt, SkipChunks: true, Matchers: []*labels.Matcher{equal("__name__", "m")},
		})
		require.NoError(t, err)
		n := 0
		for set.Next() {
			require.Empty(t, set.At().Chunks)
			n++
		}
		return n
	}
	require.Equal(t, 2, count(db.DB, longAgo, longAgo+3))

	db.stop()
	db = run(t, mem, Options{Retention: century})
	require.Equal(t, hidden, readAll(t, db.DB), "over a restart")

	put(t, db.DB, row(define(t, db.DB, 1), longAgo+1, 7))
	hidden[key("0")][longAgo+1] = bits(7)
	require.Equal(t, hidden, readAll(t, db.DB), "what comes later is visible")
	require.NoError(t, db.Flush(ctx))
	require.Equal(t, hidden, readAll(t, db.DB), "also when it is flushed")

	samples := func() (n int64) {
		for _, p := range db.Stats(1).Parts {
			n += p.Samples
		}
		return n
	}
	require.EqualValues(t, 9, samples())
	require.NoError(t, db.CleanTombstones(ctx))
	require.EqualValues(t, 7, samples(), "deleted samples are off the disk")
	require.Equal(t, hidden, readAll(t, db.DB))
	require.Empty(t, db.deletes.overlapping(math.MinInt64, math.MaxInt64))

	require.NoError(t, db.Delete(ctx, longAgo, longAgo+3, equal("i", "1")))
	delete(hidden, key("1"))
	require.Equal(t, hidden, readAll(t, db.DB))
	require.Equal(t, 1, count(db.DB, longAgo, longAgo+3), "the labels of a series without samples")

	require.NoError(t, db.Delete(ctx, math.MinInt64, math.MaxInt64, equal("__name__", "m")))
	require.NoError(t, db.CleanTombstones(ctx))
	require.Empty(t, db.Stats(1).Parts)
	db.stop()
	db = run(t, mem, Options{Retention: century})
	require.Empty(t, readAll(t, db.DB))
	put(t, db.DB, row(define(t, db.DB, 1), longAgo, 8))
	require.NoError(t, db.Flush(ctx))
	require.Equal(t, map[string]written{key("0"): {longAgo: bits(8)}}, readAll(t, db.DB))
}

// A tombstone stays when the parts that it was made for are gone. What is flushed after a restart
// must not be taken for one of them.
func TestTombstoneOutlivesParts(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	put(t, db.DB, row(define(t, db.DB, 1), longAgo, 1))
	require.NoError(t, db.Flush(ctx))
	require.NoError(t, db.Delete(ctx, longAgo, longAgo, equal("i", "0")))
	db.stop()
	db = run(t, mem, Options{Retention: century})
	put(t, db.DB, row(define(t, db.DB, 1), longAgo, 2))
	require.NoError(t, db.Flush(ctx))
	require.Equal(t, map[string]written{key("0"): {longAgo: bits(2)}}, readAll(t, db.DB))
}

// Power is lost at each write of CleanTombstones. What is deleted stays hidden, the rest is there.
func TestPowerLossWhileCleaning(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashableMem()
	var armed bool
	var mu sync.Mutex
	var crashes []*vfs.MemFS
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpRename, errorfs.OpRemove, errorfs.OpLink:
			mu.Lock()
			defer mu.Unlock()
			if armed {
				crashes = append(crashes, mem.CrashClone(vfs.CrashCloneCfg{}))
			}
		}
		return nil
	})
	db, err := Open("data", Options{FS: errorfs.Wrap(mem, hook), Retention: century})
	require.NoError(t, err)
	r := start(db)
	defer r.stop()
	refs := define(t, db, 3)
	for i := range int64(6) {
		put(t, db, row(refs, longAgo+i*testSlot/2, float64(i)))
	}
	require.NoError(t, db.Delete(ctx, longAgo, longAgo+testSlot, equal("i", "0")))
	require.NoError(t, db.Delete(ctx, longAgo+2*testSlot, math.MaxInt64, equal("__name__", "m")))
	want := readAll(t, db)
	require.Len(t, want, 3)
	mu.Lock()
	armed = true
	mu.Unlock()
	require.NoError(t, db.CleanTombstones(ctx))
	mu.Lock()
	armed = false
	mu.Unlock()
	require.Equal(t, want, readAll(t, db))
	r.stop()
	require.Greater(t, len(crashes), 5)
	for _, fs := range crashes {
		again := run(t, fs, Options{Retention: century})
		require.Equal(t, want, readAll(t, again.DB))
		require.NoError(t, again.CleanTombstones(ctx))
		require.Equal(t, want, readAll(t, again.DB))
		again.stop()
		again = run(t, fs, Options{Retention: century})
		require.Equal(t, want, readAll(t, again.DB))
		again.stop()
	}
}

func TestTombstoneLimit(t *testing.T) {
	ctx := context.Background()
	db := run(t, vfs.NewMem(), Options{})
	db.deletes.mu.Lock()
	for i := range uint64(maxTombstones) {
		db.deletes.mu.stones = append(db.deletes.mu.stones, &tombstone{Seq: i, Mint: 1, Maxt: 0})
	}
	db.deletes.mu.next = maxTombstones
	db.deletes.mu.Unlock()
	require.ErrorContains(t, db.Delete(ctx, 0, 1, equal("a", "b")), "clean them first")
	require.NoError(t, db.CleanTombstones(ctx))
	require.NoError(t, db.Delete(ctx, 0, 1, equal("a", "b")))
}
