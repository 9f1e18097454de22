package frame

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// firstFloat is the class of floats of one byte; below are the integers. With 53 bits an integer has
// at most 7 bytes, so that the sixteen classes of four bits are just enough for both.
const firstFloat = 8

// classify returns the class of a value and its bytes: the lowest size ones of word, from the lowest
// up.
func classify(v float64) (class byte, word uint64, size int) {
	u := math.Float64bits(v)
	// The conversion of what is no integer gives some integer that is not v. -0 equals 0 but is
	// not it.
	if n := int64(v); float64(n) == v && uint64(n) < 1<<53 && u>>63 == 0 {
		size = (bits.Len64(uint64(n)) + 7) / 8
		return byte(size), uint64(n), size
	}
	size = 8 - bits.TrailingZeros64(u)/8
	return byte(firstFloat - 1 + size), bits.ReverseBytes64(u), size
}

// declassify is the value that a class and the bytes that begin word, lowest first, stand for.
func declassify(class byte, word uint64) float64 {
	if class < firstFloat {
		return float64(word & (1<<(8*class) - 1))
	}
	size := class - (firstFloat - 1)
	return math.Float64frombits(bits.ReverseBytes64(word << (64 - 8*size) >> (64 - 8*size)))
}

// valueSize is the number of bytes a value of the class has.
func valueSize(class byte) int {
	if class < firstFloat {
		return int(class)
	}
	return int(class) - (firstFloat - 1)
}

// cutValues reads n values off the front of b into dst, which has that length.
func cutValues(b []byte, dst []float64) ([]byte, bool) {
	at := (len(dst) + 1) / 2
	if len(b) < at {
		return b, false
	}
	classes, b := b[:at], b[at:]
	i := 0
	for ; i < len(dst) && len(b) >= 8; i++ {
		class := classes[i/2] >> (4 * (i & 1)) & 15
		dst[i] = declassify(class, binary.LittleEndian.Uint64(b))
		b = b[valueSize(class):]
	}
	for ; i < len(dst); i++ { // The last few, near the end of b.
		class := classes[i/2] >> (4 * (i & 1)) & 15
		var word [8]byte
		copy(word[:], b)
		size := valueSize(class)
		if size > len(b) {
			return b, false
		}
		dst[i] = declassify(class, binary.LittleEndian.Uint64(word[:]))
		b = b[size:]
	}
	return b, true
}
