package storage

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// Power is lost after a flush was ingested and before its checkpoint is there: the log still has
// what is in the parts, and the head must not get it again.
func TestCrashBetweenIngestAndCheckpoint(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashableMem()
	var crashed *vfs.MemFS
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRename && strings.HasSuffix(op.Path, ".checkpoint") || crashed == nil &&
			op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "checkpoint") {
			crashed = mem.CrashClone(vfs.CrashCloneCfg{})
		}
		return nil
	})
	db := run(t, errorfs.Wrap(mem, hook), Options{Retention: century})
	refs := define(t, db.DB, 10)
	for i := range int64(40) {
		put(t, db.DB, row(refs, longAgo+i*testSlot/10, float64(i)))
	}
	db.Maintain(ctx, time.UnixMilli(longAgo+2*testSlot+testSlot/4))
	want, samples := readAll(t, db.DB), db.Stats(1).Head.Samples
	require.EqualValues(t, 200, samples, "two of four slots are flushed")
	require.NotNil(t, crashed)
	db.stop()

	again := run(t, crashed, Options{Retention: century})
	require.Len(t, again.Stats(1).Parts, 2)
	require.Equal(t, want, readAll(t, again.DB))
	require.Equal(t, samples, again.Stats(1).Head.Samples, "nothing is twice in memory")
	require.NoError(t, again.Flush(ctx))
	require.Equal(t, want, readAll(t, again.DB))
	parts := int64(0)
	for _, p := range again.Stats(1).Parts {
		parts += p.Samples
	}
	require.EqualValues(t, 400, parts)
}

// Whoever removes the log loses what was in it, but not what comes after.
func TestLogRemovedByHand(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century, WALSegmentBytes: 1 << 10})
	for i := range int64(50) {
		put(t, db.DB, row(define(t, db.DB, 10), longAgo+i, float64(i)))
	}
	require.NoError(t, db.Flush(ctx))
	db.stop()
	require.NoError(t, mem.RemoveAll("data/wal"))
	db = run(t, mem, Options{Retention: century})
	require.Len(t, readAll(t, db.DB)[key("3")], 50)
	put(t, db.DB, row(define(t, db.DB, 10), longAgo+1000, 1))
	want := readAll(t, db.DB)
	require.Len(t, want[key("3")], 51)
	db.stop()
	db = run(t, mem, Options{Retention: century})
	require.Equal(t, want, readAll(t, db.DB))
}

func TestSecondOpenIsLocked(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db, err := Open(dir, Options{FS: fs})
			require.NoError(t, err)
			_, err = Open(dir, Options{FS: fs})
			require.ErrorIs(t, err, ErrLocked)
			require.ErrorContains(t, err, dir)
			require.NoError(t, db.Close())
			require.ErrorIs(t, db.Close(), ErrClosed)
			db, err = Open(dir, Options{FS: fs})
			require.NoError(t, err)
			require.NoError(t, db.Close())
		})
	}
}

// A directory of another kind is refused, and is as good as before for whom it belongs to.
func TestForeignDirectory(t *testing.T) {
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	put(t, db.DB, row(define(t, db.DB, 3), longAgo, 1))
	require.NoError(t, db.Flush(context.Background()))
	put(t, db.DB, row(define(t, db.DB, 3), longAgo, 2))
	want := readAll(t, db.DB)
	db.stop()
	write(t, mem, "data/build/left", "x")

	_, err := Open("data", Options{FS: mem, ShardBits: 4})
	require.ErrorContains(t, err, "made with 8 shard bits, not 4")
	_, err = mem.Stat("data/build/left")
	require.NoError(t, err, "nothing is removed from a directory that is refused")

	db = run(t, mem, Options{Retention: century})
	require.Equal(t, want, readAll(t, db.DB))
	left, err := mem.List("data/build")
	require.NoError(t, err)
	require.Empty(t, left, "tables left behind are removed")
	require.NoError(t, db.store.Set(keys.Format(), []byte{formatVersion + 1, 8}, pebble.Sync))
	db.stop()
	_, err = Open("data", Options{FS: mem})
	require.ErrorContains(t, err, "has format 3; this version reads 2")
}

func write(t *testing.T, fs vfs.FS, path, text string) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = io.WriteString(f, text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// A head is as large after a restart as before, whether it comes from frames or a checkpoint.
func TestHeadIsTheSameAfterReopen(t *testing.T) {
	mem := vfs.NewMem()
	opts := Options{Retention: century, WALSegmentBytes: 4 << 10}
	db := run(t, mem, opts)
	refs := define(t, db.DB, 20)
	for i := range int64(300) {
		put(t, db.DB, row(refs, longAgo+i*testSlot/200, float64(i%7)))
		if i%10 == 0 {
			put(t, db.DB, row(refs, longAgo+i*testSlot/400+1, 3))
		}
	}
	for range 3 {
		want, stats := readAll(t, db.DB), db.Stats(1).Head
		db.stop()
		db = run(t, mem, opts)
		require.Equal(t, want, readAll(t, db.DB))
		require.Equal(t, stats.Samples, db.Stats(1).Head.Samples)
		require.Equal(t, stats.Series, db.Stats(1).Head.Series)
		// Late samples that waited to be sorted in may be a chunk of each series now.
		require.LessOrEqual(t, db.Stats(1).Head.Chunks, stats.Chunks+int64(len(refs)))
		db.maintenance.Lock()
		require.NoError(t, db.checkpointLocked())
		db.maintenance.Unlock()
	}
}

// Run flushes, retains and ends by itself, and afterwards nothing is taken any more.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		flushed := make(chan FlushInfo, 100)
		retained := make(chan string, 100)
		db, err := Open("data", Options{FS: vfs.NewMem(), Retention: 24 * time.Hour, Events: Events{
			Flushed:  func(i FlushInfo) { flushed <- i },
			Retained: func(part string) { retained <- part },
		}})
		require.NoError(t, err)
		ended := make(chan error)
		go func() { ended <- db.Run(ctx) }()
		put(t, db, row(define(t, db, 3), time.Now().UnixMilli(), 1))
		info := <-flushed
		require.EqualValues(t, 3, info.Samples)
		require.Equal(t, 1, info.Parts)
		<-retained
		require.Empty(t, readAll(t, db))
		require.Zero(t, db.Active(), "quiet series are forgotten")
		cancel()
		require.NoError(t, <-ended)
		_, err = db.Refs(context.Background(), nil, []series.Labels{series.FromStrings("__name__", "new")})
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, db.Close())
	})
}

// After Close every call says so, and none touches what is closed.
func TestClosed(t *testing.T) {
	ctx := context.Background()
	db := run(t, vfs.NewMem(), Options{Retention: century})
	refs := define(t, db.DB, 1)
	put(t, db.DB, row(refs, longAgo, 1))
	require.NoError(t, db.Delete(ctx, 0, 1, equal("a", "b")))
	db.stop()
	_, err := db.Append(ctx, row(refs, longAgo, 1))
	require.ErrorIs(t, err, ErrClosed)
	_, err = db.Refs(ctx, nil, nil)
	require.ErrorIs(t, err, ErrClosed)
	_, err = read(db.DB, 0, math.MaxInt64, equal("a", "b"))
	require.ErrorIs(t, err, ErrClosed)
	_, err = db.LabelNames(ctx, series.Selector{})
	require.ErrorIs(t, err, ErrClosed)
	_, err = db.LabelValues(ctx, "a", series.Selector{})
	require.ErrorIs(t, err, ErrClosed)
	_, err = db.Snapshot(ctx, true)
	require.ErrorIs(t, err, ErrClosed)
	for what, err := range map[string]error{
		"flush": db.Flush(ctx), "delete": db.Delete(ctx, 0, 1, equal("a", "b")), "clean": db.CleanTombstones(ctx),
	} {
		require.ErrorIs(t, err, ErrClosed, what)
	}
	db.Maintain(ctx, time.Now())
}

// A snapshot is a data directory with what the DB had.
func TestSnapshot(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	refs := define(t, db.DB, 5)
	for i := range int64(30) {
		put(t, db.DB, row(refs, longAgo+i*testSlot/10, float64(i)))
	}
	db.Maintain(ctx, time.UnixMilli(longAgo+2*testSlot))
	require.NoError(t, db.Delete(ctx, longAgo, longAgo+testSlot/2, equal("i", "1")))
	put(t, db.DB, row(refs, longAgo+4*testSlot, 77))
	whole := readAll(t, db.DB)
	without, err := db.Snapshot(ctx, true)
	require.NoError(t, err)
	with, err := db.Snapshot(ctx, false)
	require.NoError(t, err)
	require.NotEqual(t, with, without)
	require.Equal(t, whole, readAll(t, db.DB))
	put(t, db.DB, row(define(t, db.DB, 5), longAgo+5*testSlot, 78))
	db.stop()

	for name, n := range map[string]int{with: 31, without: 30} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			db, err := Open("data/snapshots/"+name, Options{FS: mem, Retention: century})
			require.NoError(t, err)
			r := start(db)
			defer r.stop()
			all := readAll(t, db)
			require.Len(t, all, 5)
			require.Len(t, all[key("0")], n)
			for s, w := range all {
				for at, bits := range w {
					require.Equal(t, whole[s][at], bits)
				}
			}
			put(t, db, row(define(t, db, 5), longAgo+6*testSlot, 79))
			require.Len(t, readAll(t, db)[key("0")], n+1)
		})
	}
}
