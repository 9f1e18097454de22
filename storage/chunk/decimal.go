package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// MaxDecimalSamples is the most samples that one Decimal or Packed chunk has. It bounds what a few damaged
// bytes can make a reader allocate.
const MaxDecimalSamples = 4096

// EncodeFloats appends the samples, ascending in time, in the smallest encoding for floats without
// start timestamps to dst and returns the chunk that views them, and dst. As with a snapshot, one
// dst may serve many chunks. There are 1 to MaxDecimalSamples samples.
//
// The chunk is Decimal unless XOR is clearly smaller, which is seldom and takes longer to read.
func EncodeFloats(dst []byte, ts []int64, vs []float64) (Chunk, []byte) {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	return e.encode(dst, ts, vs)
}

// encode is EncodeFloats with the encoder's memory.
func (e *encoder) encode(dst []byte, ts []int64, vs []float64) (Chunk, []byte) {
	n := len(ts)
	if n == 0 || n > MaxDecimalSamples || n != len(vs) {
		panic("chunk: encode no samples, too many, or columns of different length")
	}
	c := Chunk{Enc: Decimal, Samples: n, MinT: ts[0], MaxT: ts[n-1]}
	start := len(dst)
	if c.MaxT-c.MinT < 0 { // The span overflows.
		a := appended(ts, vs)
		return a.Snapshot(dst)
	}
	dst, exact := e.appendDecimal(dst, ts, vs)
	c.Data = dst[start:len(dst):len(dst)]
	if size := len(c.Data); !exact && size >= 2*n && xorSize(vs) < size-size/16 {
		if a := appended(ts, vs); a.Size() < size {
			return a.Snapshot(dst[:start])
		}
	}
	return c, dst
}

func appended(ts []int64, vs []float64) XORAppender {
	var a XORAppender
	for i, t := range ts {
		a.Append(t, vs[i])
	}
	return a
}

// xorSize is how many bytes the values of an XOR chunk take; regular times add a bit for each.
func xorSize(vs []float64) int {
	size, leading, trailing, window := 64+len(vs), 0, 0, false
	last := math.Float64bits(vs[0])
	for _, v := range vs[1:] {
		x := math.Float64bits(v) ^ last
		if size++; x == 0 {
			continue
		}
		last ^= x
		l, t := min(bits.LeadingZeros64(x), 31), bits.TrailingZeros64(x)
		if window && l >= leading && t >= trailing {
			size += 1 + 64 - leading - trailing
			continue
		}
		leading, trailing, window = l, t, true
		size += 12 + 64 - leading - trailing
	}
	return (size + 7) / 8
}

// appendDecimal appends the payload of a Decimal chunk and reports whether the values were scaled
// well: to decimal integers, with few exceptions.
func (e *encoder) appendDecimal(dst []byte, ts []int64, vs []float64) ([]byte, bool) {
	at := len(dst)
	dst, times := e.appendTimes(append(dst, 0), ts)
	dst, values, exact := e.appendValues(dst, vs)
	dst[at] = times | values<<4
	return dst, exact
}

// appendTimes appends a column of timestamps, with its length if it has one, and returns its form.
func (e *encoder) appendTimes(dst []byte, ts []int64) ([]byte, uint8) {
	if regular(ts) {
		return dst, formFlat
	}
	if !slices.Equal(ts, e.lastTimes) {
		e.times.plan(ts, true)
		e.lastColumn = e.times.append(binary.AppendUvarint(e.lastColumn[:0], uint64(e.times.size)))
		e.lastTimes, e.lastForm = append(e.lastTimes[:0], ts...), e.times.form
	}
	return append(dst, e.lastColumn...), e.lastForm
}

// appendValues appends a column of floats and returns its form and whether they were scaled well.
func (e *encoder) appendValues(dst []byte, vs []float64) ([]byte, uint8, bool) {
	s := e.scaleValues(vs)
	if s.scale == bitsScale && s.size > splitLeast(len(vs), s.divisor) {
		if e.split.plan(vs); e.split.size < s.size {
			return e.split.append(dst, vs), e.split.form, false
		}
	}
	return s.append(dst, vs), s.form, s.scale != bitsScale && len(s.odd) <= len(vs)/16
}

// append appends the column: its scale and what comes after.
func (s *scaled) append(dst []byte, vs []float64) []byte {
	if len(s.odd) == 0 {
		dst = append(dst, s.scale)
	} else {
		dst = appendExceptions(append(dst, s.scale|withExceptions), s.odd, vs)
	}
	return s.packer.append(binary.AppendVarint(dst, s.ints[0]))
}

func regular(ts []int64) bool {
	if len(ts) < 2 {
		return true
	}
	step, odd := ts[1]-ts[0], int64(0)
	last := ts[0]
	for _, t := range ts[1:] {
		odd |= t - last - step
		last = t
	}
	return odd == 0
}

// oneValue reports whether the values at these positions are the same: often all are stale markers.
func oneValue(at []int32, vs []float64) bool {
	for _, i := range at {
		if !same(vs[i], vs[at[0]]) {
			return false
		}
	}
	return true
}

func appendExceptions(dst []byte, at []int32, vs []float64) []byte {
	num := uint64(len(at)) << 1
	if !oneValue(at, vs) {
		num |= 1
	}
	dst = binary.AppendUvarint(dst, num)
	next := int32(0)
	for _, i := range at {
		dst = binary.AppendUvarint(dst, uint64(i-next))
		next = i + 1
	}
	if num&1 == 0 {
		at = at[:1]
	}
	for _, i := range at {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(vs[i]))
	}
	return dst
}

// checkDecimal looks at what a Decimal chunk says of itself.
func (c *Chunk) checkDecimal() error {
	n, span := c.Samples, c.MaxT-c.MinT
	switch {
	case c.Enc != Decimal || n <= 0 || n > MaxDecimalSamples || len(c.Data) == 0:
		return corruptf("%d samples in %d bytes", n, len(c.Data))
	case span < int64(n-1) || n == 1 && span > 0:
		return corruptf("%d samples from %d to %d", n, c.MinT, c.MaxT)
	}
	return nil
}

// decodeDecimal appends the samples of c to the columns; where it returns an error, none.
func decodeDecimal(ts []int64, vs []float64, c Chunk) ([]int64, []float64, error) {
	if err := c.checkDecimal(); err != nil {
		return ts, vs, err
	}
	newT, b, err := c.appendTimes(ts)
	if err != nil {
		return ts, vs, err
	}
	from := len(vs)
	newV := grown(vs, c.Samples)
	if b, err = decodeValues(newV[from:], b, c.Data[0]>>4); err != nil {
		return ts, vs, err
	}
	if len(b) > 0 {
		return ts, vs, corruptf("%d bytes too many", len(b))
	}
	return newT, newV, nil
}

// HasNumbersOnly reports whether the chunk says by its form that no value is NaN. Others may be so too.
func (c Chunk) HasNumbersOnly() bool {
	if c.Enc != Decimal {
		return false
	}
	_, _, rest, err := c.split()
	return err == nil && len(rest) > 0 && rest[0] < bitsScale // Nor are there exceptions.
}

// fillLine sets ts to times that are a step apart. Four at once need not wait for each other.
func fillLine(ts []int64, t, step int64) {
	for ; len(ts) >= 4; ts = ts[4:] {
		ts[0], ts[1], ts[2], ts[3] = t, t+step, t+2*step, t+3*step
		t += 4 * step
	}
	for i := range ts {
		ts[i] = t
		t += step
	}
}

// decodeValues sets vs to the values of a column and returns what follows it.
func decodeValues(vs []float64, b []byte, form uint8) ([]byte, error) {
	b, _, err := pickValues(vs, b, form, nil, 0)
	return b, err
}

// pickValues sets the values that are asked for, as Values does. Where it sets all it returns what
// follows the column.
func pickValues(vs []float64, b []byte, form uint8, picks Picks, at int) (rest []byte, rising bool, err error) {
	if len(b) == 0 || form == formGrid {
		return b, false, corruptf("values of form %d in %d bytes", form, len(b))
	}
	if b[0] == splitScale {
		b, err := decodeSplit(vs, b[1:], form, picks, at)
		return b, false, err
	}
	scale := b[0] &^ withExceptions
	if !validScale(scale) {
		return b, false, corruptf("scale %d", scale)
	}
	var odd exceptions
	if with := b[0]&withExceptions != 0; with {
		var ok bool
		if b, odd, ok = cutExceptions(b[1:], len(vs)); !ok {
			return b, false, corruptf("exceptions of %d values", len(vs))
		}
	} else {
		b = b[1:]
	}
	x0, k := binary.Varint(b)
	if k <= 0 {
		return b, false, corruptf("cut short before the values")
	}
	var r columnReader
	lead, ok := r.begin(b[k:], form, x0, 0, len(vs))
	if !ok {
		return b, false, corruptf("values of form %d", form)
	}
	var xs [blockLen]int64
	r.lead(xs[:lead])
	unscale(vs[:lead], xs[:lead], scale)
	n := picks.length(at, len(vs))
	for i := lead; i < n; i += blockLen {
		m := min(len(vs)-i, blockLen)
		if form == formFlat {
			pickFlat(vs[i:i+m], vs[0], picks.of(at+i, m))
		} else if !r.nextPicks(vs[i:i+m], xs[:m], scale, picks.of(at+i, m)) {
			return b, false, corruptf("values cut short")
		}
	}
	odd.put(vs)
	return r.b, !r.falls && odd.num == 0 && scale != bitsScale, nil
}

// pickFlat sets what is asked for to one value.
func pickFlat(vs []float64, v float64, picks uint64) {
	if bits.OnesCount64(picks) > fewPicks {
		for i := range vs {
			vs[i] = v
		}
		return
	}
	for ; picks != 0; picks &= picks - 1 {
		vs[bits.TrailingZeros64(picks)] = v
	}
}

// exceptions are the values that stand for themselves.
type exceptions struct {
	num  int
	gaps []byte // Between their positions.
	raw  []byte // Each value's bits, or those of all of them once.
}

func cutExceptions(b []byte, n int) ([]byte, exceptions, bool) {
	head, ok := cutUvarint(&b)
	num := head >> 1
	if !ok || num == 0 || num > uint64(n) || num > uint64(len(b)) {
		return b, exceptions{}, false
	}
	gaps, left := b, uint64(n)
	for range num {
		gap, ok := cutUvarint(&b)
		if !ok || gap >= left {
			return b, exceptions{}, false
		}
		left -= gap + 1
	}
	gaps = gaps[:len(gaps)-len(b)]
	size := 8
	if head&1 != 0 {
		size *= int(num)
	}
	if len(b) < size {
		return b, exceptions{}, false
	}
	return b[size:], exceptions{int(num), gaps, b[:size]}, true
}

// put overwrites the values at the exceptions' positions.
func (x exceptions) put(vs []float64) {
	i := 0
	for range x.num {
		gap, _ := cutUvarint(&x.gaps)
		i += int(gap)
		vs[i] = math.Float64frombits(binary.LittleEndian.Uint64(x.raw))
		if i++; len(x.raw) > 8 {
			x.raw = x.raw[8:]
		}
	}
}
