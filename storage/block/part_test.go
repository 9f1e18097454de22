package block

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

func TestSmoke(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	all := fleet(1, 3, t0, 480)
	meta := ingest(t, fs, db, Meta{Part: partAt(0, 1), ShardBits: 8}, all)
	p := Open(meta, newTestCache(t))
	require.NoError(t, p.Verify(db))
	got, err := p.Select(db, series.Selector{Mint: 0, Maxt: t0 + slot})
	require.NoError(t, err)
	require.Len(t, got, len(all))
	metas, err := List(db)
	require.NoError(t, err)
	require.Len(t, metas, 1)
	t.Log(meta, metas[0])
}
