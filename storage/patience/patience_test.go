package patience

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortFS takes a few bytes of each write and has no room for the rest, so many times.
type shortFS struct {
	vfs.FS
	left atomic.Int64
	err  error
}

type shortFile struct {
	vfs.File
	fs *shortFS
}

func (s *shortFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if s.left.Add(-1) >= 0 {
		if err == nil {
			err = f.Close()
		}
		return nil, errors.Join(s.err, err)
	}
	return &shortFile{f, s}, err
}

func (s *shortFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return s.wrap(s.FS.Create(name, c))
}

func (s *shortFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return s.wrap(s.FS.OpenReadWrite(name, c, o...))
}

func (f *shortFile) Write(b []byte) (int, error) {
	if f.fs.left.Add(-1) < 0 {
		return f.File.Write(b)
	}
	n, err := f.File.Write(b[:len(b)/3])
	return n, errors.Join(f.fs.err, err)
}

func (f *shortFile) WriteAt(b []byte, at int64) (int, error) {
	if f.fs.left.Add(-1) < 0 {
		return f.File.WriteAt(b, at)
	}
	n, err := f.File.WriteAt(b[:len(b)/3], at)
	return n, errors.Join(f.fs.err, err)
}

// What was written before there was no room is not written twice.
func TestPartialWrites(t *testing.T) {
	for _, why := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		short := &shortFS{FS: vfs.NewMem(), err: why}
		var told []bool
		fs := New(short, func(waiting bool, err error) {
			told = append(told, waiting)
			if waiting {
				require.ErrorIs(t, err, why)
			}
		})
		short.left.Store(2)
		f, err := fs.Create("f", vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		short.left.Store(3)
		n, err := f.Write([]byte("0123456789"))
		require.NoError(t, err)
		require.Equal(t, 10, n)
		require.NoError(t, f.Close())
		f, err = fs.OpenReadWrite("f", vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		short.left.Store(3)
		n, err = f.WriteAt([]byte("abcdef"), 2)
		require.NoError(t, err)
		require.Equal(t, 6, n)
		b := make([]byte, 10)
		_, err = f.ReadAt(b, 0)
		require.NoError(t, err)
		require.Equal(t, "01abcdef89", string(b))
		require.NoError(t, f.Close())
		require.Equal(t, []bool{true, false, true, false, true, false}, told)
		require.Zero(t, fs.Waiting())
	}
}

// Who waits when it is given up gets the error.
func TestGiveUp(t *testing.T) {
	short := &shortFS{FS: vfs.NewMem(), err: syscall.ENOSPC}
	short.left.Store(1 << 40)
	began := make(chan struct{}, 2)
	fs := New(short, func(bool, error) { began <- struct{}{} })
	failed := make(chan error)
	go func() {
		_, err := fs.Create("f", vfs.WriteCategoryUnspecified)
		failed <- err
	}()
	<-began
	fs.GiveUp()
	require.ErrorIs(t, <-failed, syscall.ENOSPC)
	_, err := fs.Create("g", vfs.WriteCategoryUnspecified)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Zero(t, fs.Waiting())
}

// Any other error is passed on at once.
func TestOtherErrors(t *testing.T) {
	short := &shortFS{FS: vfs.NewMem(), err: syscall.EIO}
	fs := New(short, nil)
	short.left.Store(1)
	_, err := fs.Create("f", vfs.WriteCategoryUnspecified)
	require.ErrorIs(t, err, syscall.EIO)
	f, err := fs.Create("f", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	short.left.Store(1)
	n, err := f.Write([]byte("012345"))
	require.ErrorIs(t, err, syscall.EIO)
	require.Equal(t, 2, n)
	require.NoError(t, f.Close())
}

// panics is a logger that makes of Pebble's end a panic, as those of the stores do.
type panics struct{}

func (panics) Infof(string, ...any)              {}
func (panics) Errorf(string, ...any)             {}
func (panics) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// At each write that Pebble makes, its list of tables, markers, logs and tables, there is no room for some
// tries; it would end the process at some of them.
func TestPebbleGoesOn(t *testing.T) {
	for first := int64(1); ; first++ {
		mem := vfs.NewMem()
		var ops, hits atomic.Int64
		fs := New(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			switch op.Kind {
			case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpRename, errorfs.OpReuseForWrite:
			default:
				return nil
			}
			if n := ops.Add(1); n < first || n >= first+3 {
				return nil
			}
			hits.Add(1)
			return syscall.ENOSPC
		})), nil)
		opts := &pebble.Options{FS: fs, Logger: panics{}, FormatMajorVersion: pebble.FormatNewest, MaxManifestFileSize: 1, MemTableSize: 64 << 10}
		db, err := pebble.Open("db", opts)
		require.NoError(t, err)
		for i := range 6 {
			require.NoError(t, db.Set(fmt.Append(nil, i), make([]byte, 10<<10), pebble.Sync))
			if i%2 == 1 {
				require.NoError(t, db.Flush())
			}
		}
		require.NoError(t, db.Close())
		opts.FS = mem
		db, err = pebble.Open("db", opts)
		require.NoError(t, err)
		for i := range 6 {
			_, closer, err := db.Get(fmt.Append(nil, i))
			require.NoError(t, err)
			require.NoError(t, closer.Close())
		}
		require.NoError(t, db.Close())
		require.Zero(t, fs.Waiting())
		if hits.Load() == 0 {
			require.Greater(t, first, int64(20))
			return
		}
	}
}
