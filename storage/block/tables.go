package block

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// tableBytes is the size at which a sorted table ends and the next begins: large enough that a
// store has hundreds of them and not thousands, small enough to copy and check one by one.
const tableBytes = 64 << 20

// shardTableBytes is the size from which on a table ends where a shard does, so that most of what a shard
// has of a large part goes with whole tables. Those of a small part share a table.
const shardTableBytes = tableBytes / 4

// tables writes rows, given in key order, into sorted tables.
type tables struct {
	fs     vfs.FS
	dir    string
	name   string // what the file names begin with
	format sstable.TableFormat
	large  int64 // the size from which on cutLarge ends a table

	w     *sstable.Writer
	paths []string
	bytes int64
}

// set writes a row. cut must have been called between rows of different classes.
func (t *tables) set(key, value []byte) error {
	if t.w != nil && t.w.Raw().EstimatedSize() >= tableBytes {
		if err := t.cut(); err != nil {
			return err
		}
	}
	if t.w == nil {
		if err := t.create(); err != nil {
			return err
		}
	}
	if err := t.w.Set(key, value); err != nil {
		return fmt.Errorf("write row to %s: %w", t.current(), err)
	}
	return nil
}

func (t *tables) current() string { return t.paths[len(t.paths)-1] }

func (t *tables) create() error {
	path := t.fs.PathJoin(t.dir, fmt.Sprintf("%s-%04d.sst", t.name, len(t.paths)))
	f, err := t.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	t.paths = append(t.paths, path)
	t.w = sstable.NewWriter(objstorageprovider.NewFileWritable(f), tableOptions(t.format))
	return nil
}

// cutLarge ends the table at hand if it is large enough.
func (t *tables) cutLarge() error {
	if t.w == nil || int64(t.w.Raw().EstimatedSize()) < t.large {
		return nil
	}
	return t.cut()
}

// cut ends the table at hand, if there is one, and syncs it.
func (t *tables) cut() error {
	if t.w == nil {
		return nil
	}
	w := t.w
	t.w = nil
	if err := w.Close(); err != nil {
		return fmt.Errorf("write table %s: %w", t.current(), err)
	}
	m, err := w.Metadata()
	if err != nil {
		return fmt.Errorf("write table %s: %w", t.current(), err)
	}
	t.bytes += int64(m.Size)
	return nil
}

// remove deletes every file written so far.
func (t *tables) remove() error {
	var errs []error
	if t.w != nil {
		// The table at hand is given up: what closing it says does not matter.
		_ = t.w.Close()
		t.w = nil
	}
	for _, p := range t.paths {
		errs = append(errs, t.fs.Remove(p))
	}
	t.paths = nil
	return errors.Join(errs...)
}
