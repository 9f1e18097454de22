package storage

import "fmt"

// checkSpace refuses writes when the disk's free space falls below the reserve, and takes them
// again when there is a quarter more than it, so that the state does not flap.
func (db *DB) checkSpace() {
	usage, err := db.opts.FS.GetDiskUsage(db.dir)
	if err != nil { // A disk that can't tell is full when a write says so; then trying is all there is.
		if db.full.Load() {
			db.setFull(false, 0)
		}
		return
	}
	reserve := uint64(db.opts.ReserveBytes)
	if db.full.Load() {
		reserve += reserve / 4
	}
	db.metrics.free.Set(float64(usage.AvailBytes))
	db.setFull(usage.AvailBytes < reserve, usage.AvailBytes)
}

func (db *DB) setFull(full bool, free uint64) {
	if db.full.Swap(full) == full {
		return
	}
	if full {
		db.metrics.full.Set(1)
	} else {
		db.metrics.full.Set(0)
	}
	if f := db.opts.Events.Full; f != nil {
		f(full, free)
	}
}

// storeMargin is the free space below which nothing is written to Pebble, which can't go on after
// a write to its manifest or log has failed, and waits for room instead (package patience), with
// DB.maintenance held. Tables that were not ingested cost nothing.
const storeMargin = 8 << 20

// storeRoom refuses to write to Pebble on a disk that is full to the brim. Dropping parts, which
// makes room, does not ask.
func (db *DB) storeRoom() error {
	usage, err := db.opts.FS.GetDiskUsage(db.dir)
	if err != nil || usage.AvailBytes >= uint64(min(storeMargin, db.opts.ReserveBytes)) {
		return nil
	}
	return fmt.Errorf("%w: %d bytes are free", ErrFull, usage.AvailBytes)
}

// room refuses what needs more bytes than are free.
func (db *DB) room(need int64) error {
	usage, err := db.opts.FS.GetDiskUsage(db.dir)
	if err != nil || usage.AvailBytes >= uint64(need) {
		return nil
	}
	return fmt.Errorf("%w: %d bytes are free, %d are needed", ErrFull, usage.AvailBytes, need)
}
