package chunk

import (
	"cmp"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/storage/series"
)

// Iterator walks the samples of a series' chunks in order of time, one for each timestamp: where
// chunks overlap it takes the sample that series.Resolve would. It implements chunkenc.Iterator.
//
// Chunks are opened when their time comes. As long as the open one overlaps no other, a step is a
// step in it. Where several are open they stand in a heap by time, and those at the least time
// leave it together: one gives the sample, and all move on before the next step.
//
// A counter histogram is "not reset" only where the sample before it came from the same chunk, as
// that chunk's neighbour; else nobody can say, and the hint is "unknown".
type Iterator struct {
	chunks []Chunk // Not opened yet, by MinT.
	heap   []*cursor
	same   []*cursor // Out of the heap: those at the current timestamp.
	cur    *cursor   // Gives the current sample; nil before the first and after the last.
	alone  bool      // cur is the only one open, and no other chunk begins before it ends.
	// The sample before the current one was cur's neighbour. While alone, cur itself knows.
	consecutive bool
	done        bool
	err         error

	taken   bool
	reach   int64 // The greatest MaxT of the chunks taken.
	tangled int64 // The end of the last stretch of time that two of them share.

	free   []*cursor
	sorted []Chunk // Scratch for chunks that came in another order.
}

// NewIterator returns an iterator over chunks. It keeps the slice.
func NewIterator(chunks []Chunk) *Iterator {
	it := &Iterator{}
	it.Reset(chunks)
	return it
}

// Reset makes it an iterator over chunks, with the memory it has.
func (it *Iterator) Reset(chunks []Chunk) {
	it.free = append(append(it.free, it.heap...), it.same...)
	*it = Iterator{
		chunks: chunks, heap: it.heap[:0], same: it.same[:0], free: it.free, sorted: it.sorted,
		reach: math.MinInt64, tangled: math.MinInt64,
	}
	if !slices.IsSortedFunc(chunks, byMinT) {
		it.sorted = append(it.sorted[:0], chunks...)
		slices.SortStableFunc(it.sorted, byMinT)
		it.chunks = it.sorted
	}
}

func byMinT(a, b Chunk) int { return cmp.Compare(a.MinT, b.MinT) }

// Next moves to the next sample.
func (it *Iterator) Next() chunkenc.ValueType {
	if c := it.cur; it.alone {
		if c.i+1 < len(c.times) { // Floats, nearly always.
			c.i++
			c.t = c.times[c.i]
			return chunkenc.ValFloat
		}
		if c.next(); c.typ != chunkenc.ValNone {
			return c.typ
		}
	} else {
		for _, c := range it.same {
			c.next()
		}
	}
	return it.step()
}

// Seek moves to the first sample at or after t, and stays where it is if that is one already.
func (it *Iterator) Seek(t int64) chunkenc.ValueType {
	if it.done {
		return chunkenc.ValNone
	}
	if it.cur != nil && it.cur.t >= t {
		return it.cur.typ
	}
	for len(it.chunks) > 0 && it.chunks[0].MaxT < t {
		it.take()
	}
	if it.alone {
		if it.cur.seek(t); it.cur.typ != chunkenc.ValNone {
			return it.cur.typ
		}
		return it.stepFrom(t)
	}
	it.same = append(it.same, it.heap...)
	it.heap = it.heap[:0]
	for _, c := range it.same {
		c.seek(t)
	}
	it.cur = nil // Whatever comes next did not follow from here.
	return it.stepFrom(t)
}

func (it *Iterator) step() chunkenc.ValueType { return it.stepFrom(math.MinInt64) }

// stepFrom goes to the least sample of the open chunks and those whose time has come; of those
// yet to be opened, samples before mint are passed over. The cursors in same were moved.
func (it *Iterator) stepFrom(mint int64) chunkenc.ValueType {
	if it.done {
		return chunkenc.ValNone
	}
	before := it.cur
	for _, c := range it.same {
		it.put(c)
	}
	it.same, it.cur, it.alone = it.same[:0], nil, false
	for len(it.chunks) > 0 && it.err == nil &&
		(len(it.heap) == 0 || it.chunks[0].MinT <= it.heap[0].t) {
		if chunk := it.take(); chunk.MaxT >= mint {
			c := it.cursor()
			c.open(chunk, mint)
			it.put(c)
		}
	}
	if len(it.heap) == 0 || it.err != nil {
		it.done = true
		return chunkenc.ValNone
	}
	it.same = append(it.same, it.pop())
	it.cur = it.same[0]
	if len(it.heap) == 0 && (len(it.chunks) == 0 || it.chunks[0].MinT > it.cur.chunk.MaxT) {
		it.alone = it.fresh(before)
	}
	for len(it.heap) > 0 && it.heap[0].t == it.cur.t {
		c := it.pop()
		it.same = append(it.same, c)
		if better(c, it.cur) {
			it.cur = c
		}
	}
	it.consecutive = it.cur == before
	return it.cur.typ
}

// take takes the next chunk off those not opened yet.
func (it *Iterator) take() Chunk {
	c := it.chunks[0]
	it.chunks = it.chunks[1:]
	if it.taken && c.MinT <= it.reach {
		it.tangled = max(it.tangled, min(it.reach, c.MaxT))
	}
	it.reach, it.taken = max(it.reach, c.MaxT), true
	return c
}

// fresh reports whether the current cursor's own word on counter resets may be trusted from here
// on: at its first sample, which says "unknown" by itself, where it went on from, and, after a
// Seek, in a chunk that no other reaches into, since the sample passed over is its neighbour.
func (it *Iterator) fresh(before *cursor) bool {
	c := it.cur
	return c == before || c.chunk.Enc.float() || c.first() || c.chunk.MinT > it.tangled
}

func (it *Iterator) cursor() *cursor {
	if n := len(it.free); n > 0 {
		c := it.free[n-1]
		it.free = it.free[:n-1]
		return c
	}
	return &cursor{}
}

// put takes in a cursor that has moved: into the heap, or out of use at its end.
func (it *Iterator) put(c *cursor) {
	if c.typ == chunkenc.ValNone {
		if it.err == nil {
			it.err = c.err
		}
		c.chunk = Chunk{} // Its bytes may be a whole block's.
		it.free = append(it.free, c)
		return
	}
	h := append(it.heap, c)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up].t <= h[i].t {
			break
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
	it.heap = h
}

func (it *Iterator) pop() *cursor {
	h := it.heap
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && h[down+1].t < h[down].t {
			down++
		}
		if h[i].t <= h[down].t {
			break
		}
		h[i], h[down] = h[down], h[i]
		i = down
	}
	it.heap = h
	return top
}

// better reports whether a's sample wins over b's, both being at one timestamp.
func better(a, b *cursor) bool {
	if a.typ == chunkenc.ValFloat && b.typ == chunkenc.ValFloat &&
		len(a.starts) == 0 && len(b.starts) == 0 {
		return series.Better(a.values[a.i], b.values[b.i])
	}
	return series.CompareValues(a.sample(), b.sample()) > 0
}

// sample is the cursor's sample; a histogram's counter reset hint is the chunk's own word.
func (c *cursor) sample() series.Sample {
	s := series.Sample{T: c.t, ST: c.st()}
	switch c.typ {
	case chunkenc.ValHistogram:
		_, s.H = c.others.AtHistogram(nil)
	case chunkenc.ValFloatHistogram:
		_, s.FH = c.others.AtFloatHistogram(nil)
	default:
		s.V = c.values[c.i]
	}
	return s
}

// Sample is the current sample, in its general form. Histograms in it are the caller's own.
func (it *Iterator) Sample() series.Sample {
	s := series.Sample{T: it.cur.t, ST: it.cur.st()}
	switch it.cur.typ {
	case chunkenc.ValHistogram:
		_, s.H = it.AtHistogram(&histogram.Histogram{})
	case chunkenc.ValFloatHistogram:
		_, s.FH = it.AtFloatHistogram(&histogram.FloatHistogram{})
	default:
		s.V = it.cur.values[it.cur.i]
	}
	return s
}

// At is the current float sample.
func (it *Iterator) At() (int64, float64) { return it.cur.t, it.cur.values[it.cur.i] }

// AtT is the current timestamp.
func (it *Iterator) AtT() int64 { return it.cur.t }

// AtST is the current start timestamp, 0 where it is unknown.
func (it *Iterator) AtST() int64 { return it.cur.st() }

// AtHistogram is the current histogram sample.
func (it *Iterator) AtHistogram(h *histogram.Histogram) (int64, *histogram.Histogram) {
	t, h := it.cur.others.AtHistogram(h)
	if !it.alone && !it.consecutive && h.CounterResetHint != histogram.GaugeType {
		h.CounterResetHint = histogram.UnknownCounterReset
	}
	return t, h
}

// AtFloatHistogram is the current sample of either kind of histogram.
func (it *Iterator) AtFloatHistogram(h *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	t, h := it.cur.others.AtFloatHistogram(h)
	if !it.alone && !it.consecutive && h.CounterResetHint != histogram.GaugeType {
		h.CounterResetHint = histogram.UnknownCounterReset
	}
	return t, h
}

// Err is what ended the iteration early; it is for after the end.
func (it *Iterator) Err() error { return it.err }
