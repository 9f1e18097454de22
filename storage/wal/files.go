package wal

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The names of files: a number of 16 digits and one of these.
const (
	segmentSuffix    = ".wal"
	checkpointSuffix = ".checkpoint"
	temporarySuffix  = ".checkpoint.tmp"
)

// A directory is where a log lives.
type directory struct {
	fs   vfs.FS
	path string
	file vfs.File // open, so that a sync needs no new file descriptor
}

// openDirectory opens the directory, which it makes if need be.
func openDirectory(fs vfs.FS, path string) (directory, error) {
	d := directory{fs: fs, path: path}
	if err := fs.MkdirAll(path, 0o755); err != nil {
		return d, err
	}
	parent, err := fs.OpenDir(fs.PathDir(path))
	if err != nil {
		return d, err
	}
	if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
		return d, err
	}
	d.file, err = fs.OpenDir(path)
	return d, err
}

func (d directory) segment(n uint64) string    { return d.name(n, segmentSuffix) }
func (d directory) checkpoint(n uint64) string { return d.name(n, checkpointSuffix) }
func (d directory) temporary(n uint64) string  { return d.name(n, temporarySuffix) }

func (d directory) name(n uint64, suffix string) string {
	return d.fs.PathJoin(d.path, fmt.Sprintf("%016d%s", n, suffix))
}

// list returns the numbers of the files that bear the suffix, in order.
func (d directory) list(suffix string) ([]uint64, error) {
	names, err := d.fs.List(d.path)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.path, err)
	}
	var numbers []uint64
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, suffix)
		if !ok || len(digits) != 16 {
			continue
		}
		if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// sync makes the creation, renaming and removal of files durable.
func (d directory) sync() error { return d.file.Sync() }

// A file is a segment or checkpoint as it was found.
type file struct {
	path   string
	number uint64
	header fileHeader
	whole  bool // the header could be read
	size   int64
}

// inspect reads the header of a file. Damage is no error.
func inspect(fs vfs.FS, path string) (file, error) {
	f := file{path: path}
	r, err := fs.Open(path)
	if err != nil {
		return f, err
	}
	defer func() { _ = r.Close() }()
	stat, err := r.Stat()
	if err != nil {
		return f, err
	}
	f.size = stat.Size()
	for _, at := range []int64{0, secondHeader} {
		var b [fileHeaderLen]byte
		if n, _ := r.ReadAt(b[:], at); n < len(b) {
			continue
		}
		if f.header, f.whole, err = decodeFileHeader(b[:]); f.whole || err != nil {
			break
		}
	}
	if err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// inspectAll reads the headers of all files with the suffix. A header that belongs to another file
// counts as unreadable.
func (d directory) inspectAll(suffix string, kind fileType) ([]file, error) {
	numbers, err := d.list(suffix)
	if err != nil {
		return nil, err
	}
	files := make([]file, 0, len(numbers))
	for _, n := range numbers {
		f, err := inspect(d.fs, d.name(n, suffix))
		if err != nil {
			return nil, err
		}
		f.number = n
		f.whole = f.whole && f.header.number == n && f.header.kind == kind
		files = append(files, f)
	}
	return files, nil
}
