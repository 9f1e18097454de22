package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// blockLen is the number of integers that are packed with one width.
const blockLen = 64

// maxWidth lets one load of 64 bits have a whole integer wherever it begins in a byte.
const maxWidth = 56

// The bits of the first byte of a block above its width. Where more is to be said of how it is
// packed, maxWidth plus flags stands in the width's place, and the width is in a byte of its own.
const (
	withPatches = 1 << 6
	withBase    = 1 << 7

	withoutZeros = 1 << 0 // Zeros are left out, a bitmap says where.
	withUnary    = 1 << 1 // What is above the width is in unary.
	withSign     = 1 << 2 // Integers are zigzag: the sign is in the lowest bit.
)

// block says how up to blockLen integers are packed: as their difference to base in width bits,
// with patches where more are needed. Where they are spread like most noise is, far from evenly, the
// widths of most are well below that of the greatest, and it takes less to write what is above a
// width of about the average as that many zero bits and a one.
type block struct {
	base    int64
	size    int // In bytes, of all of it.
	flags   uint8
	width   uint8
	limit   uint8 // From so many bits on an integer is patched; the width, but for unary.
	high    uint8 // Bits of a patch above width.
	patches uint8
}

// planBlock finds the base and width for a block after one with the base given, and whether to
// leave out zeros: many series stand still at times, and then move far.
func planBlock(xs []int64, before int64) block {
	b := planDense(xs, before)
	if b.size <= 2+(len(xs)+7)/8 {
		return b
	}
	var moves [blockLen]int64
	n := 0
	for _, x := range xs {
		moves[n] = x
		if x != 0 {
			n++
		}
	}
	if n == 0 || len(xs)-n < len(xs)/8 {
		return b
	}
	s := planDense(moves[:n], before)
	if s.flags == 0 {
		s.size++
	}
	if s.size += (len(xs) + 7) / 8; s.size < b.size {
		s.flags |= withoutZeros
		return s
	}
	return b
}

// planDense is planBlock with all integers packed. Bases worth a try are that of the block before,
// which is for free, the least integer, and, against a single outlier such as a counter's reset, the
// second least.
func planDense(xs []int64, before int64) block {
	least, most, second := xs[0], xs[0], int64(math.MaxInt64)
	for _, x := range xs[1:] {
		second = min(second, max(x, least))
		least, most = min(least, x), max(most, x)
	}
	spread := bits.Len64(uint64(most - least))
	if before == least && spread == 0 {
		return block{base: before, size: 1}
	}
	best := block{size: math.MaxInt}
	if before <= most && (before >= least || bits.Len64(uint64(most-before)) <= spread+1) {
		best = fit(xs, before, before)
	}
	if before != least && (before > least || bits.Len64(uint64(most-before)) > spread) {
		if b := fit(xs, least, before); b.size < best.size {
			best = b
		}
	}
	if second > least && second != before && second != math.MaxInt64 &&
		uint64(second-least) >= uint64(most-least)>>3 {
		if b := fit(xs, second, before); b.size < best.size {
			best = b
		}
	}
	return planUnary(xs, best, before, least, most)
}

// fit finds the width for a base. Integers below the base are patched whatever the width.
func fit(xs []int64, base, before int64) block {
	// By length, those below the base from 64 on; each second one apart, since counting twice in one
	// place takes as long as counting in many.
	var count [2][128]uint8
	var above, below uint64 // As long as the longest.
	patches := 0
	for i, x := range xs {
		d := x - base
		sign := d >> 63
		n := bits.Len64(uint64(d ^ sign))
		count[i&1][n&63|int(sign)&64]++
		above |= uint64(d &^ sign)
		below |= uint64(^d & sign)
		patches -= int(sign)
	}
	longest, patchLongest := bits.Len64(above), bits.Len64(below)
	front := 1
	if base != before {
		front += varintLen(base - before)
	}
	best := block{base: base, size: math.MaxInt}
	for width := longest; width >= 0 && 2*patches <= len(xs)+2; width-- {
		if width <= maxWidth {
			size, high := front+(len(xs)*width+7)/8, 0
			if patches > 0 {
				high = max(longest-width, patchLongest-width, 0) + 1
				size += 2 + (patches*(patchAt+high)+7)/8
			}
			if size < best.size {
				best = block{
					base: base, size: size, width: uint8(width), limit: uint8(width), high: uint8(high), patches: uint8(patches),
				}
			}
		}
		patches += int(count[0][width]) + int(count[1][width])
	}
	if best.size == math.MaxInt { // Too many for a width that may be: all are patches.
		patches := len(xs) - int(count[0][0]) - int(count[1][0])
		best.patches, best.high = uint8(patches), 64
		best.size = front + 2 + (patches*(patchAt+64)+7)/8
	}
	return best
}

func (b *block) append(dst []byte, xs []int64, before int64) []byte {
	head := b.width
	if b.flags != 0 {
		head = maxWidth + b.flags
	}
	if b.patches > 0 {
		head |= withPatches
	}
	if b.base != before {
		head |= withBase
	}
	dst = append(dst, head)
	if b.base != before {
		dst = binary.AppendVarint(dst, b.base-before)
	}
	if b.flags != 0 {
		dst = append(dst, b.width)
	}
	w := bitWriter{b: dst}
	var moves [blockLen]int64
	if b.flags&withoutZeros != 0 {
		xs = w.bitmap(moves[:0], xs)
	}
	var packed [blockLen]uint64
	vs := packed[:len(xs)]
	for i, x := range xs {
		vs[i] = fold(x-b.base, b.flags)
	}
	if b.width > 0 {
		mask := uint64(1)<<b.width - 1
		for _, v := range vs {
			w.put(v&mask, uint(b.width))
		}
		w.align()
	}
	if b.flags&withUnary != 0 {
		for _, v := range vs {
			w.unary(v>>b.width, v>>b.limit == 0)
		}
		w.align()
	}
	if b.patches == 0 {
		return w.b
	}
	w.b = append(w.b, b.patches, b.high)
	for i, v := range vs {
		if int64(v)>>b.limit != 0 {
			high := int64(v) >> b.width
			w.put(uint64(i), patchAt)
			w.put(uint64(high<<1^high>>63), uint(b.high))
		}
	}
	w.align()
	return w.b
}

// fold makes integers of either sign such as are near zero if they are.
func fold(x int64, flags uint8) uint64 {
	if flags&withSign != 0 {
		return uint64(x<<1 ^ x>>63)
	}
	return uint64(x)
}

// unary writes x zeros, none if it is patched, and a one.
func (w *bitWriter) unary(x uint64, fits bool) {
	if !fits {
		x = 0
	}
	for ; x >= 32; x -= 32 {
		w.put(0, 32)
	}
	w.put(1<<x, uint(x)+1)
}

// bitmap writes where xs are not zero, and appends those to dst.
func (w *bitWriter) bitmap(dst, xs []int64) []int64 {
	for _, x := range xs {
		bit := uint64(0)
		if x != 0 {
			dst = append(dst, x)
			bit = 1
		}
		w.put(bit, 1)
	}
	w.align()
	return dst
}

// patchAt is the number of bits of a patch's position.
const patchAt = 6

// bitWriter writes bits from the lowest of each byte on.
type bitWriter struct {
	b   []byte
	acc uint64
	n   uint // Bits in acc, less than 64.
}

// put writes the lowest width bits of x, of which no higher one is set.
func (w *bitWriter) put(x uint64, width uint) {
	w.acc |= x << w.n
	if w.n += width; w.n >= 64 {
		w.b = binary.LittleEndian.AppendUint64(w.b, w.acc)
		w.n -= 64
		w.acc = x >> (width - w.n)
	}
}

// align goes on with the next byte.
func (w *bitWriter) align() {
	for ; w.n > 0; w.n -= min(w.n, 8) {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
	}
	w.acc = 0
}
