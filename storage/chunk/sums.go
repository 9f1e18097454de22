package chunk

import (
	"encoding/binary"
	"math/bits"
)

// Of a block of differences, the integer at a position is the sum of those up to it. Where few are
// asked for, that sum need not be made one by one. Of packed integers, eight lie in one word, and
// three additions of the word to itself, shifted, add them up. What is in unary is the number of
// zeros before so many ones, and so the position of the last of these ones; it is found by counting
// bits, again a word at a time. Patches are few. Only where the sign is folded into the integers, or
// they are wide, the sums are made one by one.

const (
	// summable is the greatest width of which eight integers are in a word.
	summable = 8
	// fewPicks is how many are picked of a block at most for sums to pay.
	fewPicks = 12
)

// summable reports whether pickSums can read the block.
func (h *blockHead) summable() bool { return h.width <= summable && h.flags&withSign == 0 }

// counted are sums of the first integers of a block: how many, ascending, and what they come to. The
// last is of all.
type counted struct {
	counts []int
	sums   []int64
}

// pickSums is nextPicks for a block of differences that is summable, and has few picks.
func (r *columnReader) pickSums(vs []float64, h blockHead, scale uint8, picks uint64) bool {
	var counts [fewPicks + 1]int
	var sums [fewPicks + 1]int64
	n := 0
	for m := picks; m != 0; m &= m - 1 {
		counts[n] = bits.TrailingZeros64(m) + 1
		n++
	}
	counts[n] = len(vs)
	if h.flags&withoutZeros != 0 {
		present, ok := r.cutBitmap(len(vs))
		if !ok {
			return false
		}
		for i, c := range counts[:n+1] {
			counts[i] = bits.OnesCount64(present & (1<<c - 1))
		}
	}
	c, packed := counted{counts[:n+1], sums[:n+1]}, r.b
	if ok := r.sumPacked(c, h.width) && (h.flags&withUnary == 0 || r.sumUnary(c, h.width)) &&
		(!h.patches || r.sumPatches(c, h.width, packed)); !ok {
		return false
	}
	r.falls = r.falls || r.base < 0
	for i := range c.sums {
		c.sums[i] = r.x + (c.sums[i]+r.base*int64(c.counts[i]))*r.divisor
	}
	r.x = c.sums[n]
	for i := 0; picks != 0; i++ {
		vs[bits.TrailingZeros64(picks)] = unscaled(c.sums[i], scale)
		picks &= picks - 1
	}
	return true
}

// sumPacked adds up packed integers.
func (r *columnReader) sumPacked(c counted, width uint8) bool {
	if width == 0 {
		return true
	}
	w, b := uint(width), r.b
	size := (c.counts[len(c.counts)-1]*int(w) + 7) / 8
	if len(b) < size {
		return false
	}
	r.b = b[size:]
	if len(r.b) < 8 {
		var end [blockLen + 8]byte
		copy(end[:], b)
		b = end[:]
	}
	all := ^uint64(0) >> (64 - 8*w)
	one, two, four := uint64(1)<<w-1, uint64(1)<<(2*w)-1, uint64(1)<<(4*w)-1
	one |= one << (4 * w) // Every other integer; every other two; the lower four.
	one |= one << (2 * w)
	two |= two << (4 * w)
	addUp := func(x uint64) int64 {
		x = x&one + x>>(w&63)&one
		x = x&two + x>>(2*w&63)&two
		return int64(x&four + x>>(4*w&63))
	}
	sum, from := int64(0), 0
	for i, n := range c.counts {
		for ; from+8 <= n; from += 8 {
			sum += addUp(binary.LittleEndian.Uint64(b) & all)
			b = b[w:]
		}
		c.sums[i] = sum
		if n > from {
			c.sums[i] += addUp(binary.LittleEndian.Uint64(b) & (1<<(uint(n-from)*w&63) - 1))
		}
	}
	return true
}

const (
	eachByte = 0x0101010101010101
	topBits  = 0x8080808080808080
)

// sumUnary adds what is in unary above the width.
func (r *columnReader) sumUnary(c counted, width uint8) bool {
	var w, upTo uint64 // A word, and the ones up to each byte of it.
	next, ones, end := 0, 0, 0
	for i, n := range c.counts {
		for ones+int(upTo>>56) < n {
			ones += int(upTo >> 56)
			if next+8 <= len(r.b) {
				w = binary.LittleEndian.Uint64(r.b[next:])
			} else {
				if next >= len(r.b) {
					return false
				}
				var word [8]byte
				copy(word[:], r.b[next:])
				w = binary.LittleEndian.Uint64(word[:])
			}
			next += 8
			upTo = onesUpTo(w)
		}
		if n > 0 {
			end = 8*next - 63 + oneAt(w, upTo, uint64(n-ones))
			c.sums[i] += int64(end-n) << (width & 63)
		}
	}
	r.b = r.b[(end+7)/8:]
	return true
}

// onesUpTo has, in each byte, the number of ones up to the end of that byte of w.
func onesUpTo(w uint64) uint64 {
	w -= w >> 1 & 0x5555555555555555
	w = w&0x3333333333333333 + w>>2&0x3333333333333333
	return (w + w>>4) & 0x0f0f0f0f0f0f0f0f * eachByte
}

// oneAt is the position of the n-th one of a word, from 1 on: first by bytes, then by the bits of the
// byte, spread over the bytes of another word.
func oneAt(w, upTo, n uint64) int {
	from := bits.TrailingZeros64(((upTo|topBits)-n*eachByte)&topBits) &^ 7
	n -= upTo << 8 >> (from & 63) & 255
	spread := w >> (from & 63) & 255 * eachByte & 0x8040201008040201
	upTo = (spread + 0x7f7f7f7f7f7f7f7f) >> 7 & eachByte * eachByte
	return from + bits.TrailingZeros64(((upTo|topBits)-n*eachByte)&topBits)>>3
}

// sumPatches adds what patches have above the width, and looks for integers below zero, which only
// these can make where the base is not.
func (r *columnReader) sumPatches(c counted, width uint8, packed []byte) bool {
	n := c.counts[len(c.counts)-1]
	p, rest, ok := cutPatches(r.b, n)
	for k := 0; ok && k < p.num; k++ {
		at, x := p.at(k)
		if at >= n {
			return false
		}
		x <<= width & 63
		for i := len(c.counts) - 1; i >= 0 && c.counts[i] > at; i-- {
			c.sums[i] += x
		}
		if x < 0 && !r.falls {
			if x += r.base; width > 0 {
				x += int64(bitsAt(packed, uint(at)*uint(width), uint(width)))
			}
			r.falls = x < 0
		}
	}
	r.b = rest
	return ok
}
