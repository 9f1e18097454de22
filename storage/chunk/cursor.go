package chunk

import (
	"sort"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// cursor stands in one chunk. Floats are decoded whole, in columns, which is the fastest way; of
// histograms an iterator gives one at a time.
type cursor struct {
	chunk Chunk
	typ   chunkenc.ValueType // Of the sample it stands at; ValNone at the end.
	t     int64              // Its time.

	times  []int64
	values []float64
	starts []int64 // Empty without start timestamps.
	i      int

	others guarded
	read   int // Histograms read.
	err    error
}

// open puts the cursor at the chunk's first sample that is not before mint.
func (c *cursor) open(chunk Chunk, mint int64) {
	c.chunk, c.err = chunk, nil
	c.times, c.values, c.starts = c.times[:0], c.values[:0], c.starts[:0]
	switch {
	case chunk.Enc == XOR:
		var d xorDecoder
		c.times, c.values, c.err = d.decode(c.times, c.values, chunk)
		c.i = -1
	case chunk.Enc == Decimal:
		c.times, c.values, c.err = decodeDecimal(c.times, c.values, chunk)
		c.i = -1
	case chunk.Enc == XOR2:
		c.err = c.decodeXOR2()
		c.i = -1
	default:
		c.read = 0
		if err := c.openHistograms(); err != nil {
			c.fail(err)
			return
		}
	}
	c.next()
	if mint > c.t {
		c.seek(mint)
	}
}

func (c *cursor) openHistograms() error {
	if c.chunk.Enc == Packed {
		it, ok := c.others.Iterator.(*packedIterator)
		if !ok {
			it = &packedIterator{}
		}
		c.others = guarded{Iterator: it}
		return it.open(c.chunk)
	}
	lib, err := libraryChunk(c.chunk)
	if err != nil {
		return err
	}
	c.others = guarded{Iterator: lib.Iterator(c.others.Iterator)}
	return nil
}

// first reports whether the histogram it stands at has none before it to be compared with.
func (c *cursor) first() bool {
	if it, ok := c.others.Iterator.(*packedIterator); ok {
		return it.in == 0
	}
	return c.read == 1
}

func (c *cursor) decodeXOR2() error {
	lib, err := libraryChunk(c.chunk)
	if err != nil {
		return err
	}
	c.others = guarded{Iterator: lib.Iterator(c.others.Iterator)}
	for c.others.Next() != chunkenc.ValNone {
		t, v := c.others.At()
		if n := len(c.times); n > 0 && c.times[n-1] >= t {
			return corruptf("time does not advance after %d samples", n)
		}
		c.times, c.values = append(c.times, t), append(c.values, v)
		c.starts = append(c.starts, c.others.AtST())
	}
	if err := c.others.Err(); err != nil {
		return err
	}
	if n := len(c.times); n > 0 && (c.times[0] != c.chunk.MinT || c.times[n-1] != c.chunk.MaxT) {
		return corruptf("spans %d to %d, not %d to %d",
			c.times[0], c.times[n-1], c.chunk.MinT, c.chunk.MaxT)
	}
	return nil
}

func (c *cursor) fail(err error) {
	c.typ, c.err = chunkenc.ValNone, err
}

// next moves to the next sample. Damage shows as an end with err set.
func (c *cursor) next() {
	if c.chunk.Enc.float() {
		if c.i++; c.i < len(c.times) {
			c.typ, c.t = chunkenc.ValFloat, c.times[c.i]
		} else {
			c.typ = chunkenc.ValNone
		}
		return
	}
	c.settle(c.others.Next())
}

// settle takes over where the library's iterator stands, after it was moved.
func (c *cursor) settle(typ chunkenc.ValueType) {
	if typ == chunkenc.ValNone {
		c.typ = typ
		if err := c.others.Err(); err != nil {
			c.fail(err)
		} else if c.read == 0 && c.chunk.Samples > 0 || c.read > 0 && c.t != c.chunk.MaxT {
			c.fail(corruptf("does not end at %d", c.chunk.MaxT))
		}
		return
	}
	t := c.others.AtT()
	if t < c.chunk.MinT || t > c.chunk.MaxT || c.read > 0 && t <= c.t {
		c.fail(corruptf("time %d outside of %d to %d", t, c.chunk.MinT, c.chunk.MaxT))
		return
	}
	c.typ, c.t = typ, t
	c.read++
}

// seek moves to the first sample at or after t; it never goes back.
func (c *cursor) seek(t int64) {
	if c.chunk.Enc.float() {
		rest := c.times[min(c.i, len(c.times)):]
		if len(rest) > 4 && rest[4] < t {
			c.i += 4 + sort.Search(len(rest)-4, func(j int) bool { return rest[4+j] >= t })
		} else {
			for c.i < len(c.times) && c.times[c.i] < t {
				c.i++
			}
		}
		c.i--
		c.next()
		return
	}
	for c.typ != chunkenc.ValNone && c.t < t {
		c.next()
	}
}

func (c *cursor) st() int64 {
	if c.chunk.Enc.float() {
		if len(c.starts) == 0 {
			return 0
		}
		return c.starts[c.i]
	}
	return c.others.AtST()
}
