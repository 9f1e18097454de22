package block

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	f, err := fs.Open(path)
	require.NoError(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	return b
}

func writeFile(t *testing.T, fs vfs.FS, path string, b []byte) {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(b)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func tableFiles(t *testing.T, fs vfs.FS) []string {
	names, err := fs.List(storeDir)
	require.NoError(t, err)
	var paths []string
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			paths = append(paths, fs.PathJoin(storeDir, name))
		}
	}
	return paths
}

// TestDamagedTables flips bits in the tables of one of two parts. A read of it either fails, with
// the marked error and counted, or is right; the other part is not touched, and what cannot be
// read is never dropped.
func TestDamagedTables(t *testing.T) {
	fs := vfs.NewMem()
	db := openStoreToClose(t, fs)
	whole, damaged := partAt(0, 1), partAt(0, 2)
	// Small ones: where a checksum fails, Pebble tries out each bit of the block.
	models := map[keys.Part]naive{whole: fleet(1, 1, t0, 20)[:60], damaged: fleet(2, 1, t0, 20)[:60]}
	metas := map[keys.Part]Meta{}
	metas[whole] = ingest(t, fs, db, Meta{Part: whole, ShardBits: 3}, models[whole])
	before := tableFiles(t, fs)
	metas[damaged] = ingest(t, fs, db, Meta{Part: damaged, ShardBits: 3}, models[damaged])
	require.NoError(t, db.Close())
	files := slices.DeleteFunc(tableFiles(t, fs), func(path string) bool { return slices.Contains(before, path) })
	require.Len(t, files, 2)

	r := rand.New(rand.NewPCG(1, 2))
	failed := 0
	for range 60 {
		path := files[r.IntN(len(files))]
		good := readFile(t, fs, path)
		bad := bytes.Clone(good)
		bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		writeFile(t, fs, path, bad)
		if readDamaged(t, fs, models, metas, damaged, path) {
			failed++
		}
		writeFile(t, fs, path, good)
	}
	require.Greater(t, failed, 20)

	db = openStore(t, fs)
	p := Open(metas[damaged], newTestCache(t))
	require.NoError(t, p.Verify(db))
	requireSelect(t, p, db, models[damaged], everything)
}

var everything = series.Selector{Mint: t0, Maxt: t0 + slot}

func readDamaged(
	t *testing.T, fs vfs.FS, models map[keys.Part]naive, metas map[keys.Part]Meta, damaged keys.Part, path string,
) (failed bool) {
	opts := PebbleOptions(fs, 1<<20)
	var events atomic.Int64
	Events{Corruption: func(p string, err error) {
		require.Equal(t, path, p)
		require.Error(t, err)
		events.Add(1)
	}}.Listen(opts)
	db, err := pebble.Open(storeDir, opts)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()

	if err := DropOrphans(t.Context(), db); err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
	}
	listed, err := List(db)
	if err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
	} else {
		require.Len(t, listed, 2)
	}
	require.Equal(t, metas[partAt(0, 1)], listed[0])

	for part, meta := range metas {
		cache := newTestCache(t)
		p := Open(meta, cache)
		got, err := p.Select(db, everything)
		if err == nil {
			requireEqual(t, models[part].sel(everything), got, part.String())
		} else {
			require.ErrorIs(t, err, ErrCorrupt)
			require.Equal(t, damaged, part)
			require.Contains(t, err.Error(), damaged.String())
			require.EqualValues(t, 1, testutil.ToFloat64(cache.metrics.corruptions))
			require.Positive(t, events.Load())
			failed = true
		}
		if err := p.Verify(db); err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			require.Equal(t, damaged, part)
		} else {
			require.False(t, failed && part == damaged)
		}
	}
	return failed
}

// TestDamagedRows: rows whose bytes pass Pebble's checksum and are wrong all the same.
func TestDamagedRows(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	part := partAt(0, 1)
	meta := ingest(t, fs, db, Meta{Part: part, ShardBits: 1}, fleet(1, 1, t0, 3)[:200])
	rows := allRows(t, db)
	r := rand.New(rand.NewPCG(3, 4))
	for _, prefix := range [][]byte{
		keys.AppendHeader(nil, part), keys.AppendBlock(nil, part, keys.Symbols, 0), keys.AppendBlock(nil, part, keys.Labels, 1),
		keys.AppendPostings(nil, part, "job"), keys.AppendBlock(nil, part, keys.Times, 0), keys.AppendPart(nil, keys.Chunks, part),
	} {
		for _, change := range []string{"drop", "empty", "cut", "flip"} {
			if change == "flip" && (prefix[0] == byte(keys.Chunks) || bytes.Equal(prefix, keys.AppendBlock(nil, part, keys.Times, 0))) {
				continue // A sample is as good as another: only Pebble's checksum knows.
			}
			damaged := openStore(t, vfs.NewMem())
			first := true
			for _, row := range rows {
				value := bytes.Clone(row.value)
				if first && bytes.HasPrefix(row.key, prefix) {
					first = false
					switch change {
					case "drop":
						continue
					case "empty":
						value = nil
					case "cut":
						value = value[:len(value)-1]
					case "flip":
						value[r.IntN(len(value))] ^= 0x80
					}
				}
				require.NoError(t, damaged.Set(row.key, value, pebble.NoSync))
			}
			require.False(t, first)
			err := Open(meta, newTestCache(t)).Verify(damaged)
			require.ErrorIs(t, err, ErrCorrupt, "%x %s", prefix, change)
		}
	}
}

type keyValue struct{ key, value []byte }

func allRows(t *testing.T, db *pebble.DB) []keyValue {
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	var rows []keyValue
	for ok := it.First(); ok; ok = it.Next() {
		rows = append(rows, keyValue{bytes.Clone(it.Key()), bytes.Clone(it.Value())})
	}
	require.NoError(t, it.Close())
	return rows
}

// TestTableFormat: tables are written in the store's newest format.
func TestTableFormat(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	tables, _ := build(t, fs, db, Meta{Part: partAt(0, 1)}, fleet(1, 1, t0, 3))
	require.Len(t, tables, 2)
	require.GreaterOrEqual(t, db.TableFormat(), sstable.TableFormatPebblev5)
}
