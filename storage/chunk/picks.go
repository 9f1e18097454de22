package chunk

import (
	"math"
	"math/bits"
)

// Picks are the positions of a column that are asked for: a bit for each, lowest first, and a word
// more than these need. Without any words all positions are asked for.
type Picks []uint64

// Set asks for a position.
func (p Picks) Set(i int) { p[i>>6] |= 1 << (i & 63) }

// of is which of the n positions from at on, 1 to 64, are asked for.
func (p Picks) of(at, n int) uint64 {
	all := uint64(math.MaxUint64) >> (64 - n)
	if p == nil {
		return all
	}
	word, shift := at>>6, at&63
	return (p[word]>>shift | p[word+1]<<1<<(63-shift)) & all
}

// length is how many of the n positions from at on there are up to the last one that is asked for.
func (p Picks) length(at, n int) int {
	for n > 0 {
		m := (n-1)%64 + 1
		if of := p.of(at+n-m, m); of != 0 {
			return n - m + bits.Len64(of)
		}
		n -= m
	}
	return 0
}

// Timestamps appends the timestamps of a Decimal chunk to dst.
func Timestamps(dst []int64, c Chunk) ([]int64, error) {
	if err := c.checkDecimal(); err != nil {
		return dst, err
	}
	dst, _, err := c.appendTimes(dst)
	return dst, err
}

// Values sets those values of a Decimal chunk that are asked for; vs is as long as the chunk, whose
// first value is at a position of the picks. What the other values are afterwards means nothing;
// they take far less time, mostly. It reports whether it is known that each value up to the last one
// asked for is a number, and not less than the one before.
func Values(vs []float64, c Chunk, picks Picks, at int) (rising bool, err error) {
	if err := c.checkDecimal(); err != nil {
		return false, err
	}
	_, _, b, err := c.split()
	if err != nil {
		return false, err
	}
	b, rising, err = pickValues(vs[:c.Samples], b, c.Data[0]>>4, picks, at)
	if err == nil && picks == nil && len(b) > 0 {
		err = corruptf("%d bytes too many", len(b))
	}
	return rising, err
}

// nextPicks sets the floats of the next block that are asked for. What the others, and xs, which is
// as long as vs, are afterwards means nothing.
func (r *columnReader) nextPicks(vs []float64, xs []int64, scale uint8, picks uint64) bool {
	const many = 40
	n := bits.OnesCount64(picks)
	switch {
	case n >= many:
		return r.nextFloats(vs, xs, scale)
	case r.form == formDelta && n <= fewPicks:
		head, ok := r.cutHead()
		if !ok {
			return false
		}
		if head.summable() {
			return r.pickSums(vs, head, scale, picks)
		}
		if !r.unpackBlock(xs, head) {
			return false
		}
		r.accumulate(xs)
	default:
		if !r.next(xs) {
			return false
		}
	}
	for ; picks != 0; picks &= picks - 1 {
		i := bits.TrailingZeros64(picks)
		vs[i] = unscaled(xs[i], scale)
	}
	return true
}
