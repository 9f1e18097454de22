package eval

import (
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/chunk"
)

// columns are the samples of one series, by time.
type columns struct {
	times  []int64
	values []float64
	rhythm rhythm
	merger chunk.Iterator
}

// rhythm is what chunks say of how far their timestamps are apart, without a look at these.
type rhythm struct {
	distance int64 // of all from the one before; 0 is not known
	end      int64
	broken   bool
}

func (r *rhythm) see(c *chunk.Chunk) {
	distance, ok := c.Regular()
	if r.broken = r.broken || !ok || r.distance != 0 && (distance != r.distance || c.MinT-r.end != distance); r.broken {
		distance = 0
	}
	r.distance, r.end = distance, c.MaxT
}

// what to read of a series.
type want struct {
	mint, maxt int64
	stale      bool // Stale markers are kept.
	starts     bool // Start timestamps count, so chunks that have them can't be read.
	histograms bool // Histograms can be read.
}

// skips reports whether the chunk is outside of the times.
func (w *want) skips(c *chunk.Chunk) bool { return c.MaxT < w.mint || c.MinT > w.maxt }

// reads reports whether the chunk has nothing but floats that mean what they are.
func (w *want) reads(c *chunk.Chunk) bool {
	return c.Enc == chunk.XOR || c.Enc == chunk.Decimal || c.Enc == chunk.XOR2 && !w.starts
}

// load reads the chunks that overlap the times, all of them such as want reads; samples outside of these may come with them.
func (c *columns) load(chunks []chunk.Chunk, w *want) error {
	c.times, c.values = c.times[:0], c.values[:0]
	c.rhythm = rhythm{}
	inOrder, end, begun, numbers := true, int64(0), false, true
	for i := range chunks {
		ch := &chunks[i]
		if w.skips(ch) {
			continue
		}
		inOrder = inOrder && (!begun || ch.MinT > end)
		end, begun = max(end, ch.MaxT), true
		if !inOrder {
			continue
		}
		c.rhythm.see(ch)
		numbers = numbers && ch.HasNumbersOnly()
		var err error
		if c.times, c.values, err = chunk.Decode(c.times, c.values, *ch); err != nil {
			return err
		}
	}
	if !inOrder {
		if err := c.join(chunks, w); err != nil {
			return err
		}
	}
	if !w.stale && !(numbers && inOrder) {
		c.dropStale()
	}
	return nil
}

// join merges chunks that overlap.
func (c *columns) join(chunks []chunk.Chunk, w *want) error {
	c.times, c.values, c.rhythm = c.times[:0], c.values[:0], rhythm{}
	c.merger.Reset(chunks)
	for typ := c.merger.Seek(w.mint); typ == chunkenc.ValFloat; typ = c.merger.Next() {
		t, v := c.merger.At()
		if t > w.maxt {
			return nil
		}
		c.times, c.values = append(c.times, t), append(c.values, v)
	}
	return c.merger.Err()
}

// dropStale leaves out stale markers.
func (c *columns) dropStale() {
	first := 0
	for v := c.values; first+4 <= len(v); first += 4 { // The sum of four has a NaN in it if one of them is.
		if sum := (v[first] + v[first+1]) + (v[first+2] + v[first+3]); sum != sum {
			break
		}
	}
	for first < len(c.values) && !partial.IsAbsent(c.values[first]) {
		first++
	}
	kept := first
	for i := first; i < len(c.values); i++ {
		if !partial.IsAbsent(c.values[i]) {
			c.times[kept], c.values[kept] = c.times[i], c.values[i]
			kept++
		}
	}
	if kept < len(c.values) {
		c.times, c.values, c.rhythm = c.times[:kept], c.values[:kept], rhythm{}
	}
}
