package storage

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/keys"
)

// formatVersion of a data directory as a whole. The parts of it have versions of their own.
const formatVersion = 2

// checkFormat refuses a directory of a newer format or another number of shards, and marks a new
// one.
func (db *DB) checkFormat() error {
	want := []byte{formatVersion, db.opts.ShardBits}
	got, closer, err := db.store.Get(keys.Format())
	if errors.Is(err, pebble.ErrNotFound) {
		if err := db.store.Set(keys.Format(), want, pebble.Sync); err != nil {
			return fmt.Errorf("mark data directory: %w", err)
		}
		db.created = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read format of data directory: %w", err)
	}
	defer closer.Close()
	switch {
	case len(got) != len(want):
		return fmt.Errorf("format mark of the data directory has %d bytes, want %d", len(got), len(want))
	case got[0] != formatVersion:
		return fmt.Errorf("data directory has format %d; this version reads %d", got[0], formatVersion)
	case got[1] != db.opts.ShardBits:
		return fmt.Errorf("data directory was made with %d shard bits, not %d", got[1], db.opts.ShardBits)
	}
	return nil
}
