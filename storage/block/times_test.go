package block

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// wavering are series of targets that are scraped at times of their own, which waver; one in ten
// lacks a sample.
func wavering(targets, each int) []chunk.Series {
	r := rand.New(rand.NewPCG(7, 7))
	var all []chunk.Series
	for target := range targets {
		ts := make([]int64, 120)
		for i := range ts {
			ts[i] = t0 + int64(i)*15_000 + r.Int64N(11)
		}
		for n := range each {
			own, vs := append([]int64(nil), ts...), make([]float64, len(ts))
			for i := range vs {
				vs[i] = float64(r.IntN(9))
			}
			if n%10 == 9 {
				lost := 1 + r.IntN(100)
				own, vs = append(own[:lost], own[lost+1:]...), vs[1:]
			}
			c, _ := chunk.EncodeFloats(nil, own, vs)
			ls := series.FromStrings("__name__", fmt.Sprint("m", n), "instance", fmt.Sprint(target))
			all = append(all, oneSeries(ls, []chunk.Chunk{c}))
		}
	}
	return all
}

// Timestamps of a target are kept once, whether its series are written at once or by ranges of
// shards, and so they are when parts are merged.
func TestTimesInCommon(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	const targets, each = 20, 30
	model := naive(wavering(targets, each))
	size := int64(0)
	for _, s := range model {
		size += int64(len(s.Chunks[0].Data))
	}
	ingest(t, fs, db, Meta{Part: partAt(0, 1), ShardBits: 4}, model)
	metas, err := List(db)
	require.NoError(t, err)
	first := Open(metas[0], newTestCache(t))
	require.NoError(t, first.Verify(db))
	requireSelect(t, first, db, model, everything)
	h, err := first.header(db)
	require.NoError(t, err)
	require.EqualValues(t, targets, h.times, "those with a gap have their own")
	require.Less(t, metas[0].ChunkBytes, size*3/4)

	read, err := first.Select(db, everything)
	require.NoError(t, err)
	columns := map[*chunk.Times]int{}
	for _, s := range read {
		if c := s.Chunks[0]; c.Samples == 120 {
			columns[c.Times]++
		}
	}
	require.Len(t, columns, targets, "and are decoded once")

	b := NewBuilder(fs, buildDir, db, Meta{Part: partAt(1, 2), ShardBits: 4})
	for shard := range series.Shard(2) {
		for _, s := range read {
			if s.Fingerprint.Shard(1) == shard {
				require.NoError(t, b.Add(s))
			}
		}
		require.NoError(t, b.Spill())
	}
	tables, meta, err := b.Finish()
	require.NoError(t, err)
	require.NoError(t, db.Ingest(t.Context(), tables))
	second := Open(meta, newTestCache(t))
	require.NoError(t, second.Verify(db))
	requireSelect(t, second, db, model, everything)
	h, err = second.header(db)
	require.NoError(t, err)
	require.EqualValues(t, targets, h.times)
	require.InDelta(t, metas[0].ChunkBytes, meta.ChunkBytes, 200)
}

// A damaged block of columns costs the series that need it, is named and is counted; those whose
// chunks stand for themselves are read.
func TestDamagedTimes(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	model := naive(wavering(3, 20))
	meta := ingest(t, fs, db, Meta{Part: partAt(0, 1), ShardBits: 4}, model)
	key := keys.AppendBlock(nil, meta.Part, keys.Times, 0)
	for _, damage := range [][]byte{nil, {}, {1}, {200, 1}, {5, 120, 2, 4, 15, 0}, {4, 255, 255, 2, 2}} {
		if damage == nil {
			require.NoError(t, db.Delete(key, pebble.NoSync))
		} else {
			require.NoError(t, db.Set(key, damage, pebble.NoSync))
		}
		cache := newTestCache(t)
		p := Open(meta, cache)
		_, err := p.Select(db, everything)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, meta.Part.String())
		require.ErrorContains(t, err, "times")
		require.EqualValues(t, 1, testutil.ToFloat64(cache.metrics.corruptions))
		require.ErrorIs(t, p.Verify(db), ErrCorrupt)
		sel := everything
		sel.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m19")}
		requireSelect(t, p, db, model, sel)
	}
}

// Whoever bounds a selection's memory is asked for that of the columns in its time range, too.
func TestTimesAreTaken(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	early, late := wavering(16, 2), wavering(16, 2)
	for i := range late {
		ts, vs, err := chunk.Decode(nil, nil, late[i].Chunks[0])
		require.NoError(t, err)
		for j := range ts {
			ts[j] += slot / 2
		}
		c, _ := chunk.EncodeFloats(nil, ts, vs)
		early[i].Chunks = append(early[i].Chunks, c)
	}
	meta := ingest(t, fs, db, Meta{Part: partAt(0, 1)}, early)
	p := Open(meta, newTestCache(t))
	held := func(maxt int64) (n int64) {
		sel := everything
		sel.Maxt, sel.Take = maxt, func(bytes int64) error {
			n += bytes
			return nil
		}
		_, err := p.Select(db, sel)
		require.NoError(t, err)
		return n
	}
	const columns = 16 * 120 * 8
	first, both := held(t0+slot/2-1), held(everything.Maxt)
	require.Greater(t, first, int64(columns))
	require.Greater(t, both, first+columns)
	require.Less(t, both, first+2*columns)
}

// What a builder holds of columns is bounded: chunks whose times come later keep them.
func TestTimesAreBounded(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	model := naive(wavering(8, 4))
	b := NewBuilder(fs, buildDir, db, Meta{Part: partAt(0, 1)})
	b.times.bytes = maxTimesBytes - 400 // As if there were many already.
	for _, s := range model {
		require.NoError(t, b.Add(s))
	}
	tables, meta, err := b.Finish()
	require.NoError(t, err)
	require.NoError(t, db.Ingest(t.Context(), tables))
	p := Open(meta, newTestCache(t))
	require.NoError(t, p.Verify(db))
	requireSelect(t, p, db, model, everything)
	h, err := p.header(db)
	require.NoError(t, err)
	require.Positive(t, h.times)
	require.Less(t, h.times, uint32(8))
}

func FuzzTimesBlock(f *testing.F) {
	w := newTimesWriter()
	var all []entry
	for _, s := range wavering(2, 3) {
		all = append(all, entry{chunks: s.Chunks})
	}
	require.NoError(f, w.survey(all))
	for _, e := range all {
		_, err := w.columnsOf(e.chunks)
		require.NoError(f, err)
	}
	require.NoError(f, w.blocks(func(_ int, b []byte) error {
		f.Add(append([]byte(nil), b...))
		return nil
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		block, err := decodeTimesBlock(b)
		if err != nil {
			require.ErrorIs(t, err, errDecode)
			return
		}
		require.LessOrEqual(t, len(block.columns), timesPerBlock)
		for _, c := range block.columns {
			require.LessOrEqual(t, c.Samples(), chunk.MaxDecimalSamples)
		}
	})
}
