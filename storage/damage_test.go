package storage

import (
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// A damaged part is named by the error of whoever asks for its time, and concerns nobody else.
func TestDamagedPart(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	fill(t, db.DB, 1)
	healthy := tableNames(t, mem)
	refs, r := define(t, db.DB, 50), rand.New(rand.NewPCG(1, 1))
	for i := range int64(1000) {
		f := row(refs, longAgo+5*testSlot+i, 0)
		for k := range f.Values {
			f.Values[k] = r.Float64()
		}
		put(t, db.DB, f)
	}
	require.NoError(t, db.Flush(ctx))
	put(t, db.DB, row(define(t, db.DB, 50), longAgo+10*testSlot, 1))
	damaged := db.parts.snapshot()[1].Meta()
	db.stop()
	flipped := 0
	for _, name := range tableNames(t, mem) {
		if !slices.Contains(healthy, name) && flip(t, mem, "data/store/"+name) {
			flipped++
		}
	}
	require.Equal(t, 1, flipped, "the table with the chunks")

	db = run(t, mem, Options{Retention: century})
	_, err := read(db.DB, longAgo, longAgo+10*testSlot, equal("__name__", "m"))
	require.ErrorIs(t, err, block.ErrCorrupt)
	require.ErrorContains(t, err, damaged.Part.String())
	require.EqualValues(t, 1, testutil.ToFloat64(db.metrics.corruptions))
	values, err := db.LabelValues(ctx, "i", series.Selector{Mint: longAgo, Maxt: longAgo + 10*testSlot})
	require.NoError(t, err, "the index is whole")
	require.Len(t, values, 50)

	for _, span := range [][2]int64{{longAgo, damaged.MinT - 1}, {damaged.MaxT + 1, longAgo + 20*testSlot}} {
		all, err := read(db.DB, span[0], span[1], equal("__name__", "m"))
		require.NoError(t, err)
		require.Len(t, all, 50)
		values, err := db.LabelValues(ctx, "i", series.Selector{Mint: span[0], Maxt: span[1]})
		require.NoError(t, err)
		require.Len(t, values, 50)
	}
}

// So it is with a damaged index, for selections and for labels.
func TestDamagedIndex(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	fill(t, db.DB, 2)
	db.stop()
	db = run(t, mem, Options{Retention: century})
	damaged := db.parts.snapshot()[1].Meta()
	lower, upper := keys.PartSpan(keys.Index, damaged.Part)
	it, err := db.store.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	require.NoError(t, err)
	require.True(t, it.First()) // The header, which is read at start.
	rows := 0
	for ; it.Next(); rows++ {
		require.NoError(t, db.store.Set(it.Key(), []byte{255, 255, 255}, pebble.NoSync))
	}
	require.NoError(t, it.Close())
	require.Positive(t, rows)

	sel := series.Selector{Mint: longAgo, Maxt: longAgo + 10*testSlot}
	_, inSelect := read(db.DB, sel.Mint, sel.Maxt, equal("__name__", "m"))
	sel.Matchers = []*labels.Matcher{equal("__name__", "m")} // Without, the keys alone may tell.
	_, inNames := db.LabelNames(ctx, sel)
	_, inValues := db.LabelValues(ctx, "i", sel)
	for what, err := range map[string]error{"select": inSelect, "names": inNames, "values": inValues} {
		require.ErrorIs(t, err, block.ErrCorrupt, what)
		require.ErrorContains(t, err, damaged.Part.String())
	}
	require.EqualValues(t, 3, testutil.ToFloat64(db.metrics.corruptions))
	sel.Maxt = damaged.MinT - 1
	all, err := read(db.DB, sel.Mint, sel.Maxt, equal("__name__", "m"))
	require.NoError(t, err)
	require.Len(t, all, 50)
	values, err := db.LabelValues(ctx, "i", sel)
	require.NoError(t, err)
	require.Len(t, values, 50)
}

// A part whose header is damaged is told of at start and left alone; the others answer, and what is
// flushed later does not come to lie in its place.
func TestDamagedHeader(t *testing.T) {
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	fill(t, db.DB, 2)
	require.NoError(t, db.Flush(context.Background()))
	parts := db.parts.snapshot()
	damaged := parts[len(parts)-1].Meta()
	lower, upper := keys.PartSpan(keys.Index, damaged.Part)
	it, err := db.store.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	require.NoError(t, err)
	require.True(t, it.First())
	require.NoError(t, db.store.Set(it.Key(), []byte{255, 255, 255}, pebble.Sync))
	require.NoError(t, it.Close())
	db.stop()

	var told []string
	db = run(t, mem, Options{Retention: century, Events: Events{
		Background: func(what string, err error) { told = append(told, what+": "+err.Error()) },
	}})
	require.Len(t, told, 1)
	require.Contains(t, told[0], damaged.Part.String())
	require.Len(t, db.parts.snapshot(), len(parts)-1)
	all, err := read(db.DB, longAgo, longAgo+10*testSlot, equal("__name__", "m"))
	require.NoError(t, err)
	require.Len(t, all, 50)
	put(t, db.DB, row(define(t, db.DB, 50), damaged.MinT, 7))
	require.NoError(t, db.Flush(context.Background()))
	for _, p := range db.parts.snapshot() {
		require.NotEqual(t, damaged.Part, p.Meta().Part)
	}
}

func tableNames(t *testing.T, fs vfs.FS) (tables []string) {
	names, err := fs.List("data/store")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			tables = append(tables, name)
		}
	}
	return tables
}

// flip changes a byte in the middle of a large file and says whether it is one.
func flip(t *testing.T, fs vfs.FS, path string) bool {
	t.Helper()
	f, err := fs.Open(path)
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	if len(b) < 64<<10 {
		return false
	}
	b[len(b)/2] ^= 0x40
	write(t, fs, path, string(b))
	return true
}
