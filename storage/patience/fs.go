package patience

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The first pause between two tries, and the longest: each is twice the one before.
const (
	firstPause   = time.Millisecond
	longestPause = 250 * time.Millisecond
)

// FS is a file system on which nothing fails for lack of space.
type FS struct {
	vfs.FS
	told    func(waiting bool, err error)
	waiting atomic.Int64
	givenUp atomic.Bool
}

// New returns an FS over another. If told is not nil, it is called when somebody begins to wait while
// nobody else does, with the error, and when nobody waits any more; it is called by those who wait.
func New(fs vfs.FS, told func(waiting bool, err error)) *FS {
	if told == nil {
		told = func(bool, error) {}
	}
	return &FS{FS: fs, told: told}
}

// Waiting is how many wait for room.
func (fs *FS) Waiting() int { return int(fs.waiting.Load()) }

// GiveUp has nobody wait any more: a lack of space is an error from now on. It is for who closes a store,
// which has little left to write, and nothing that would be missed.
func (fs *FS) GiveUp() { fs.givenUp.Store(true) }

// Unwrap returns the FS below.
func (fs *FS) Unwrap() vfs.FS { return fs.FS }

// full says whether err is a lack of space.
func full(err error) bool {
	return err != nil && (vfs.IsNoSpaceError(err) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

// until calls f until it does not fail for lack of space.
func (fs *FS) until(f func() error) error {
	err := f()
	if !full(err) || fs.givenUp.Load() {
		return err
	}
	if fs.waiting.Add(1) == 1 {
		fs.told(true, err)
	}
	for pause := firstPause; full(err) && !fs.givenUp.Load(); pause = min(2*pause, longestPause) {
		time.Sleep(pause)
		err = f()
	}
	if fs.waiting.Add(-1) == 0 {
		fs.told(false, nil)
	}
	return err
}

// file opens one as f does.
func (fs *FS) file(f func() (vfs.File, error)) (vfs.File, error) {
	var opened vfs.File
	if err := fs.until(func() (err error) {
		opened, err = f()
		return err
	}); err != nil {
		return nil, err
	}
	return &file{opened, fs}, nil
}

// Create implements vfs.FS.
func (fs *FS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.file(func() (vfs.File, error) { return fs.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (fs *FS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.file(func() (vfs.File, error) { return fs.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (fs *FS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.file(func() (vfs.File, error) { return fs.FS.ReuseForWrite(from, to, category) })
}

// Rename implements vfs.FS.
func (fs *FS) Rename(from, to string) error {
	return fs.until(func() error { return fs.FS.Rename(from, to) })
}

// file is one whose writes wait.
type file struct {
	vfs.File
	fs *FS
}

// Write implements io.Writer.
func (f *file) Write(b []byte) (written int, err error) {
	err = f.fs.until(func() error {
		n, err := f.File.Write(b[written:])
		written += n
		return err
	})
	return written, err
}

// WriteAt implements io.WriterAt.
func (f *file) WriteAt(b []byte, at int64) (written int, err error) {
	err = f.fs.until(func() error {
		n, err := f.File.WriteAt(b[written:], at+int64(written))
		written += n
		return err
	})
	return written, err
}

// Preallocate implements vfs.File.
func (f *file) Preallocate(offset, length int64) error {
	return f.fs.until(func() error { return f.File.Preallocate(offset, length) })
}
