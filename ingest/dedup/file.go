package dedup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barograph-db/barograph/cluster/durable"
)

// FileName of a File in the data directory.
const FileName = "ha-elections"

// maxFile is the size of a file of as many pairs as there may be, and more.
const maxFile = maxPairs * (2*maxText + 64)

// writeWithin is how long what was heard may be only in memory.
const writeWithin = time.Second

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// File keeps the Table of a node that is by itself.
type File struct {
	path   string
	table  *Table
	logger *slog.Logger
	dirty  chan struct{}

	mu sync.Mutex // held while the table changes and is written
}

// OpenFile restores the table from the file in dir, if there is one. A damaged one is logged and as
// good as none: who is heard first is elected.
func OpenFile(dir string, table *Table, logger *slog.Logger) (*File, error) {
	f := &File{path: filepath.Join(dir, FileName), table: table, logger: logger, dirty: make(chan struct{}, 1)}
	data, err := readFile(f.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return f, nil
	case err != nil:
		return nil, fmt.Errorf("read elections: %w", err)
	}
	if data, err = unseal(data); err == nil {
		err = table.Restore(data)
	}
	if err != nil {
		logger.Error("The elections of HA pairs are damaged and begin anew", "file", f.path, "err", err)
	}
	return f, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// seal appends a checksum.
func seal(snapshot []byte) []byte {
	return binary.LittleEndian.AppendUint32(snapshot, crc32.Checksum(snapshot, castagnoli))
}

func unseal(data []byte) ([]byte, error) {
	n := len(data) - crc32.Size
	if n < 0 || len(data) > maxFile || binary.LittleEndian.Uint32(data[n:]) != crc32.Checksum(data[:n], castagnoli) {
		return nil, fmt.Errorf("%w: the checksum is wrong", errFormat)
	}
	return data[:n], nil
}

// Propose applies a command. An election is on disk when it returns, unless the disk fails: then it
// counts all the same, and is written later.
func (f *File) Propose(_ context.Context, data []byte) ([]byte, error) {
	c, err := decodeCommand(data)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := f.table.Apply(data)
	if len(c.heard) > 0 || f.writeLocked() != nil {
		select {
		case f.dirty <- struct{}{}:
		default:
		}
	}
	return answer, nil
}

// Run writes what changes until ctx ends, and once more then.
func (f *File) Run(ctx context.Context) error {
	for {
		select {
		case <-f.dirty:
		case <-ctx.Done():
		}
		select {
		case <-time.After(writeWithin):
		case <-ctx.Done():
		}
		f.mu.Lock()
		if err := f.writeLocked(); err != nil {
			f.logger.Warn("The elections of HA pairs could not be written", "file", f.path, "err", err)
		}
		f.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (f *File) writeLocked() error {
	snapshot, err := f.table.Snapshot()
	if err != nil || len(snapshot) == 0 {
		return err
	}
	return durable.Replace(vfs.Default, f.path, seal(snapshot))
}
