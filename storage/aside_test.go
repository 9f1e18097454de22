package storage

import (
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/keys"
)

// A damaged part is told of, and read no more once it is set aside; it stays on the disk until it is
// dropped.
func TestSetAside(t *testing.T) {
	for _, damage := range []string{"chunks", "header"} {
		t.Run(damage, func(t *testing.T) {
			mem := vfs.NewMem()
			var mu sync.Mutex
			var told []DamageInfo
			opts := Options{Retention: century, Events: Events{Damaged: func(d DamageInfo) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, d)
			}}}
			db := run(t, mem, opts)
			require.True(t, db.Created())
			put(t, db.DB, row(define(t, db.DB, 50), dayStart+1, 1))
			require.NoError(t, db.Flush(t.Context()))
			put(t, db.DB, row(define(t, db.DB, 50), dayStart+testSlot, 2))
			require.NoError(t, db.Flush(t.Context()))
			bad := db.parts.snapshot()[0].Meta()
			lower, upper := keys.PartSpan(keys.Chunks, bad.Part)
			if damage == "header" {
				lower, upper = keys.PartSpan(keys.Index, bad.Part)
			}
			it, err := db.store.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
			require.NoError(t, err)
			require.True(t, it.First())
			require.NoError(t, db.store.Set(it.Key(), []byte{255, 255, 255}, pebble.Sync))
			require.NoError(t, it.Close())
			db.stop()

			db = run(t, mem, opts)
			require.False(t, db.Created())
			_, err = read(db.DB, dayStart, dayStart+dayMillis)
			if damage == "chunks" {
				require.ErrorIs(t, err, block.ErrCorrupt)
			} else {
				require.NoError(t, err, "it is aside already")
			}
			require.Len(t, told, 1)
			require.Equal(t, bad.Part.String(), told[0].Part)
			require.LessOrEqual(t, told[0].Mint, bad.MinT)
			require.GreaterOrEqual(t, told[0].Maxt, bad.MaxT)
			require.ErrorIs(t, told[0].Err, block.ErrCorrupt)

			require.NoError(t, db.SetAside(told[0].Part))
			require.NoError(t, db.SetAside("raw/2000-01-01T00:00Z/77"), "there is none")
			all, err := read(db.DB, dayStart, dayStart+dayMillis)
			require.NoError(t, err)
			require.Len(t, all, 50)
			for _, w := range all {
				require.Len(t, w, 1)
			}
			require.NoError(t, db.Seal(t.Context()), "it is not sealed either")
			require.NoError(t, db.DropAside(t.Context(), told[0].Part))
			require.NoError(t, db.DropAside(t.Context(), told[0].Part))
			db.stop()

			told = nil
			db = run(t, mem, opts)
			require.Empty(t, told, "it is gone")
			all, err = read(db.DB, dayStart, dayStart+dayMillis)
			require.NoError(t, err)
			require.Len(t, all, 50)
			for _, w := range all {
				require.Len(t, w, 1)
			}
		})
	}
}

// Rows that keep the parts from being listed are of a part, which is told of without anybody reading it.
func TestDamagedListing(t *testing.T) {
	mem := vfs.NewMem()
	var told []DamageInfo
	opts := Options{Retention: century, Events: Events{Damaged: func(d DamageInfo) { told = append(told, d) }}}
	db := run(t, mem, opts)
	refs, r := define(t, db.DB, 50), rand.New(rand.NewPCG(1, 1))
	for i := range int64(1000) {
		f := row(refs, dayStart+i, 0)
		for k := range f.Values {
			f.Values[k] = r.Float64()
		}
		put(t, db.DB, f)
	}
	require.NoError(t, db.Flush(t.Context()))
	bad := db.parts.snapshot()[0].Meta()
	db.stop()
	for _, name := range tableNames(t, mem) {
		path := "data/store/" + name
		f, err := mem.Open(path)
		require.NoError(t, err)
		b, err := io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		if len(b) > 64<<10 { // Of the chunks.
			b[100] ^= 0x40
			write(t, mem, path, string(b))
		}
	}
	db = run(t, mem, opts)
	require.Len(t, told, 1)
	require.Equal(t, bad.Part.String(), told[0].Part)
	require.NoError(t, db.SetAside(told[0].Part))
	_, err := read(db.DB, dayStart, dayStart+dayMillis)
	require.NoError(t, err)
}
