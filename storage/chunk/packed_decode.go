package chunk

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// packedIterator gives the histograms of a Packed chunk, whose columns open decodes. They are those
// that the iterators of tsdb/chunkenc would give of the chunks it was made of, to the bit.
type packedIterator struct {
	kind   uint8
	ts     []int64
	starts []int64
	sums   []float64
	runs   []run
	fresh  []bool
	groups []group
	ints   []int64 // By group, by column, as the samples are; or floats.
	floats []float64

	i     int // The sample it stands at; -1 at first.
	run   int
	in    int // How many samples of the run are before it.
	group int
	// The column-wise stride of group, and its cells from the current sample's on.
	stride int
	at     int
}

// open decodes c. The iterator then stands before the first sample.
func (it *packedIterator) open(c Chunk) error {
	it.i, it.run, it.in, it.group = -1, 0, -1, -1
	it.ts, it.starts = it.ts[:0], it.starts[:0]
	n := c.Samples
	kind, ok := c.kind()
	switch {
	case !ok || len(c.Data) < 2 || c.Data[1] > 15 || n <= 0 || n > MaxDecimalSamples:
		return corruptf("%d packed histograms in %d bytes", n, len(c.Data))
	case c.MaxT-c.MinT < int64(n-1) || n == 1 && c.MaxT != c.MinT:
		return corruptf("%d samples from %d to %d", n, c.MinT, c.MaxT)
	}
	it.kind = kind
	ts, b, err := c.appendTimes(it.ts)
	if err != nil {
		return err
	}
	if kind&packedStarts != 0 {
		it.starts = grown(it.starts, n)
		if b, err = decodeInts(it.starts, b); err != nil {
			return err
		}
	}
	if b, err = it.cutRuns(b, n); err != nil {
		return err
	}
	if b, err = it.decodeCells(b, n); err != nil {
		return err
	}
	if len(b) > 0 {
		return corruptf("%d bytes too many", len(b))
	}
	it.ts = ts
	return nil
}

// cutRuns reads the runs of n samples, and groups them by their layout.
func (it *packedIterator) cutRuns(b []byte, n int) ([]byte, error) {
	it.runs, it.fresh, it.groups = it.runs[:0], it.fresh[:0], it.groups[:0]
	num, ok := cutUvarint(&b)
	if !ok || num > uint64(n) {
		return b, corruptf("%d runs of %d histograms", num, n)
	}
	from, cells := 0, 0
	for range num {
		word, ok := cutUvarint(&b)
		samples := word >> 3
		if !ok || samples == 0 || samples > uint64(n-from) {
			return b, corruptf("run of %d histograms", samples)
		}
		it.runs = append(it.runs, run{samples: int(samples), header: byte(word>>1) & 3 << 6})
		it.fresh = append(it.fresh, word&1 != 0)
		if word&1 != 0 {
			l, err := cutLayout(&b)
			if err != nil {
				return b, err
			}
			it.groups = append(it.groups, group{layout: l, from: from, cell: cells})
		}
		if len(it.groups) == 0 {
			return b, corruptf("run of histograms without a layout")
		}
		g := &it.groups[len(it.groups)-1]
		from += int(samples)
		g.to = from
		if cells += int(samples) * g.columns(); cells > maxCells {
			return b, corruptf("more than %d numbers of histograms", maxCells)
		}
	}
	if from != n {
		return b, corruptf("%d histograms in runs of %d", n, from)
	}
	return b, nil
}

func (it *packedIterator) decodeCells(b []byte, n int) ([]byte, error) {
	cells := 0
	for _, g := range it.groups {
		cells += (g.to - g.from) * g.columns()
	}
	it.sums = grown(it.sums[:0], n)
	if it.kind&packedFloats != 0 {
		it.floats = grown(it.floats[:0], cells)
	} else {
		it.ints = grown(it.ints[:0], cells)
	}
	var err error
	for _, g := range it.groups {
		if b, err = decodeFloats(it.sums[g.from:g.to], b); err != nil {
			return b, err
		}
		n := g.to - g.from
		for at := g.cell; at < g.cell+n*g.columns(); at += n {
			if it.kind&packedFloats != 0 {
				b, err = decodeFloats(it.floats[at:at+n], b)
			} else {
				b, err = decodeInts(it.ints[at:at+n], b)
			}
			if err != nil {
				return b, err
			}
		}
	}
	return b, nil
}

// decodeInts reads a column that appendInts wrote.
func decodeInts(xs []int64, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return b, corruptf("cut short before a column")
	}
	form := b[0]
	b = b[1:]
	x0, ok := cutVarint(&b)
	if !ok || form&^divided == formGrid {
		return b, corruptf("column of form %d", form)
	}
	var r columnReader
	lead, ok := r.begin(b, form, x0, 0, len(xs))
	if !ok {
		return b, corruptf("column of form %d", form)
	}
	r.lead(xs[:lead])
	for out := xs[lead:]; len(out) > 0; {
		m := min(len(out), blockLen)
		if !r.next(out[:m]) {
			return b, corruptf("column cut short")
		}
		out = out[m:]
	}
	return r.b, nil
}

// decodeFloats reads a column that appendFloats wrote.
func decodeFloats(vs []float64, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return b, corruptf("cut short before a column")
	}
	return decodeValues(vs, b[1:], b[0])
}

// begins reports whether the current sample is the first of a run, and how that began.
func (it *packedIterator) begins() (bool, byte) { return it.in == 0, it.runs[it.run].header }

// Next moves to the next sample.
func (it *packedIterator) Next() chunkenc.ValueType {
	if it.i+1 >= len(it.ts) {
		return chunkenc.ValNone
	}
	it.i++
	if it.in++; it.in == it.runs[it.run].samples {
		it.run, it.in = it.run+1, 0
	}
	if it.in == 0 && it.fresh[it.run] {
		it.group++
		g := &it.groups[it.group]
		it.stride, it.at = g.to-g.from, g.cell
	} else {
		it.at++
	}
	return it.typ()
}

func (it *packedIterator) typ() chunkenc.ValueType {
	if it.kind&packedFloats != 0 {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValHistogram
}

// Seek moves to the first sample at or after t, and stays where it is if that is one already.
func (it *packedIterator) Seek(t int64) chunkenc.ValueType {
	for it.i < 0 || it.ts[it.i] < t {
		if it.Next() == chunkenc.ValNone {
			return chunkenc.ValNone
		}
	}
	return it.typ()
}

// At panics: there are no floats.
func (it *packedIterator) At() (int64, float64) { panic("chunk: float of a histogram chunk") }

// AtT is the current timestamp.
func (it *packedIterator) AtT() int64 { return it.ts[it.i] }

// AtST is the current start timestamp.
func (it *packedIterator) AtST() int64 {
	if len(it.starts) == 0 {
		return 0
	}
	return it.starts[it.i]
}

// Err is nil: open has seen all of the chunk.
func (it *packedIterator) Err() error { return nil }

func (it *packedIterator) hint() histogram.CounterResetHint {
	switch {
	case it.runs[it.run].header == byte(chunkenc.GaugeType):
		return histogram.GaugeType
	case it.in > 0:
		return histogram.NotCounterReset
	}
	return histogram.UnknownCounterReset
}

// AtHistogram is the current integer histogram; in h, if there is one.
func (it *packedIterator) AtHistogram(h *histogram.Histogram) (int64, *histogram.Histogram) {
	t, sum := it.ts[it.i], it.sums[it.i]
	if value.IsStaleNaN(sum) {
		return t, &histogram.Histogram{Sum: sum}
	}
	if h == nil {
		h = &histogram.Histogram{}
	}
	g := &it.groups[it.group]
	h.CounterResetHint, h.Schema, h.ZeroThreshold, h.Sum = it.hint(), g.schema, g.zeroThreshold, sum
	h.ZeroCount = uint64(it.ints[it.at+it.stride])
	h.Count = uint64(it.ints[it.at]) + h.ZeroCount
	h.PositiveSpans = append(h.PositiveSpans[:0], g.positive...)
	h.NegativeSpans = append(h.NegativeSpans[:0], g.negative...)
	h.CustomValues = g.custom
	at := it.at + 2*it.stride
	h.PositiveBuckets = slices.Grow(h.PositiveBuckets[:0], g.positives)[:g.positives]
	h.NegativeBuckets = slices.Grow(h.NegativeBuckets[:0], g.negatives)[:g.negatives]
	h.Count += it.deltas(h.PositiveBuckets, at)
	h.Count += it.deltas(h.NegativeBuckets, at+g.positives*it.stride)
	return t, h
}

// deltas sets how buckets, the first at a cell, differ from the one below, and returns the sum of
// their counts.
func (it *packedIterator) deltas(dst []int64, at int) (all uint64) {
	below := int64(0)
	for i := range dst {
		x := it.ints[at]
		dst[i] = x - below
		all += uint64(x)
		below = x
		at += it.stride
	}
	return all
}

// AtFloatHistogram is the current histogram of either kind; in fh, if there is one.
func (it *packedIterator) AtFloatHistogram(fh *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	t, sum := it.ts[it.i], it.sums[it.i]
	if value.IsStaleNaN(sum) {
		return t, &histogram.FloatHistogram{Sum: sum}
	}
	summed := fh != nil
	if fh == nil {
		fh = &histogram.FloatHistogram{}
	}
	g := &it.groups[it.group]
	fh.CounterResetHint, fh.Schema, fh.ZeroThreshold, fh.Sum = it.hint(), g.schema, g.zeroThreshold, sum
	fh.PositiveSpans = append(fh.PositiveSpans[:0], g.positive...)
	fh.NegativeSpans = append(fh.NegativeSpans[:0], g.negative...)
	fh.CustomValues = g.custom
	positive := it.at + 2*it.stride
	negative := positive + g.positives*it.stride
	fh.PositiveBuckets = slices.Grow(fh.PositiveBuckets[:0], g.positives)[:g.positives]
	fh.NegativeBuckets = slices.Grow(fh.NegativeBuckets[:0], g.negatives)[:g.negatives]
	if it.kind&packedFloats != 0 {
		fh.Count, fh.ZeroCount = it.floats[it.at], it.floats[it.at+it.stride]
		it.counts(fh.PositiveBuckets, positive)
		it.counts(fh.NegativeBuckets, negative)
		return t, fh
	}
	zeros := uint64(it.ints[it.at+it.stride])
	count := uint64(it.ints[it.at]) + zeros
	count += it.countsOfInts(fh.PositiveBuckets, positive, summed)
	count += it.countsOfInts(fh.NegativeBuckets, negative, summed)
	fh.Count, fh.ZeroCount = float64(count), float64(zeros)
	return t, fh
}

func (it *packedIterator) counts(dst []float64, at int) {
	for i := range dst {
		dst[i] = it.floats[at]
		at += it.stride
	}
}

// countsOfInts sets the buckets' counts, and returns their sum. Where the library is given a
// histogram to fill, it sums floats: above 2^53 that is not the same as the float nearest to the count.
func (it *packedIterator) countsOfInts(dst []float64, at int, summed bool) (all uint64) {
	below, sum := int64(0), 0.0
	for i := range dst {
		x := it.ints[at]
		sum += float64(x - below)
		if dst[i] = float64(x); summed {
			dst[i] = sum
		}
		below = x
		all += uint64(x)
		at += it.stride
	}
	return all
}

// unpackHistograms returns the samples of a Packed chunk in chunks of tsdb/chunkenc, one for each run.
func unpackHistograms(c Chunk) ([]Chunk, error) {
	var b Builder
	var cur cursor
	for cur.open(c, math.MinInt64); cur.typ != chunkenc.ValNone; cur.next() {
		begins, header := cur.others.Iterator.(*packedIterator).begins()
		if begins {
			b.cut()
		}
		if err := b.Append(cur.sample()); err != nil {
			return nil, err
		}
		if begins {
			b.setHeader(header)
		}
	}
	return b.Close(nil), cur.err
}
