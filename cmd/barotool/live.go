package main

import (
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barograph-db/barograph/storage/block"
)

// readOnly lets nothing be written, and takes no locks: a node may be holding them.
type readOnly struct{ vfs.FS }

type noLock struct{}

func (noLock) Close() error { return nil }

func (readOnly) Lock(string) (io.Closer, error) { return noLock{}, nil }

func refuse(name string) error { return fmt.Errorf("%s: %w: read-only", name, oserror.ErrPermission) }

func (readOnly) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refuse(name)
}
func (readOnly) Link(_, name string) error          { return refuse(name) }
func (readOnly) Remove(name string) error           { return refuse(name) }
func (readOnly) RemoveAll(name string) error        { return refuse(name) }
func (readOnly) Rename(_, name string) error        { return refuse(name) }
func (readOnly) MkdirAll(string, os.FileMode) error { return nil } // Pebble makes what is there.

// openStore opens the store of a data directory as it is now.
func openStore(fs vfs.FS, dir string) (*pebble.DB, error) {
	opts := block.PebbleOptions(fs, 8<<20)
	opts.ReadOnly = true
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return db, nil
}
