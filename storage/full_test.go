package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

// meteredFS is a disk that says it has free bytes left.
type meteredFS struct {
	vfs.FS
	free atomic.Uint64
}

func (m *meteredFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: m.free.Load(), TotalBytes: 1 << 40}, nil
}

// Writes end before the space does, queries go on, and writing resumes by itself.
func TestNearlyFullDisk(t *testing.T) {
	ctx := context.Background()
	disk := &meteredFS{FS: vfs.NewMem()}
	disk.free.Store(1 << 30)
	var mu sync.Mutex
	var told []bool
	db := run(t, disk, Options{ReserveBytes: 100 << 20, Retention: century, Events: Events{Full: func(full bool, _ uint64) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, full)
	}}})
	refs := define(t, db.DB, 2)
	put(t, db.DB, row(refs, longAgo, 1))

	disk.free.Store(100<<20 - 1)
	require.Eventually(t, db.full.Load, 5*time.Second, time.Millisecond)
	_, err := db.Append(ctx, row(refs, longAgo+1, 1))
	require.ErrorIs(t, err, ErrFull)
	_, err = db.Refs(ctx, nil, nil)
	require.ErrorIs(t, err, ErrFull)
	require.Len(t, readAll(t, db.DB), 2)
	require.NoError(t, db.Flush(ctx), "the reserve is there for flushing")
	donor, _ := newDonor(t, []series.Labels{series.FromStrings("__name__", "other", "i", "a")}, longAgo, longAgo+testSlot)
	_, err = db.Import(ctx, everythingOf(t, donor))
	require.ErrorIs(t, err, ErrFull, "and not for other nodes' samples")
	require.Len(t, readAll(t, db.DB), 2)

	disk.free.Store(110 << 20)
	db.checkSpace()
	require.True(t, db.full.Load(), "there must be a quarter more before writes are taken again")

	disk.free.Store(1 << 30)
	require.Eventually(t, func() bool {
		_, err := db.Append(ctx, row(refs, longAgo+2, 2))
		return err == nil
	}, 5*time.Second, time.Millisecond)

	disk.free.Store(storeMargin - 1)
	require.ErrorIs(t, db.Flush(ctx), ErrFull)
	require.ErrorIs(t, db.Delete(ctx, 0, math.MaxInt64, equal("i", "0")), ErrFull)
	disk.free.Store(1 << 30)
	require.NoError(t, db.Flush(ctx))
	for _, w := range readAll(t, db.DB) {
		require.Equal(t, written{longAgo: math.Float64bits(1), longAgo + 2: math.Float64bits(2)}, w)
	}
	mu.Lock()
	defer mu.Unlock()
	require.GreaterOrEqual(t, len(told), 2)
	require.Equal(t, []bool{true, false}, told[:2])
}

// outage fails operations from the nth on that it is asked about, until it is over.
type outage struct {
	err   error
	kinds map[errorfs.OpKind]bool
	// path, when it is not empty, must be part of the file's.
	path  string
	first int64
	ops   atomic.Int64
	hit   atomic.Bool
	over  atomic.Bool
}

func (o *outage) String() string { return fmt.Sprintf("%v from %d", o.err, o.first) }

func (o *outage) MaybeError(op errorfs.Op) error {
	// Pebble can't go on after a failed write to its manifest or log: see storeRoom.
	if !o.kinds[op.Kind] || !strings.Contains(op.Path, o.path) ||
		strings.Contains(op.Path, storeDir) && op.Kind != errorfs.OpLink {
		return nil
	}
	if o.ops.Add(1) < o.first || o.over.Load() {
		return nil
	}
	o.hit.Store(true)
	return o.err
}

// The disk is full from each write on, for a while: to the log, a table, an ingestion, a checkpoint.
func TestFullDiskAtEveryWrite(t *testing.T) {
	for n := int64(1); ; n++ {
		o := &outage{err: syscall.ENOSPC, first: n, kinds: map[errorfs.OpKind]bool{
			errorfs.OpCreate: true, errorfs.OpFileWrite: true, errorfs.OpLink: true,
		}}
		synctest.Test(t, func(t *testing.T) { fullFrom(t, o) })
		if !o.hit.Load() {
			require.Greater(t, n, int64(20))
			return
		}
	}
}

func fullFrom(t *testing.T, o *outage) {
	ctx := t.Context()
	mem := vfs.NewCrashableMem()
	var failures atomic.Int64
	opts := Options{
		FS: errorfs.Wrap(mem, o), Retention: century, WALSegmentBytes: 2 << 10,
		Events: Events{Background: func(string, error) { failures.Add(1) }},
	}
	o.over.Store(true)
	o.ops.Store(math.MinInt64 / 2)
	db, err := Open("data", opts)
	require.NoError(t, err)
	r := start(db)
	defer r.stop()
	refs := define(t, db, 30)
	o.ops.Store(0)
	o.over.Store(false)

	want := written{}
	for i := range int64(12) {
		at := longAgo + i*testSlot/3
		if _, err := db.Append(ctx, row(refs, at, float64(i))); err == nil {
			want[at] = math.Float64bits(float64(i))
		} else {
			require.ErrorIs(t, err, ErrFull)
			require.NotErrorIs(t, err, ErrFailed)
			require.True(t, o.hit.Load())
		}
		if i%4 == 3 {
			was := failures.Load()
			db.Maintain(ctx, time.UnixMilli(at))
			if failures.Load() > was {
				require.True(t, o.hit.Load())
			}
			requireHas(t, db, 30, want)
		}
	}
	if o.hit.Load() {
		require.Error(t, errors.Join(db.Flush(ctx), failed(&failures)), "a full disk is told")
	}
	o.over.Store(true)
	time.Sleep(2 * spaceInterval) // In the bubble's time: the log and the DB have looked again.
	at := longAgo + 100*testSlot
	put(t, db, row(refs, at, 100))
	want[at] = math.Float64bits(100)
	requireHas(t, db, 30, want)
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, db.Flush(ctx))
	requireHas(t, db, 30, want)
	r.stop()
	for _, fs := range []*vfs.MemFS{crashed, mem} {
		opts.FS = fs
		again, err := Open("data", opts)
		require.NoError(t, err)
		requireHas(t, again, 30, want)
		require.NoError(t, again.Close())
	}
}

func failed(n *atomic.Int64) error {
	if n.Load() > 0 {
		return errors.New("told in the background")
	}
	return nil
}

// requireHas holds that each of n series has at least the samples in want.
func requireHas(t *testing.T, db *DB, n int, want written) {
	t.Helper()
	all := readAll(t, db)
	if len(want) > 0 {
		require.Len(t, all, n)
	}
	for name, have := range all {
		for at, bits := range want {
			got, ok := have[at]
			require.True(t, ok && got == bits, "%q at %d: %x, want %x", name, at, got, bits)
		}
	}
}

// shortage has no room for three operations of Pebble from the nth on.
type shortage struct {
	first int64
	ops   atomic.Int64
	hits  atomic.Int64
}

func (s *shortage) String() string { return fmt.Sprintf("shortage from %d", s.first) }

func (s *shortage) MaybeError(op errorfs.Op) error {
	if !strings.Contains(op.Path, storeDir) || op.Kind != errorfs.OpCreate && op.Kind != errorfs.OpFileWrite {
		return nil
	}
	if n := s.ops.Add(1); n < s.first || n >= s.first+3 {
		return nil
	}
	s.hits.Add(1)
	return syscall.ENOSPC
}

// At each write of Pebble, its list of tables and its log among them, the disk is full to the brim for a
// moment: nothing fails, and nothing is lost.
func TestStoreWaitsForRoom(t *testing.T) {
	ctx := t.Context()
	for n := int64(1); ; n++ {
		s := &shortage{first: n}
		mem := vfs.NewCrashableMem()
		var began, ended atomic.Int64
		opts := Options{FS: errorfs.Wrap(mem, s), Retention: century, Events: Events{Waiting: func(waiting bool, err error) {
			if waiting {
				began.Add(1)
				require.ErrorIs(t, err, syscall.ENOSPC)
			} else {
				ended.Add(1)
			}
		}}}
		db := run(t, opts.FS, opts)
		refs := define(t, db.DB, 3)
		want := written{}
		for i := range int64(4) {
			put(t, db.DB, row(refs, longAgo+i*testSlot, float64(i)))
			want[longAgo+i*testSlot] = math.Float64bits(float64(i))
			require.NoError(t, db.Flush(ctx))
		}
		require.NoError(t, db.Delete(ctx, longAgo, longAgo, equal("i", "0")))
		s.ops.Store(math.MaxInt64 / 2) // What is being closed does not wait.
		db.stop()
		require.Equal(t, began.Load(), ended.Load())
		again := run(t, mem.CrashClone(vfs.CrashCloneCfg{}), Options{Retention: century})
		require.Len(t, readAll(t, again.DB), 3)
		delete(want, longAgo)
		requireHas(t, again.DB, 3, want)
		again.stop()
		if s.hits.Load() == 0 {
			require.Greater(t, n, int64(20))
			return
		}
		require.Positive(t, began.Load())
	}
}

// After a failed sync of the log no write is taken any more, and what was acknowledged is there
// after a restart.
func TestFailedSync(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashableMem()
	o := &outage{err: syscall.EIO, path: ".wal", kinds: map[errorfs.OpKind]bool{
		errorfs.OpFileSync: true, errorfs.OpFileSyncData: true,
	}}
	o.over.Store(true)
	db := run(t, errorfs.Wrap(mem, o), Options{Retention: century})
	refs := define(t, db.DB, 3)
	want := written{}
	for i := range int64(10) {
		put(t, db.DB, row(refs, longAgo+i, float64(i)))
		want[longAgo+i] = math.Float64bits(float64(i))
	}
	o.over.Store(false)
	_, err := db.Append(ctx, row(refs, longAgo+100, 1))
	require.ErrorIs(t, err, ErrFailed)
	o.over.Store(true)
	_, err = db.Append(ctx, row(refs, longAgo+101, 1))
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, db.Flush(ctx), ErrFailed)
	requireHas(t, db.DB, 3, want)
	db.stop()
	again := run(t, mem.CrashClone(vfs.CrashCloneCfg{}), Options{Retention: century})
	requireHas(t, again.DB, 3, want)
	put(t, again.DB, row(define(t, again.DB, 3), longAgo+102, 1))
}
