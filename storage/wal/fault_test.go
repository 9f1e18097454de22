package wal

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

// A fault fails operations with err, from the nth that changes the disk, for a number of times.
type fault struct {
	err         error
	first, last int64
	ops         atomic.Int64
	kinds       map[errorfs.OpKind]bool // nil: all
	hit         atomic.Int64
}

func (f *fault) String() string { return fmt.Sprintf("%v from %d to %d", f.err, f.first, f.last) }

func (f *fault) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead || op.Kind == errorfs.OpFileClose ||
		f.kinds != nil && !f.kinds[op.Kind] {
		return nil
	}
	if n := f.ops.Add(1); n < f.first || n >= f.last {
		return nil
	}
	f.hit.Add(1)
	return f.err
}

var writing = map[errorfs.OpKind]bool{errorfs.OpCreate: true, errorfs.OpFileWrite: true}

// TestDiskFullAtEveryWrite fills the disk at each write in turn, for a while, and sees that the
// log takes records again by itself and that all that were appended before an acknowledged one are
// there.
func TestDiskFullAtEveryWrite(t *testing.T) {
	for _, errno := range []error{syscall.ENOSPC, syscall.EROFS, io.ErrShortWrite} {
		for at := int64(1); ; at++ {
			f := &fault{err: errno, first: at, last: at + 5, kinds: writing}
			synctest.Test(t, func(t *testing.T) { diskFull(t, f) })
			if f.hit.Load() == 0 {
				require.Greater(t, at, int64(20))
				break
			}
		}
	}
}

func diskFull(t *testing.T, f *fault) {
	fs := vfs.NewCrashableMem()
	var full, free int
	opts := Options{SegmentBytes: 12 << 10}
	w, _ := recoverLog(t, errorfs.Wrap(fs, f), opts)
	w.opts.Events.DiskFull = func(error) { full++ }
	w.opts.Events.DiskFree = func() { free++ }
	r := run(t, w)
	taken, acked := uint64(0), uint64(0)
	for n := uint64(1); acked < 25; {
		pos, err := r.Append(Kind(1+n%200), payloadOf(n))
		if err == nil {
			taken, n = n, n+1
			if n%3 == 0 { // Some are not waited for, and yet must not be lost alone.
				continue
			}
			err = r.Wait(t.Context(), pos)
		}
		if err == nil {
			acked = taken
			continue
		}
		require.ErrorIs(t, err, ErrFull)
		require.NotErrorIs(t, err, ErrFailed)
		time.Sleep(fullRetry / 2)
	}
	require.NoError(t, r.stop())
	require.Equal(t, full, free)
	w, h := recoverLog(t, fs.CrashClone(vfs.CrashCloneCfg{}), opts)
	check(t, h, acked, f.String())
	require.Empty(t, h.torn)
	require.NoError(t, w.Close())
}

// halfFS writes half of what it is given when the disk is full, and scribbles over it, as a
// vfs.File may.
type halfFS struct {
	vfs.FS
	full atomic.Bool
}

func (h *halfFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := h.FS.Create(name, c)
	return &halfFile{f, h}, err
}

type halfFile struct {
	vfs.File
	fs *halfFS
}

func (f *halfFile) Write(p []byte) (int, error) {
	defer clear(p)
	if !f.fs.full.Load() {
		return f.File.Write(p)
	}
	n, _ := f.File.Write(p[:len(p)/2])
	return n, &errorOf{syscall.ENOSPC}
}

type errorOf struct{ error }

func (e *errorOf) Unwrap() error { return e.error }

func TestDiskFullWithinRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &halfFS{FS: vfs.NewMem()}
		w, _ := recoverLog(t, fs, Options{})
		r := run(t, w)
		require.NoError(t, r.put(1))
		fs.full.Store(true)
		require.ErrorIs(t, r.put(2), ErrFull)
		_, err := r.BeginCut().Finish()
		require.ErrorIs(t, err, ErrFull)
		require.ErrorIs(t, r.put(3), ErrFull)
		crashed := run(t, first(recoverLog(t, fs.FS, Options{}))) // A crash here: the half record is a torn tail.
		require.NoError(t, crashed.stop())

		fs.full.Store(false)
		time.Sleep(2 * fullRetry)
		require.NoError(t, r.put(4))
		require.NoError(t, r.stop())
		w, h := recoverLog(t, fs.FS, Options{})
		require.Equal(t, []uint64{1, 2, 4}, h.numbers, "2 was taken, 3 refused")
		require.Empty(t, h.torn)
		require.Empty(t, h.damage)
		require.NoError(t, w.Close())
	})
}

func TestCloseWhileFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &halfFS{FS: vfs.NewMem()}
		r := run(t, first(recoverLog(t, fs, Options{Sync: Off})))
		require.NoError(t, r.put(1))
		fs.full.Store(true)
		require.ErrorIs(t, r.put(2), ErrFull)
		require.NoError(t, r.stop())
		w, h := recoverLog(t, fs.FS, Options{})
		require.Equal(t, []uint64{1}, h.numbers)
		require.Len(t, h.torn, 1)
		require.NoError(t, w.Close())
	})
}

// TestFailureAtEveryOperation: after an error that is not a full disk nothing is acknowledged, and
// what was is there after a restart.
func TestFailureAtEveryOperation(t *testing.T) {
	for at := int64(1); ; at++ {
		f := &fault{err: syscall.EIO, first: at, last: at + 1} // A second try would succeed.
		fs := vfs.NewCrashableMem()
		failures := 0
		opts := Options{SegmentBytes: 12 << 10}
		w, err := Open(errorfs.Wrap(fs, f), testDir, opts)
		if err != nil {
			require.Positive(t, f.hit.Load())
			continue
		}
		_, err = w.Replay(func(uint64, Kind, []byte) error { return nil })
		require.NoError(t, err)
		w.opts.Events.Failed = func(error) { failures++ }
		r := run(t, w)
		acked := uint64(0)
		for n := uint64(1); n <= 20; n++ {
			err := r.put(n)
			if err != nil {
				require.ErrorIs(t, err, ErrFailed)
				continue
			}
			require.Zero(t, f.hit.Load(), "acknowledged after the failure")
			acked = n
		}
		err = r.stop()
		hit := f.hit.Load() > 0
		if hit && acked < 20 {
			require.ErrorIs(t, err, ErrFailed)
			require.Equal(t, 1, failures)
			_, err = r.Append(1, nil)
			require.ErrorIs(t, err, ErrFailed)
			require.Error(t, r.Checkpoint(1, standFor(0)))
		}
		w, h := recoverLog(t, fs.CrashClone(vfs.CrashCloneCfg{}), opts)
		check(t, h, acked, f.String())
		require.NoError(t, w.Close())
		if !hit {
			require.Greater(t, at, int64(20))
			return
		}
	}
}

// TestFailedSyncInInterval: whoever comes after the failed sync learns of it.
func TestFailedSyncInInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fault{err: errors.New("bad sector"), first: 2, last: 3, kinds: map[errorfs.OpKind]bool{errorfs.OpFileSyncData: true}}
		w, _ := recoverLog(t, errorfs.Wrap(vfs.NewMem(), f), Options{Sync: Interval})
		r := run(t, w)
		require.NoError(t, r.put(1))
		time.Sleep(time.Second)
		require.ErrorIs(t, r.put(2), ErrFailed)
		require.ErrorIs(t, r.stop(), ErrFailed)
	})
}

// TestUnreadablePages: what the disk can't read is damage, and the rest is read.
func TestUnreadablePages(t *testing.T) {
	fs := vfs.NewMem()
	r := run(t, first(recoverLog(t, fs, Options{})))
	for n := uint64(1); n <= 50; n++ {
		require.NoError(t, r.put(n))
	}
	require.NoError(t, r.stop())
	bad := &badFS{FS: fs, from: 5 * badPage, to: 6 * badPage}
	w, h := recoverLog(t, bad, Options{})
	require.Len(t, h.damage, 1)
	require.ErrorIs(t, h.damage[0].Err, syscall.EIO)
	require.Contains(t, h.damage[0].String(), "input/output error")
	require.Greater(t, len(h.numbers), 40)
	require.Equal(t, uint64(50), h.numbers[len(h.numbers)-1])
	require.NoError(t, w.Close())
}

// badFS can't read some bytes of any file.
type badFS struct {
	vfs.FS
	from, to int64
}

func (b *badFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := b.FS.Open(name, opts...)
	return &badFile{f, b}, err
}

type badFile struct {
	vfs.File
	fs *badFS
}

func (f *badFile) ReadAt(p []byte, at int64) (int, error) {
	if at >= f.fs.to || at+int64(len(p)) <= f.fs.from {
		return f.File.ReadAt(p, at)
	}
	if at >= f.fs.from {
		return 0, syscall.EIO
	}
	n, err := f.File.ReadAt(p[:f.fs.from-at], at)
	if err == nil {
		err = syscall.EIO
	}
	return n, err
}
