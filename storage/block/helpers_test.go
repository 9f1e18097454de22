package block

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	storeDir = "store"
	buildDir = "build"
	slot     = int64(2 * 60 * 60 * 1000)
	t0       = 1_700_006_400_000 - 1_700_006_400_000%slot
)

// openStore opens a store that is closed with the test.
func openStore(tb testing.TB, fs vfs.FS) *pebble.DB {
	tb.Helper()
	db := openStoreToClose(tb, fs)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

func openStoreToClose(tb testing.TB, fs vfs.FS) *pebble.DB {
	tb.Helper()
	require.NoError(tb, fs.MkdirAll(buildDir, 0o755))
	db, err := pebble.Open(storeDir, PebbleOptions(fs, 8<<20))
	require.NoError(tb, err)
	return db
}

func partAt(n int64, seq uint32) keys.Part { return keys.Part{Start: t0 + n*slot, Seq: seq} }

// build writes a part's tables.
func build(tb testing.TB, fs vfs.FS, db *pebble.DB, meta Meta, all []chunk.Series) ([]string, Meta) {
	tb.Helper()
	b := NewBuilder(fs, buildDir, db, meta)
	for _, s := range all {
		require.NoError(tb, b.Add(s))
	}
	tables, meta, err := b.Finish()
	require.NoError(tb, err)
	return tables, meta
}

// ingest builds a part and puts it into the store.
func ingest(tb testing.TB, fs vfs.FS, db *pebble.DB, meta Meta, all []chunk.Series) Meta {
	tb.Helper()
	tables, meta := build(tb, fs, db, meta, all)
	require.NoError(tb, db.Ingest(tb.Context(), tables))
	return meta
}

func newTestCache(tb testing.TB) *Cache {
	c := NewCache(1<<20, prometheus.NewPedanticRegistry())
	tb.Cleanup(c.Close)
	return c
}
