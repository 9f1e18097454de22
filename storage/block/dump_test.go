package block

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/keys"
)

// Every row is printed, and of a damaged index every row is named.
func TestDumpIndex(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	meta := ingest(t, fs, db, Meta{Part: partAt(0, 1), ShardBits: 2}, wavering(20, 10))
	p := Open(meta, newTestCache(t))
	rows, sections := 0, map[string]int{}
	require.NoError(t, p.DumpIndex(db, true, func(r IndexRow) error {
		require.NoError(t, r.Err)
		require.Positive(t, r.Bytes)
		sections[r.Section] += len(r.Content)
		rows++
		return nil
	}))
	require.Equal(t, map[string]int{
		"header": 0, "symbols": 2 + 10 + 20, "labels": 200, "postings": 10 + 20, "times": 20,
	}, sections)

	for _, row := range allRows(t, db) {
		if row.key[0] == byte(keys.Index) {
			require.NoError(t, db.Set(row.key, []byte{255, 255, 255}, pebble.NoSync))
		}
	}
	damaged := 0
	require.NoError(t, p.DumpIndex(db, true, func(r IndexRow) error {
		require.Empty(t, r.Content)
		if r.Err != nil {
			damaged++
		}
		return nil
	}))
	require.Equal(t, rows, damaged)
}
