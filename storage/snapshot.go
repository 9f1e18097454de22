package storage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Snapshot makes a copy of all data in a folder below snapshots/ and returns the folder's name.
// The copy is made of hard links, so that it costs little, and is a data directory that Open
// takes. With skipHead what is not flushed yet is left out.
func (db *DB) Snapshot(ctx context.Context, skipHead bool) (string, error) {
	if err := db.beginMaintenance(); err != nil {
		return "", err
	}
	defer db.maintenance.Unlock()
	if !skipHead {
		if err := db.flushLocked(ctx, maxTime); err != nil {
			return "", fmt.Errorf("flush before snapshot: %w", err)
		}
	}
	var salt [8]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return "", fmt.Errorf("name snapshot: %w", err)
	}
	name := time.Now().UTC().Format("20060102T150405Z0700") + "-" + hex.EncodeToString(salt[:])
	dir := db.path(snapshotsDir, name)
	err := db.opts.FS.MkdirAll(dir, 0o755)
	if err == nil {
		err = db.store.Checkpoint(db.opts.FS.PathJoin(dir, storeDir), pebble.WithFlushedWAL())
	}
	if err != nil {
		return "", fmt.Errorf("write snapshot %s: %w", name, errors.Join(err, db.opts.FS.RemoveAll(dir)))
	}
	return name, nil
}
