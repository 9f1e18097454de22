package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// DigestQuery asks for digests of some shards in a stretch of time.
type DigestQuery struct {
	Shards *series.ShardSet
	// Mint and Maxt are inclusive, in milliseconds.
	Mint, Maxt int64
	// Slot is the width of the slots that the stretch is cut into, from its beginning on, in
	// milliseconds.
	Slot int64
}

// Slots is how many there are; the last one may be shorter.
func (q *DigestQuery) Slots() int {
	if q.Mint > q.Maxt {
		return 0
	}
	return int((q.Maxt-q.Mint)/q.Slot) + 1
}

// Digests returns a digest for each slot of each shard, the slots of the first shard of the set first. A
// digest says only which samples there are for a reader: wherever they lie, however they are encoded,
// and without what is deleted. What is read is in memory for some shards at a time.
func (db *DB) Digests(ctx context.Context, q DigestQuery) ([]series.Digest, error) {
	if q.Shards == nil || q.Slot <= 0 || q.Maxt-q.Mint < 0 && q.Mint <= q.Maxt {
		return nil, errors.New("digests are of shards and of slots")
	}
	d := digesting{query: q, slots: q.Slots()}
	place := 0
	d.place = make([]int32, 1<<q.Shards.Bits)
	for n := range d.place {
		if q.Shards.Has(lowest(n, q.Shards.Bits)) {
			d.place[n] = int32(place)
			place++
		}
	}
	d.digests = make([]series.Digest, place*d.slots)
	for _, shards := range db.pieces(q) {
		if err := d.read(ctx, db, shards); err != nil {
			return nil, fmt.Errorf("digest: %w", err)
		}
	}
	return d.digests, nil
}

// lowest fingerprint of a shard.
func lowest(n int, bits uint8) series.Fingerprint {
	return series.Fingerprint(uint64(n) << (64 - bits)) // A shift by 64 gives 0.
}

// pieces cuts the shards into sets that are read at once, of about mergeBytes each at most.
func (db *DB) pieces(q DigestQuery) (sets []*series.ShardSet) {
	total := db.head.BytesBefore(q.Maxt)
	for _, p := range db.parts.overlapping(q.Mint, q.Maxt) {
		total += p.Meta().ChunkBytes
	}
	width := mergeBits(total, q.Shards.Bits)
	for piece := range 1 << width {
		set := &series.ShardSet{Bits: q.Shards.Bits}
		some := false
		for n := piece << (q.Shards.Bits - width); n < (piece+1)<<(q.Shards.Bits-width); n++ {
			if q.Shards.Has(lowest(n, q.Shards.Bits)) {
				set.Add(series.Shard(n))
				some = true
			}
		}
		if some {
			sets = append(sets, set)
		}
	}
	return sets
}

// digesting is a call of Digests on its way.
type digesting struct {
	query    DigestQuery
	slots    int
	place    []int32 // by shard: which of the set's it is
	digests  []series.Digest
	digester series.Digester
	iterator chunk.Iterator
	times    []int64
	values   []float64
}

func (d *digesting) read(ctx context.Context, db *DB, shards *series.ShardSet) error {
	set, err := db.Select(ctx, series.Selector{
		Mint: d.query.Mint, Maxt: d.query.Maxt, Shards: shards, Take: func(int64) error { return ctx.Err() },
	})
	if err != nil {
		return err
	}
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, set.Close())
		}
		s := set.At()
		at := int(d.place[s.Fingerprint.Shard(d.query.Shards.Bits)]) * d.slots
		if err := d.series(d.digests[at:at+d.slots], s); err != nil {
			return errors.Join(fmt.Errorf("chunks of %s: %w", s.Labels, err), set.Close())
		}
	}
	return errors.Join(set.Err(), set.Close())
}

// series adds the samples of a series to the digests of its shard's slots.
func (d *digesting) series(slots []series.Digest, s chunk.Series) error {
	if !columnar(s.Chunks) {
		return d.samples(slots, s)
	}
	d.times, d.values = d.times[:0], d.values[:0]
	for _, c := range s.Chunks {
		var err error
		if d.times, d.values, err = chunk.Decode(d.times, d.values, c); err != nil {
			return err
		}
	}
	for i := 0; i < len(d.times); {
		if d.times[i] < d.query.Mint {
			i++
			continue
		}
		if d.times[i] > d.query.Maxt {
			break
		}
		n, end := d.slot(d.times[i])
		from := i
		for i < len(d.times) && d.times[i] <= end {
			i++
		}
		d.digester.Begin(s.Fingerprint)
		d.digester.Floats(d.times[from:i], d.values[from:i])
		slots[n].Add(d.digester.Digest())
	}
	return nil
}

// slot of a time in the stretch, and its last millisecond.
func (d *digesting) slot(t int64) (n int, end int64) {
	n = int((t - d.query.Mint) / d.query.Slot)
	if n == d.slots-1 {
		return n, d.query.Maxt
	}
	return n, d.query.Mint + int64(n+1)*d.query.Slot - 1
}

// columnar reports whether all of the samples are floats without start timestamps, of which no two may
// be of one time.
func columnar(chunks []chunk.Chunk) bool {
	for i, c := range chunks {
		if c.Enc != chunk.XOR && c.Enc != chunk.Decimal || i > 0 && chunks[i-1].MaxT >= c.MinT {
			return false
		}
	}
	return true
}

// samples is the general form of series.
func (d *digesting) samples(slots []series.Digest, s chunk.Series) error {
	it := &d.iterator
	it.Reset(s.Chunks)
	n, end := -1, int64(0)
	finish := func() {
		if n >= 0 {
			slots[n].Add(d.digester.Digest())
		}
	}
	for typ := it.Seek(d.query.Mint); typ != chunkenc.ValNone && it.AtT() <= d.query.Maxt; typ = it.Next() {
		if n < 0 || it.AtT() > end {
			finish()
			n, end = d.slot(it.AtT())
			d.digester.Begin(s.Fingerprint)
		}
		d.digester.Add(it.Sample())
	}
	finish()
	return it.Err()
}
