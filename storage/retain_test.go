package storage

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// tables is the bytes of all tables in the store.
func tables(t *testing.T, fs vfs.FS) (total int64) {
	t.Helper()
	names, err := fs.List("data/store")
	require.NoError(t, err)
	for _, name := range names {
		// One may be removed meanwhile.
		if info, err := fs.Stat("data/store/" + name); err == nil && strings.HasSuffix(name, ".sst") {
			total += info.Size()
		}
	}
	return total
}

// fill writes a part for each of n slots.
func fill(t *testing.T, db *DB, slots int64) {
	t.Helper()
	refs := define(t, db, 50)
	for i := range slots * 20 {
		put(t, db, row(refs, longAgo+i*testSlot/20, float64(i*i)))
	}
	require.NoError(t, db.Flush(context.Background()))
	require.Len(t, db.parts.snapshot(), int(slots))
}

func TestRetentionByTime(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	var names []string
	db := run(t, mem, Options{Retention: 24 * time.Hour, Events: Events{
		Retained: func(part string) { names = append(names, part) },
	}})
	fill(t, db.DB, 5)
	before := tables(t, mem)
	oldest := db.parts.snapshot()[0]

	// A reader is in the middle of the oldest part when it goes.
	set, err := db.Select(ctx, series.Selector{
		Mint: math.MinInt64, Maxt: math.MaxInt64, Matchers: []*labels.Matcher{equal("__name__", "m")},
	})
	require.NoError(t, err)
	require.True(t, set.Next())

	day := (24 * time.Hour).Milliseconds()
	db.Maintain(ctx, time.UnixMilli(longAgo+2*testSlot+day))
	require.Len(t, names, 2)
	require.Len(t, db.parts.snapshot(), 3)
	for s := set.At(); ; s = set.At() {
		it, n := chunk.NewIterator(s.Chunks), 0
		for it.Next() != 0 {
			n++
		}
		require.NoError(t, it.Err())
		require.Equal(t, 100, n)
		if !set.Next() {
			break
		}
	}
	require.NoError(t, set.Err())
	require.NoError(t, set.Close())

	// Someone has the part in a list still.
	found, err := db.selectPart(oldest, everything(oldest.Meta()), nil, map[*part]bool{})
	require.NoError(t, err)
	require.Empty(t, found)

	require.Eventually(t, func() bool { return tables(t, mem) < before*3/4 }, 10*time.Second, time.Millisecond)
	for _, class := range []keys.Class{keys.Index, keys.Chunks} {
		lower, upper := keys.PartSpan(class, oldest.Meta().Part)
		it, err := db.store.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		require.NoError(t, err)
		require.False(t, it.First())
		require.NoError(t, it.Close())
	}
	want := readAll(t, db.DB)
	require.Len(t, want[key("0")], 60)
	db.stop()
	db = run(t, mem, Options{Retention: century})
	require.Equal(t, want, readAll(t, db.DB), "they do not come back")
}

func TestRetentionBySize(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	fill(t, db.DB, 6)
	sizes := int64(0)
	for _, p := range db.parts.snapshot()[3:] {
		sizes += p.Meta().Bytes
	}
	require.Positive(t, sizes)
	db.opts.RetentionBytes = sizes
	db.Maintain(ctx, time.UnixMilli(longAgo+6*testSlot))
	require.Len(t, db.parts.snapshot(), 3)
	want := readAll(t, db.DB)
	require.Len(t, want[key("0")], 60)
	for at := range want[key("0")] {
		require.GreaterOrEqual(t, at, longAgo+3*testSlot)
	}
	db.stop()
	require.Equal(t, want, readAll(t, run(t, mem, Options{Retention: century}).DB))
}

// What can't be dropped now is dropped later.
func TestDropIsTriedAgain(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	fill(t, db.DB, 2)
	p := db.parts.snapshot()[0]
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	db.maintenance.Lock()
	db.supersede([]*part{p}, nil)
	err := db.dropGone(cancelled)
	left := len(db.maintenance.gone)
	db.maintenance.Unlock()
	require.Equal(t, err != nil, left == 1)
	want := readAll(t, db.DB)
	require.Len(t, want[key("0")], 20)
	db.Maintain(ctx, time.UnixMilli(longAgo))
	require.Empty(t, db.maintenance.gone)
	db.stop()
	require.Equal(t, want, readAll(t, run(t, mem, Options{Retention: century}).DB))
}
