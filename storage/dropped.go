package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// dropped says which shards were dropped: what a shard has in parts whose sequence is below the number is
// not there any more, whether its rows are gone or still to go. What comes later is not touched. On disk it
// is one row of the node's own facts.
type dropped map[series.Shard]uint32

const droppedVersion = 1

var errDropped = errors.New("decode dropped shards: not what was written")

func (d dropped) encode(bits uint8) []byte {
	out := binary.AppendUvarint([]byte{droppedVersion, bits}, uint64(len(d)))
	next := series.Shard(0)
	for _, s := range slices.Sorted(maps.Keys(d)) {
		out = binary.AppendUvarint(out, uint64(s-next))
		out = binary.AppendUvarint(out, uint64(d[s]))
		next = s + 1
	}
	return out
}

// DecodeDropped reads the row of keys.Dropped: for each shard, of so many bits, which parts have nothing of
// it any more: those whose sequence is below the number.
func DecodeDropped(b []byte, bits uint8) (map[series.Shard]uint32, error) {
	if len(b) < 2 || b[0] != droppedVersion || b[1] != bits || bits > 16 {
		return nil, errDropped
	}
	b = b[2:]
	bad := false
	take := func(most uint64) uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > most {
			bad, b = true, nil
			return 0
		}
		b = b[n:]
		return v
	}
	count := take(1 << bits)
	d, next := make(dropped, min(count, uint64(len(b)/2))), uint64(0)
	for range count {
		s := next + take(1<<bits)
		before := take(math.MaxUint32)
		if bad || s >= 1<<bits {
			return nil, errDropped
		}
		d[series.Shard(s)], next = uint32(before), s+1
	}
	if bad || len(b) > 0 {
		return nil, errDropped
	}
	return d, nil
}

// hides returns the shards that are not there in parts of the sequence, nil if there are none.
func (d dropped) hides(seq uint32, bits uint8) *series.ShardSet {
	var set *series.ShardSet
	for s, before := range d {
		if seq < before {
			if set == nil {
				set = &series.ShardSet{Bits: bits}
			}
			set.Add(s)
		}
	}
	return set
}

// nextSeq is above the sequences of all parts of which something may be hidden.
func (d dropped) nextSeq() uint32 {
	n := uint32(0)
	for _, before := range d {
		n = max(n, before)
	}
	return n
}

func (db *DB) loadDropped() error {
	value, closer, err := db.store.Get(keys.Dropped())
	if errors.Is(err, pebble.ErrNotFound) {
		db.maintenance.dropped = dropped{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read dropped shards: %w", err)
	}
	defer closer.Close()
	db.maintenance.dropped, err = DecodeDropped(value, db.opts.ShardBits)
	return err
}

// setDropped makes d what is in force, on disk first.
func (db *DB) setDropped(d dropped) error {
	if err := db.store.Set(keys.Dropped(), d.encode(db.opts.ShardBits), pebble.Sync); err != nil {
		return fmt.Errorf("write dropped shards: %w", err)
	}
	db.maintenance.dropped = d
	return nil
}
