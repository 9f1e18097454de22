package storage

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/keys"
)

// midnight before longAgo.
const midnight = longAgo / dayMillis * dayMillis

func TestSealable(t *testing.T) {
	const (
		hour  = int64(3_600_000)
		after = 3 * hour
		start = midnight
		due   = start + dayMillis + after
	)
	slots := day{start: start, parts: 12, bytes: 1200, largest: 100}
	few := day{start: start, parts: 2, bytes: 1124, largest: 1000}
	much := day{start: start, parts: 2, bytes: 1125, largest: 1000}
	at := func(d day, since, retry int64) day {
		d.wait = dayWait{since: since, retry: retry}
		return d
	}
	next := at(slots, start, 0)
	next.start += dayMillis
	for _, c := range []struct {
		name string
		days []day
		now  int64
		want int64 // 0 is none
	}{
		{"nothing", nil, due, 0},
		{"too early", []day{at(slots, start, 0)}, due - 1, 0},
		{"slots", []day{at(slots, start, 0)}, due, start},
		{"one part", []day{{start: start, parts: 1, bytes: 5, largest: 5}}, due + dayMillis, 0},
		{"much waits", []day{at(much, due, 0)}, due + hour - 1, 0},
		{"much has waited", []day{at(much, due, 0)}, due + hour, start},
		{"few wait", []day{at(few, due, 0)}, due + 6*hour - 1, 0},
		{"few have waited", []day{at(few, due, 0)}, due + 6*hour, start},
		{"as many as are borne", []day{{start, 32, 1001, 1000, dayWait{since: due}}}, due, 0},
		{"too many", []day{{start, 33, 1001, 1000, dayWait{since: due}}}, due, start},
		{"failed before", []day{at(slots, start, due+1)}, due, 0},
		{"tried again", []day{at(slots, start, due+1)}, due + 1, start},
		{"oldest first", []day{at(slots, start, 0), next}, due + dayMillis, start},
		{"the next while one waits", []day{at(few, due+dayMillis, 0), next}, due + dayMillis, next.start},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := sealable(c.days, c.now, after)
			require.Equal(t, c.want != 0, ok)
			require.Equal(t, c.want, got)
		})
	}
}

func TestMergeBits(t *testing.T) {
	for _, c := range []struct {
		total int64
		bits  uint8
		want  uint8
	}{
		{0, 8, 0},
		{mergeBytes - 1, 8, 0},
		{mergeBytes, 8, 1},
		{3 * mergeBytes, 8, 2},
		{4 * mergeBytes, 8, 3},
		{math.MaxInt64, 8, 8},
		{math.MaxInt64, 0, 0},
	} {
		require.Equal(t, c.want, mergeBits(c.total, c.bits))
	}
}

// fillDays writes days with late and contradicting samples and with deleted ones: each slot is
// flushed in at least two parts.
func fillDays(t *testing.T, db *DB, days int64) {
	t.Helper()
	ctx := context.Background()
	refs := define(t, db, 40)
	for i := range days * 12 * 4 {
		at := midnight + i*testSlot/4
		put(t, db, row(refs, at, float64(i)))
		if i%8 == 7 {
			require.NoError(t, db.Flush(ctx))
			put(t, db, row(refs[:10], at-testSlot-1000, float64(-i)))
			put(t, db, row(refs[:20], at-testSlot/4, float64(i%5)))
		}
		if i%40 == 20 {
			require.NoError(t, db.Delete(ctx, at-testSlot, at-testSlot/2, equal("i", fmt.Sprint(i%40))))
		}
	}
	require.NoError(t, db.Flush(ctx))
}

func requireDays(t *testing.T, db *DB, days int) {
	t.Helper()
	parts := db.parts.snapshot()
	require.Len(t, parts, days)
	for i, p := range parts {
		require.Equal(t, midnight+int64(i)*dayMillis, p.Meta().Part.Start)
		require.NoError(t, p.Verify(db.store))
	}
	listed, err := block.List(db.store)
	require.NoError(t, err)
	require.Len(t, listed, days, "the others are off the disk")
}

func TestSeal(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	var told []SealInfo
	opts := Options{Retention: century, Events: Events{Sealed: func(i SealInfo) { told = append(told, i) }}}
	db := run(t, mem, opts)
	fillDays(t, db.DB, 2)
	want := readAll(t, db.DB)
	samples := int64(0)
	for _, w := range want {
		samples += int64(len(w))
	}
	require.NoError(t, db.Seal(ctx))
	requireDays(t, db.DB, 2)
	require.Equal(t, want, readAll(t, db.DB))
	require.Len(t, told, 2)
	require.Equal(t, samples, told[0].Samples+told[1].Samples, "nothing is double, and what is deleted is gone")
	require.Greater(t, told[0].BytesIn, told[0].BytesOut)
	require.Equal(t, "2023-11-14", told[0].Day)
	require.NoError(t, db.Seal(ctx))
	require.Len(t, told, 2, "there is nothing to do")

	require.NoError(t, db.CleanTombstones(ctx))
	require.Equal(t, want, readAll(t, db.DB))
	db.stop()
	db = run(t, mem, opts)
	requireDays(t, db.DB, 2)
	require.Equal(t, want, readAll(t, db.DB))

	// What is late for a sealed day is sealed with it.
	put(t, db.DB, row(define(t, db.DB, 50), midnight+5, 5))
	want = readAll(t, db.DB)
	require.Len(t, want, 50)
	require.NoError(t, db.Seal(ctx))
	requireDays(t, db.DB, 2)
	require.Len(t, told, 3)
	require.Equal(t, want, readAll(t, db.DB))
	db.stop()
	require.Equal(t, want, readAll(t, run(t, mem, opts).DB))
}

// Every sample of a day may be deleted, and written again.
func TestSealOfNothing(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	fillDays(t, db.DB, 1)
	require.NoError(t, db.Delete(ctx, math.MinInt64, math.MaxInt64, equal("__name__", "m")))
	require.NoError(t, db.Seal(ctx))
	requireDays(t, db.DB, 0)
	put(t, db.DB, row(define(t, db.DB, 1), midnight, 1))
	db.stop()
	db = run(t, mem, Options{Retention: century})
	require.Equal(t, map[string]written{key("0"): {midnight: bits(1)}}, readAll(t, db.DB))
}

// However the shards are cut, the part holds the same. How many chunks have their timestamps in
// common with others that are at hand differs.
func TestMergeByShards(t *testing.T) {
	ctx := context.Background()
	db := run(t, vfs.NewMem(), Options{Retention: century})
	fillDays(t, db.DB, 1)
	var first block.Meta
	for width := range db.opts.ShardBits + 1 {
		b := db.newBuilder(block.Meta{Part: keys.Part{Start: midnight, Seq: 1000}, ShardBits: db.opts.ShardBits})
		any, err := db.merge(ctx, b, db.parts.snapshot(), width)
		require.NoError(t, err)
		require.True(t, any)
		_, m, err := b.Finish()
		require.NoError(t, err)
		if width == 0 {
			first = m
		}
		require.LessOrEqual(t, first.ChunkBytes, m.ChunkBytes)
		first.ChunkBytes, first.Bytes = m.ChunkBytes, m.Bytes
		require.Equal(t, first, m)
		require.NoError(t, b.Discard())
	}
	left, err := db.opts.FS.List(db.path(buildDir))
	require.NoError(t, err)
	require.Empty(t, left)
}

// Who has a list of parts from before reads the samples once, from the sealed one.
func TestSelectFromSealedMeanwhile(t *testing.T) {
	ctx := context.Background()
	db := run(t, vfs.NewMem(), Options{Retention: century})
	fillDays(t, db.DB, 1)
	old := db.parts.snapshot()
	require.NoError(t, db.Seal(ctx))
	sealed := db.parts.snapshot()[0]
	read := map[*part]bool{}
	for i, p := range old {
		run, err := db.selectPart(p, everything(sealed.Meta()), nil, read)
		require.NoError(t, err)
		require.Equal(t, i == 0, len(run) > 0)
	}
	require.Equal(t, map[*part]bool{sealed: true}, read)
}

// Maintenance seals by itself: a day for each call, the oldest first, and late samples when they
// have waited.
func TestMaintainSeals(t *testing.T) {
	ctx := context.Background()
	var told []string
	db := run(t, vfs.NewMem(), Options{Retention: century, Events: Events{
		Sealed:     func(i SealInfo) { told = append(told, i.Day) },
		Background: func(what string, err error) { t.Errorf("%s: %v", what, err) },
	}})
	fillDays(t, db.DB, 3)
	want := readAll(t, db.DB)
	now := time.UnixMilli(midnight + 2*dayMillis).Add(3 * time.Hour)
	db.Maintain(ctx, now)
	require.Empty(t, told, "it is not known for how long they have waited")
	now = now.Add(manyWait)
	db.Maintain(ctx, now)
	require.Equal(t, []string{"2023-11-14"}, told)
	db.Maintain(ctx, now)
	require.Equal(t, []string{"2023-11-14", "2023-11-15"}, told)
	db.Maintain(ctx, now)
	require.Len(t, told, 2, "the third has not ended")
	require.Equal(t, want, readAll(t, db.DB))

	require.NoError(t, appendTo(ctx, db.DB, "late", midnight+1, 1))
	require.NoError(t, db.Flush(ctx))
	want = readAll(t, db.DB)
	db.Maintain(ctx, now)
	require.Len(t, told, 2, "it has just come")
	db.Maintain(ctx, now.Add(manyWait))
	require.Equal(t, []string{"2023-11-14", "2023-11-15", "2023-11-14"}, told)
	require.Equal(t, want, readAll(t, db.DB))
}

// A full disk puts sealing off.
func TestSealNeedsRoom(t *testing.T) {
	ctx := context.Background()
	disk := &meteredFS{FS: vfs.NewMem()}
	disk.free.Store(1 << 30)
	var failed []string
	db := run(t, disk, Options{Retention: century, ReserveBytes: 100 << 20, Events: Events{
		Background: func(what string, err error) {
			require.ErrorIs(t, err, ErrFull)
			failed = append(failed, what)
		},
	}})
	fillDays(t, db.DB, 1)
	want, parts := readAll(t, db.DB), len(db.parts.snapshot())
	now := time.UnixMilli(midnight + 2*dayMillis)
	db.Maintain(ctx, now)
	now = now.Add(manyWait)
	disk.free.Store(100 << 20)
	require.ErrorIs(t, db.Seal(ctx), ErrFull)
	db.Maintain(ctx, now)
	db.Maintain(ctx, now)
	require.Equal(t, []string{"seal"}, failed, "it is not tried again at once")
	require.Len(t, db.parts.snapshot(), parts)
	disk.free.Store(1 << 30)
	db.Maintain(ctx, now.Add(sealRetry))
	requireDays(t, db.DB, 1)
	require.Equal(t, want, readAll(t, db.DB))
	require.Len(t, failed, 1)
}

// The disk is full from each write of a table on. Nothing is lost and nothing is left behind, and
// sealing works when there is room again.
func TestFullDiskWhileSealing(t *testing.T) {
	ctx := context.Background()
	for n := int64(1); ; n++ {
		o := &outage{err: syscall.ENOSPC, first: n, path: buildDir, kinds: map[errorfs.OpKind]bool{
			errorfs.OpCreate: true, errorfs.OpFileWrite: true, errorfs.OpFileSync: true,
		}}
		o.over.Store(true)
		db := run(t, errorfs.Wrap(vfs.NewMem(), o), Options{Retention: century})
		fillDays(t, db.DB, 1)
		want := readAll(t, db.DB)
		o.ops.Store(0)
		o.over.Store(false)
		err := db.Seal(ctx)
		require.Equal(t, o.hit.Load(), err != nil)
		require.Equal(t, want, readAll(t, db.DB))
		left, err := db.opts.FS.List(db.path(buildDir))
		require.NoError(t, err)
		require.Empty(t, left)
		o.over.Store(true)
		require.NoError(t, db.Seal(ctx))
		requireDays(t, db.DB, 1)
		require.Equal(t, want, readAll(t, db.DB))
		db.stop()
		if !o.hit.Load() {
			require.Greater(t, n, int64(5))
			return
		}
	}
}

func TestRetentionOfSealedDays(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: 48 * time.Hour, SealAfter: 1000 * time.Hour})
	fillDays(t, db.DB, 3)
	require.NoError(t, db.Seal(ctx))
	requireDays(t, db.DB, 3)
	want := readAll(t, db.DB)
	end := midnight + dayMillis - testSlot/4 // The first day's last sample.
	db.Maintain(ctx, time.UnixMilli(end).Add(48*time.Hour))
	require.Equal(t, want, readAll(t, db.DB))
	db.Maintain(ctx, time.UnixMilli(end+1).Add(48*time.Hour))
	require.Len(t, db.parts.snapshot(), 2)
	for _, w := range want {
		maps.DeleteFunc(w, func(at int64, _ uint64) bool { return at < midnight+dayMillis })
	}
	require.Equal(t, want, readAll(t, db.DB))
	db.stop()
	require.Equal(t, want, readAll(t, run(t, mem, Options{Retention: century}).DB))
}

// Power is lost before each operation on the disk that changes something while a day is sealed,
// sealed anew and cleaned. All samples are there, none is double, and none that was deleted is back.
func TestPowerLossWhileSealing(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashableMem()
	type crash struct {
		fs   *vfs.MemFS
		step int
	}
	var (
		mu      sync.Mutex // of what follows
		step    int
		crashes []crash
		rng     = rand.New(rand.NewPCG(5, 5))
	)
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if step > 0 && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			unsynced := []int{0, 50, 100}[rng.IntN(3)]
			crashes = append(crashes, crash{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng}), step})
		}
		return nil
	})
	db := run(t, errorfs.Wrap(mem, hook), Options{Retention: century, WALSegmentBytes: 4 << 10})
	fillDays(t, db.DB, 1)
	refs := define(t, db.DB, 40)
	put(t, db.DB, row(refs, midnight+dayMillis, 1)) // Stays in the log.
	// One part has a mark, and the log its samples: the last flush has lost its checkpoint.
	db.maintenance.Lock()
	db.maintenance.checkpointed = 0
	db.maintenance.Unlock()
	var want [4]map[string]written
	begin := func(n int) {
		want[n] = readAll(t, db.DB)
		mu.Lock()
		defer mu.Unlock()
		step = n
	}
	begin(1)
	require.NoError(t, db.Seal(ctx))
	begin(0)
	put(t, db.DB, row(refs[:7], midnight+77, 3))
	require.NoError(t, db.Flush(ctx))
	begin(2)
	require.NoError(t, db.Seal(ctx))
	begin(0)
	require.NoError(t, db.Delete(ctx, midnight, midnight+testSlot, equal("i", "3")))
	begin(3)
	require.NoError(t, db.CleanTombstones(ctx))
	begin(0)
	require.Equal(t, want[3], want[0])
	db.stop()
	require.Greater(t, len(crashes), 60)
	for i, c := range crashes {
		if !*thorough && i%3 != 0 {
			continue
		}
		again := run(t, c.fs, Options{Retention: century})
		require.Equal(t, want[c.step], readAll(t, again.DB), "crash %d", i)
		require.NoError(t, again.Seal(ctx))
		require.Equal(t, want[c.step], readAll(t, again.DB), "crash %d, sealed", i)
		require.LessOrEqual(t, len(again.parts.snapshot()), 2)
		again.stop()
		again = run(t, c.fs, Options{Retention: century})
		require.Equal(t, want[c.step], readAll(t, again.DB), "crash %d, opened again", i)
		again.stop()
	}
}
