package eval

import (
	"slices"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/chunk"
)

// columns are the samples of one series, by time. Values of Decimal chunks come last, when it is
// known which of them are needed: until fill they mean nothing. Times that the rhythm says are not
// there until spell.
type columns struct {
	times  []int64
	values []float64
	rhythm rhythm
	spans  []span // Without any, nothing is known of the values.
	merger chunk.Iterator
}

// span is where the samples of a chunk are.
type span struct {
	chunk    *chunk.Chunk // Its values are still to be read; nil if they are there.
	from, to int
	rising   bool // All values are numbers, none less than the one before.
}

// rhythm is what chunks say of how far their timestamps are apart, without a look at these.
type rhythm struct {
	distance   int64 // of all from the one before; 0 is not known
	first, end int64
	samples    int
	broken     bool
}

func (r *rhythm) see(c *chunk.Chunk) {
	distance, ok := c.Regular()
	if r.broken = r.broken || !ok || r.distance != 0 && (distance != r.distance || c.MinT-r.end != distance); r.broken {
		distance = 0
	}
	if r.samples == 0 {
		r.first = c.MinT
	}
	r.distance, r.end, r.samples = distance, c.MaxT, r.samples+c.Samples
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
	c.times, c.values, c.spans = c.times[:0], c.values[:0], c.spans[:0]
	c.rhythm = rhythm{}
	numbers := true
	for i := range chunks {
		ch := &chunks[i]
		if w.skips(ch) {
			continue
		}
		if c.rhythm.samples > 0 && ch.MinT <= c.rhythm.end {
			return c.join(chunks, w)
		}
		c.rhythm.see(ch)
		numbers = numbers && ch.HasNumbersOnly()
	}
	if n := c.rhythm.samples; n > cap(c.values) {
		c.values = make([]float64, 0, n)
	}
	for i := range chunks {
		if w.skips(&chunks[i]) {
			continue
		}
		if err := c.open(&chunks[i]); err != nil {
			return err
		}
	}
	if w.stale || numbers {
		return nil
	}
	if err := c.fill(nil, false); err != nil {
		return err
	}
	c.dropStale()
	return nil
}

// open reads a chunk, but for values that can be read apart from the times.
func (c *columns) open(ch *chunk.Chunk) (err error) {
	s := span{from: len(c.values)}
	if ch.Enc == chunk.Decimal {
		s.chunk = ch
		c.values = c.values[:s.from+ch.Samples]
		if c.rhythm.distance == 0 {
			c.times, err = chunk.Timestamps(c.times, *ch)
		}
	} else {
		c.times, c.values, err = chunk.Decode(c.times, c.values, *ch)
	}
	s.to = len(c.values)
	c.spans = append(c.spans, s)
	return err
}

// at is a sample's time.
func (c *columns) at(i int) int64 {
	if i < len(c.times) {
		return c.times[i]
	}
	return c.rhythm.first + int64(i)*c.rhythm.distance
}

// spell makes all times be there.
func (c *columns) spell() {
	n := len(c.values)
	if len(c.times) == n {
		return
	}
	c.times = slices.Grow(c.times[:0], n)[:n]
	t := c.rhythm.first
	for i := range c.times {
		c.times[i] = t
		t += c.rhythm.distance
	}
}

// fill reads values that are still to be read: those that are picked, or all of a chunk in which a
// counter may have been reset.
func (c *columns) fill(picks chunk.Picks, counter bool) (err error) {
	for i := range c.spans {
		s := &c.spans[i]
		if s.chunk == nil {
			continue
		}
		values := c.values[s.from:s.to]
		if s.rising, err = chunk.Values(values, *s.chunk, picks, s.from); err == nil && counter && !s.rising && picks != nil {
			s.rising, err = chunk.Values(values, *s.chunk, nil, 0)
		}
		if err != nil {
			return err
		}
		s.chunk = nil
	}
	return nil
}

// join merges chunks that overlap.
func (c *columns) join(chunks []chunk.Chunk, w *want) error {
	c.times, c.values, c.rhythm, c.spans = c.times[:0], c.values[:0], rhythm{}, c.spans[:0]
	c.merger.Reset(chunks)
	for typ := c.merger.Seek(w.mint); typ == chunkenc.ValFloat; typ = c.merger.Next() {
		t, v := c.merger.At()
		if t > w.maxt {
			break
		}
		c.times, c.values = append(c.times, t), append(c.values, v)
	}
	if !w.stale {
		c.dropStale()
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
	if first < len(c.values) {
		c.spell()
	}
	kept := first
	for i := first; i < len(c.values); i++ {
		if !partial.IsAbsent(c.values[i]) {
			c.times[kept], c.values[kept] = c.times[i], c.values[i]
			kept++
		}
	}
	if kept < len(c.values) {
		c.times, c.values, c.rhythm, c.spans = c.times[:kept], c.values[:kept], rhythm{}, c.spans[:0]
	}
}
