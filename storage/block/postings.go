package block

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/RoaringBitmap/roaring/v2"
)

// appendPostings serialises a bitmap of ordinals in roaring's portable format.
func appendPostings(dst *bytes.Buffer, b *roaring.Bitmap) error {
	if _, err := b.WriteTo(dst); err != nil {
		return fmt.Errorf("encode postings: %w", err)
	}
	return nil
}

// decodePostings returns the bitmap in b, which must hold ordinals below count only. It keeps
// views of b, which the caller therefore gives away.
func decodePostings(b []byte, count uint32) (*roaring.Bitmap, error) {
	last, ok := checkPostings(b)
	if !ok || last >= count {
		return nil, decodeErrorf("postings are no bitmap of %d series", count)
	}
	bm := roaring.New()
	if _, err := bm.FromBuffer(b); err != nil {
		return nil, decodeErrorf("postings: %v", err)
	}
	return bm, nil
}

// The portable format: containers of up to 1<<16 numbers with equal high halves.
const (
	cookieRuns      = 12347 // in the low half; the high half is the number of containers less one
	cookieNoRuns    = 12346
	offsetsFrom     = 4    // so many containers have offsets also where there are runs
	maxArray        = 4096 // more numbers, if not in runs, are a bitmap
	bitmapBytes     = 8192
	maxContainers   = 1 << 16
	containerValues = 1 << 16
)

// checkPostings walks a serialised bitmap and returns its last number; ok is false unless it is
// one, whole and in order. The library's own check takes time quadratic in the number of runs, of
// which a metric has one in each shard.
func checkPostings(b []byte) (last uint32, ok bool) {
	c := cursor{rest: b}
	cookie := c.uint32()
	size, runs := int(cookie>>16)+1, []byte(nil)
	switch {
	case cookie&0xffff == cookieRuns:
		runs = c.bytes(uint64(size+7) / 8)
	case cookie == cookieNoRuns:
		size = int(min(c.uint32(), maxContainers+1))
	default:
		return 0, false
	}
	if size == 0 || size > maxContainers {
		return 0, false
	}
	heads := c.bytes(uint64(4 * size))
	if runs == nil || size >= offsetsFrom {
		c.bytes(uint64(4 * size))
	}
	lastKey := -1
	for i := 0; i < size && !c.bad; i++ {
		key := int(binary.LittleEndian.Uint16(heads[4*i:]))
		cardinality := int(binary.LittleEndian.Uint16(heads[4*i+2:])) + 1
		if key <= lastKey {
			return 0, false
		}
		lastKey = key
		var low int
		switch {
		case runs != nil && runs[i/8]&(1<<(i%8)) != 0:
			low = c.checkRuns(cardinality)
		case cardinality > maxArray:
			low = checkBits(c.bytes(bitmapBytes), cardinality)
		default:
			low = checkArray(c.bytes(2 * uint64(cardinality)))
		}
		if low < 0 {
			return 0, false
		}
		last = uint32(key)<<16 | uint32(low)
	}
	return last, !c.bad && len(c.rest) == 0
}

// checkRuns returns the last number of a container of runs, -1 if it is none. Neither do runs
// overlap nor do they touch.
func (c *cursor) checkRuns(cardinality int) int {
	head := c.bytes(2)
	if head == nil {
		return -1
	}
	b := c.bytes(4 * uint64(binary.LittleEndian.Uint16(head)))
	last := -2
	for ; len(b) > 0; b = b[4:] {
		start, more := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
		if start <= last+1 {
			return -1
		}
		last = start + more
		cardinality -= more + 1
	}
	if last >= containerValues || cardinality != 0 {
		return -1
	}
	return last
}

func checkArray(b []byte) int {
	last := -1
	for ; len(b) > 0; b = b[2:] {
		n := int(binary.LittleEndian.Uint16(b))
		if n <= last {
			return -1
		}
		last = n
	}
	return last
}

func checkBits(b []byte, cardinality int) int {
	last := -1
	for i := 0; i < len(b); i += 8 {
		if word := binary.LittleEndian.Uint64(b[i:]); word != 0 {
			cardinality -= bits.OnesCount64(word)
			last = i*8 + bits.Len64(word) - 1
		}
	}
	if cardinality != 0 {
		return -1
	}
	return last
}
