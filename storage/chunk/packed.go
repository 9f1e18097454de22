package chunk

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// maxCells bounds the numbers, their sums aside, of all histograms in one Packed chunk, since a
// reader decodes them at once and a few bytes can stand for any number of them. Samples that are
// too many for it go into several chunks; larger histograms stay as they are.
const maxCells = 1 << 17

// The bits of a Packed chunk's first byte.
const (
	packedFloats = 1 << 0 // Float histograms.
	packedStarts = 1 << 1 // With start timestamps.
)

// packedKind is the first byte of a Packed chunk that holds what a chunk of the encoding given does.
func packedKind(e Encoding) (uint8, bool) {
	switch e {
	case Histogram:
		return 0, true
	case FloatHistogram:
		return packedFloats, true
	case HistogramST:
		return packedStarts, true
	case FloatHistogramST:
		return packedFloats | packedStarts, true
	}
	return 0, false
}

// kind is packedKind of the histograms in c; not all chunks have any.
func (c Chunk) kind() (uint8, bool) {
	if c.Enc == Packed && len(c.Data) > 0 {
		return c.Data[0], c.Data[0] <= packedFloats|packedStarts
	}
	return packedKind(c.Enc)
}

// run is a stretch of samples that was, or may be, one chunk of tsdb/chunkenc: the first of them
// says nothing of whether the counters were reset, all others that they were not.
type run struct {
	samples int
	header  byte // What tsdb/chunkenc keeps of how the chunk began.
}

// group is a sequence of runs of one layout, whose numbers are in columns.
type group struct {
	*layout
	from, to int // Its samples.
	cell     int // The first of its cells.
}

// histograms are samples to pack. A cell is an integer or the bits of a float.
type histograms struct {
	kind   uint8
	ts     []int64
	starts []int64
	sums   []float64
	runs   []run
	fresh  []bool // Of each run: it begins a group.
	groups []group
	cells  []uint64 // By group, by sample, as the columns are.

	cur  cursor
	h    histogram.Histogram
	fh   histogram.FloatHistogram
	ints []int64
	vals []float64
}

func (p *histograms) reset(kind uint8) {
	p.kind = kind
	p.ts, p.starts, p.sums = p.ts[:0], p.starts[:0], p.sums[:0]
	p.runs, p.fresh = p.runs[:0], p.fresh[:0]
	p.groups, p.cells = p.groups[:0], p.cells[:0]
}

// take gathers c's samples and reports whether they can be packed: they can't where a run goes on
// after a stale marker at its begin, since that hides the layout.
func (p *histograms) take(c Chunk) (bool, error) {
	defer func() { p.cur.chunk = Chunk{} }() // Its bytes may be a whole block's.
	header, begin := resetHeader(c), true
	packed := c.Enc == Packed
	bare := false
	for p.cur.open(c, math.MinInt64); p.cur.typ != chunkenc.ValNone; p.cur.next() {
		if packed {
			begin, header = p.cur.others.Iterator.(*packedIterator).begins()
		}
		stale := p.read()
		switch {
		case begin:
			p.begin(header, stale)
			bare = stale
		case bare && !stale, !stale && !p.layoutIs():
			return false, nil
		}
		if len(p.cells)+p.groups[len(p.groups)-1].columns() > maxCells {
			return false, nil
		}
		p.add(stale)
		begin = false
	}
	return true, p.cur.err
}

// read gets the cursor's histogram and reports whether it is a stale marker.
func (p *histograms) read() bool {
	var sum float64
	if p.kind&packedFloats != 0 {
		_, fh := p.cur.others.AtFloatHistogram(&p.fh)
		sum = fh.Sum
	} else {
		_, h := p.cur.others.AtHistogram(&p.h)
		sum = h.Sum
	}
	p.sums = append(p.sums, sum)
	return value.IsStaleNaN(sum)
}

func (p *histograms) layoutIs() bool {
	if len(p.groups) == 0 {
		return false
	}
	l := p.groups[len(p.groups)-1].layout
	if p.kind&packedFloats != 0 {
		return l.equal(p.fh.Schema, p.fh.ZeroThreshold, p.fh.PositiveSpans, p.fh.NegativeSpans, p.fh.CustomValues)
	}
	return l.equal(p.h.Schema, p.h.ZeroThreshold, p.h.PositiveSpans, p.h.NegativeSpans, p.h.CustomValues)
}

// begin begins a run at the sample read. One of stale markers alone has whichever layout.
func (p *histograms) begin(header byte, stale bool) {
	fresh := len(p.groups) == 0 || !stale && !p.layoutIs()
	if fresh {
		g := group{from: len(p.ts), to: len(p.ts), cell: len(p.cells)}
		switch {
		case stale:
			g.layout = &layout{}
		case p.kind&packedFloats != 0:
			g.layout = newLayout(p.fh.Schema, p.fh.ZeroThreshold, p.fh.PositiveSpans, p.fh.NegativeSpans, p.fh.CustomValues)
		default:
			g.layout = newLayout(p.h.Schema, p.h.ZeroThreshold, p.h.PositiveSpans, p.h.NegativeSpans, p.h.CustomValues)
		}
		p.groups = append(p.groups, g)
	}
	p.runs = append(p.runs, run{header: header})
	p.fresh = append(p.fresh, fresh)
}

// add adds the sample read. The numbers of a stale marker, which nobody sees, are those before it.
func (p *histograms) add(stale bool) {
	g := &p.groups[len(p.groups)-1]
	p.ts = append(p.ts, p.cur.t)
	if p.kind&packedStarts != 0 {
		p.starts = append(p.starts, p.cur.st())
	}
	width := g.columns()
	switch {
	case stale && g.to > g.from:
		p.cells = append(p.cells, p.cells[len(p.cells)-width:]...)
	case stale:
		p.cells = append(p.cells, make([]uint64, width)...)
	case p.kind&packedFloats != 0:
		p.cells = append(p.cells, math.Float64bits(p.fh.Count), math.Float64bits(p.fh.ZeroCount))
		for _, side := range [2][]float64{p.fh.PositiveBuckets, p.fh.NegativeBuckets} {
			for _, v := range side {
				p.cells = append(p.cells, math.Float64bits(v))
			}
		}
	default:
		p.addInts()
	}
	g.to++
	p.runs[len(p.runs)-1].samples++
}

// addInts adds an integer histogram. What the library has of a bucket is how it differs from the
// one below it; the count itself grows more evenly. The count of all is mostly that of the buckets.
func (p *histograms) addInts() {
	p.cells = append(p.cells, 0, p.h.ZeroCount)
	count, rest := len(p.cells)-2, p.h.Count-p.h.ZeroCount
	for _, side := range [2][]int64{p.h.PositiveBuckets, p.h.NegativeBuckets} {
		x := uint64(0)
		for _, d := range side {
			x += uint64(d)
			rest -= x
			p.cells = append(p.cells, x)
		}
	}
	p.cells[count] = rest
}

// resetHeader is how a chunk of tsdb/chunkenc began.
func resetHeader(c Chunk) byte {
	if at := resetHeaderAt(c.Enc); at < len(c.Data) {
		return c.Data[at] & chunkenc.CounterResetHeaderMask
	}
	return 0
}

func resetHeaderAt(e Encoding) int {
	if e == HistogramST || e == FloatHistogramST {
		return 0
	}
	return 2
}

// appendHistograms appends the payload of a Packed chunk with the samples gathered.
func (e *encoder) appendHistograms(dst []byte) []byte {
	p := &e.histograms
	dst = append(dst, p.kind)
	at := len(dst)
	dst, form := e.appendTimes(append(dst, 0), p.ts)
	dst[at] = form
	if p.kind&packedStarts != 0 {
		dst = e.appendInts(dst, p.starts)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.runs)))
	g := 0
	for i, r := range p.runs {
		word := uint64(r.samples)<<3 | uint64(r.header>>6)<<1
		if !p.fresh[i] {
			dst = binary.AppendUvarint(dst, word)
			continue
		}
		dst = p.groups[g].append(binary.AppendUvarint(dst, word|1))
		g++
	}
	for _, g := range p.groups {
		dst = e.appendFloats(dst, p.sums[g.from:g.to])
		width, n := g.columns(), g.to-g.from
		cells := p.cells[g.cell : g.cell+n*width]
		for at := range width {
			if p.kind&packedFloats != 0 {
				p.vals = grown(p.vals[:0], n)
				for i := range n {
					p.vals[i] = math.Float64frombits(cells[i*width+at])
				}
				dst = e.appendFloats(dst, p.vals)
				continue
			}
			p.ints = grown(p.ints[:0], n)
			for i := range n {
				p.ints[i] = int64(cells[i*width+at])
			}
			dst = e.appendInts(dst, p.ints)
		}
	}
	return dst
}

// appendInts appends a column of integers, with its form before it.
func (e *encoder) appendInts(dst []byte, xs []int64) []byte {
	e.times.plan(xs, false)
	dst = binary.AppendVarint(append(dst, e.times.form), xs[0])
	return e.times.append(dst)
}

// appendFloats appends a column of floats, with its form before it.
func (e *encoder) appendFloats(dst []byte, vs []float64) []byte {
	at := len(dst)
	dst, form, _ := e.appendValues(append(dst, 0), vs)
	dst[at] = form
	return dst
}

// packHistograms appends chunks with the samples of the given ones, which are of one kind, to dst:
// packed where that is smaller, else as they are.
func (e *encoder) packHistograms(dst, chunks []Chunk) ([]Chunk, error) {
	for len(chunks) > 0 {
		n, err := e.gather(chunks)
		if err != nil {
			return dst, err
		}
		size := 0
		for _, c := range chunks[:n] {
			size += len(c.Data)
		}
		if n > 0 && (n > 1 || chunks[0].Enc != Packed) {
			e.buf = e.appendHistograms(e.buf[:0])
		}
		switch {
		case n == 0:
			dst, n = append(dst, chunks[0]), 1
		case n == 1 && chunks[0].Enc == Packed || len(e.buf) >= size:
			dst = append(dst, chunks[:n]...)
		default:
			dst = append(dst, Chunk{
				Enc: Packed, Samples: len(e.histograms.ts), MinT: chunks[0].MinT, MaxT: chunks[n-1].MaxT,
				Data: append(make([]byte, 0, len(e.buf)), e.buf...),
			})
		}
		chunks = chunks[n:]
	}
	return dst, nil
}

// gather takes the samples of as many chunks, from the first on, as fit into one, and returns how
// many; none if the first is not to be packed.
func (e *encoder) gather(chunks []Chunk) (int, error) {
	p := &e.histograms
	kind, _ := chunks[0].kind()
	p.reset(kind)
	for n, c := range chunks {
		if len(p.ts)+c.Samples > MaxDecimalSamples {
			return n, nil
		}
		if last := len(p.ts) - 1; last >= 0 && c.MinT <= p.ts[last] {
			return n, corruptf("chunk begins at %d, before the end of another at %d", c.MinT, p.ts[last])
		}
		before := *p
		if ok, err := p.take(c); err != nil {
			return n, err
		} else if !ok {
			p.undo(&before)
			return n, nil
		}
	}
	return len(chunks), nil
}

// undo goes back to what was gathered before a chunk.
func (p *histograms) undo(before *histograms) {
	p.ts, p.starts, p.sums = p.ts[:len(before.ts)], p.starts[:len(before.starts)], p.sums[:len(before.sums)]
	p.runs, p.fresh = p.runs[:len(before.runs)], p.fresh[:len(before.fresh)]
	p.groups, p.cells = p.groups[:len(before.groups)], p.cells[:len(before.cells)]
	if n := len(p.groups); n > 0 {
		p.groups[n-1].to = len(p.ts)
	}
}
