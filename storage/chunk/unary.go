package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// unarySpan is how many bits above the least width tried an integer may have that is not patched.
const unarySpan = 6

// planUnary returns how to pack with what is above the width in unary, or best, the smallest way
// without, unless a quarter of a bit is saved of each integer: that is read faster. Of noise in counters, whose steps are above
// some base and mostly near it, the steps are packed as they are; of noise to both sides of a mean,
// with the sign in the lowest bit.
func planUnary(xs []int64, best block, before, least, most int64) block {
	if best.width == 0 || best.size > math.MaxInt32 {
		return best
	}
	spread, mean := uint64(most-least), meanAbove(xs, least)
	base, sign, worth := least, uint8(0), best.size-len(xs)/32
	switch {
	case mean < spread/8*3:
		if best.base <= least {
			base = best.base
		}
	case before >= least && uint64(before-least) > spread/4 && uint64(before-least) < spread/4*3:
		base, sign, worth = before, withSign, best.size-len(xs)/20
	default:
		base, sign, worth = least+int64(mean), withSign, best.size-len(xs)/20
	}
	if guessUnary(xs, base, sign, best.width) > worth+worth/16 {
		return best
	}
	if b := fitUnary(xs, base, before, sign, best.width); b.size < worth {
		return b
	}
	return best
}

// some is how many integers stand for one that is looked at, when that is enough.
const some = 4

// meanAbove is about how far xs are above the least of them, in the mean; too little if it overflows.
func meanAbove(xs []int64, least int64) uint64 {
	sum := uint64(0)
	for i := 0; i < len(xs); i += some {
		sum += uint64(xs[i] - least)
	}
	return sum / uint64((len(xs)+some-1)/some)
}

// guessUnary is about the size that fitUnary will find.
func guessUnary(xs []int64, base int64, sign, longest uint8) int {
	width := max(int(longest), 3) - 2
	high := uint64(0)
	for i := 0; i < len(xs); i += some {
		high += min(fold(xs[i]-base, sign)>>width, 16) // As a patch is about as long.
	}
	return 2 + (len(xs)*(width+1)+some*int(high))/8
}

// fitUnary finds the width for a base, around what fits integers that are mostly three bits shorter
// than the longest.
func fitUnary(xs []int64, base, before int64, sign, longest uint8) block {
	least := max(int(longest), 3) - 3
	limit := uint(least + unarySpan)
	var highs [3]uint64 // Their sum for each width from least on.
	patches, patched := 0, uint64(0)
	for _, x := range xs {
		v := fold(x-base, sign)
		if v>>limit != 0 {
			patches++
			patched |= v ^ uint64(int64(v)>>63)
			continue
		}
		high := v >> least
		highs[0] += high
		highs[1] += high >> 1
		highs[2] += high >> 2
	}
	best := block{size: math.MaxInt}
	if 2*patches > len(xs) {
		return best
	}
	for i, sum := range highs {
		width := least + i
		size := 2 + (len(xs)*width+7)/8 + (len(xs)+int(sum)+7)/8
		if base != before {
			size += varintLen(base - before)
		}
		high := 0
		if patches > 0 {
			high = min(bits.Len64(patched)-width+1, 64)
			size += 2 + (patches*(patchAt+high)+7)/8
		}
		if width <= maxWidth && size < best.size {
			best = block{
				base: base, size: size, flags: withUnary | sign, width: uint8(width), limit: uint8(limit),
				high: uint8(high), patches: uint8(patches),
			}
		}
	}
	return best
}

// addUnary adds what is in unary at the front of b to xs, in whose lower width bits nothing is
// changed, and returns the rest of b.
func addUnary(xs []int64, b []byte, width uint) ([]byte, bool) {
	last, at := -1, 0 // The bit of the one before, the first bit of the word.
	for i := 0; i < len(xs); at += 64 {
		var w uint64
		if from := at / 8; from+8 <= len(b) {
			w = binary.LittleEndian.Uint64(b[from:])
		} else {
			if from >= len(b) {
				return b, false
			}
			var word [8]byte
			copy(word[:], b[from:])
			w = binary.LittleEndian.Uint64(word[:])
		}
		for ; w != 0 && i < len(xs); i++ {
			one := at + bits.TrailingZeros64(w)
			xs[i] += int64(one-last-1) << (width & 63)
			last = one
			w &= w - 1
		}
	}
	return b[last/8+1:], true
}
