package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// Floats of all digits don't become integers, and their bits are noise but for the first: the sign,
// the exponent and maybe a few bits more. Split there, the left parts are few different ones, which
// go into a dictionary with the most frequent first; a column has their numbers in it, a few bits
// each with patches for the rare ones. The right parts are packed as they are.
const (
	splitScale = 65

	minRight = 48
	maxRight = maxWidth
	// maxLefts bounds the dictionary. Where there are more, the column has them themselves.
	maxLefts = 128
)

// split says how to split a column, and what its left parts are.
type split struct {
	right uint8 // Bits.
	shift uint8 // The lowest bits of all right parts, which are zero.
	lefts []uint16
	count []int
	codes []int64
	size  int

	number map[uint16]int64
	packer
}

// splitLeast is about the least size that n values split may have, if their bits as integers have
// a divisor: it tells of how many of the lowest bits are zero.
func splitLeast(n int, divisor uint64) int {
	return n * (minRight - min(bits.TrailingZeros64(divisor), minRight)) / 8
}

// plan splits vs.
func (s *split) plan(vs []float64) {
	s.right = likelySplit(vs)
	if !s.numberLefts(vs) {
		s.lefts = s.lefts[:0]
		for i, v := range vs {
			s.codes[i] = int64(math.Float64bits(v) >> s.right)
		}
	}
	s.packer.plan(s.codes, false)
	s.size = 4 + 2*len(s.lefts) + s.packer.size + (len(vs)*int(s.right-s.shift)+7)/8
}

// likelySplit finds, by some of the values, where to split.
func likelySplit(vs []float64) uint8 {
	var some [128]uint16
	best, least := uint8(minRight), minRight+16
	for right := minRight; right <= maxRight; right += 2 {
		n := min(len(some), len(vs))
		lefts := some[:n]
		for i := range lefts {
			lefts[i] = uint16(math.Float64bits(vs[i*len(vs)/n]) >> right)
		}
		slices.Sort(lefts)
		distinct := 1
		for i, left := range lefts[1:] {
			if left != lefts[i] {
				distinct++
			}
		}
		if cost := right + bits.Len(uint(distinct-1)); cost < least && distinct <= n/4 {
			best, least = uint8(right), cost
		}
	}
	return best
}

// numberLefts numbers the left parts by how frequent they are.
func (s *split) numberLefts(vs []float64) bool {
	if s.number == nil {
		s.number = map[uint16]int64{}
	}
	clear(s.number)
	s.lefts, s.count = s.lefts[:0], s.count[:0]
	s.codes = grown(s.codes[:0], len(vs))
	all := uint64(0)
	for _, v := range vs {
		all |= math.Float64bits(v)
	}
	s.shift = uint8(min(bits.TrailingZeros64(all), int(s.right)-1))
	for i, v := range vs {
		left := uint16(math.Float64bits(v) >> s.right)
		code, ok := s.number[left]
		if !ok {
			if len(s.lefts) == maxLefts {
				return false
			}
			code = int64(len(s.lefts))
			s.number[left] = code
			s.lefts, s.count = append(s.lefts, left), append(s.count, 0)
		}
		s.count[code]++
		s.codes[i] = code
	}
	slices.SortFunc(s.lefts, func(a, b uint16) int { return s.count[s.number[b]] - s.count[s.number[a]] })
	var renumber [maxLefts]int64
	for i, left := range s.lefts {
		renumber[s.number[left]] = int64(i)
	}
	for i, code := range s.codes {
		s.codes[i] = renumber[code]
	}
	return true
}

// append appends the column: its scale and what comes after.
func (s *split) append(dst []byte, vs []float64) []byte {
	dst = append(dst, splitScale, s.right, s.shift, uint8(len(s.lefts)))
	for _, left := range s.lefts {
		dst = binary.LittleEndian.AppendUint16(dst, left)
	}
	dst = s.packer.append(binary.AppendVarint(dst, s.codes[0]))
	w := bitWriter{b: dst}
	mask := uint64(1)<<s.right - 1
	for _, v := range vs {
		w.put(math.Float64bits(v)&mask>>s.shift, uint(s.right-s.shift))
	}
	w.align()
	return w.b
}

// decodeSplit reads a column that split wrote: those values that are asked for, of which the first is
// at a position of the picks.
func decodeSplit(vs []float64, b []byte, form uint8, picks Picks, at int) ([]byte, error) {
	if len(b) < 3 {
		return b, corruptf("cut short before split values")
	}
	right, shift, num := uint(b[0]), uint(b[1]), int(b[2])
	if right < minRight || right > maxRight || shift >= right || num > maxLefts || len(b) < 3+2*num {
		return b, corruptf("values split at %d, %d", right, shift)
	}
	var lefts [maxLefts]uint64
	for i := range num {
		lefts[i] = uint64(binary.LittleEndian.Uint16(b[3+2*i:])) << right
	}
	b = b[3+2*num:]
	x0, ok := cutVarint(&b)
	if !ok {
		return b, corruptf("cut short before the values")
	}
	var r columnReader
	lead, ok := r.begin(b, form, x0, 0, len(vs))
	if !ok {
		return b, corruptf("values of form %d", form)
	}
	var xs [blockLen]int64
	m := lead
	r.lead(xs[:lead])
	for out := vs; ; {
		for i, code := range xs[:m] {
			left := uint64(code) << right
			if num > 0 {
				if uint64(code) >= uint64(num) {
					return b, corruptf("left part %d of %d", code, num)
				}
				left = lefts[code]
			}
			out[i] = math.Float64frombits(left)
		}
		if out = out[m:]; len(out) == 0 {
			break
		}
		if m = min(len(out), blockLen); !r.next(xs[:m]) {
			return b, corruptf("values cut short")
		}
	}
	width := right - shift
	if b = r.b; len(b) < (len(vs)*int(width)+7)/8 {
		return b, corruptf("values cut short")
	}
	for from := 0; from < len(vs); from += blockLen {
		m := min(len(vs)-from, blockLen)
		out, asked := vs[from:from+m], picks.of(at+from, m)
		if bits.OnesCount64(asked) <= fewPicks {
			for ; asked != 0; asked &= asked - 1 {
				i := bits.TrailingZeros64(asked)
				out[i] = math.Float64frombits(math.Float64bits(out[i]) | bitsAt(b, uint(i)*width, width)<<shift)
			}
		} else {
			unpackBits(xs[:m], b, width, 0)
			for i, x := range xs[:m] {
				out[i] = math.Float64frombits(math.Float64bits(out[i]) | uint64(x)<<shift)
			}
		}
		b = b[(m*int(width)+7)/8:]
	}
	return b, nil
}
