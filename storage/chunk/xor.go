package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// XORAppender encodes float samples without start timestamps into an open XOR chunk. The zero
// value is an empty one. It is one cache line, so that the head keeps one in each series and an
// append touches two lines: this one and the end of the buffer. The bytes are those that
// tsdb/chunkenc's XOR chunk has for the same samples.
//
// Bits gather in a 64-bit word and go to the buffer only when the word is full. The buffer thus
// holds whole words, and its growth follows a few sizes near the allocator's own. The first two
// bytes, the count, are zero there and are filled in when bytes are handed out.
//
// It is not safe for concurrent use.
type XORAppender struct {
	buf   []byte // Whole words; the count at its front is not kept up to date.
	word  uint64 // The bits that follow, from the highest down.
	delta uint64 // Between the last two timestamps.
	t     int64
	v     float64
	n     uint16
	used  uint8 // Bits used in word, less than 64.
	// The window of meaningful bits that the last value with an explicit one had. shut is what
	// leading is before there was any.
	leading, trailing uint8
}

const (
	xorHeader = 2
	shut      = 0xff
)

// Len is the number of samples in the open chunk.
func (a *XORAppender) Len() int { return int(a.n) }

// LastT is the last timestamp; without samples it means nothing.
func (a *XORAppender) LastT() int64 { return a.t }

// LastV is the last value; without samples it means nothing.
func (a *XORAppender) LastV() float64 { return a.v }

// MinT is the first timestamp; without samples it means nothing.
func (a *XORAppender) MinT() int64 {
	if len(a.buf) == 0 {
		return 0
	}
	var b [24]byte
	head := append(b[:0], a.buf[:min(len(a.buf), 16)]...)
	t, _ := binary.Varint(binary.BigEndian.AppendUint64(head, a.word)[xorHeader:])
	return t
}

// Size is the number of bytes the chunk has now.
func (a *XORAppender) Size() int { return len(a.buf) + int(a.used+7)/8 }

// Allocated is the number of bytes of memory held beside the struct itself.
func (a *XORAppender) Allocated() int { return cap(a.buf) }

// Append adds a sample. The caller begins a new chunk at MaxSamples and gives timestamps in
// ascending order; what the format can't hold at all, more than 65535 samples, panics.
func (a *XORAppender) Append(t int64, v float64) {
	if a.n-2 >= math.MaxUint16-2 { // 0, 1 and the very last wrap around or reach the end.
		a.appendFirst(t, v)
		return
	}
	delta := uint64(t - a.t)
	dod := int64(delta - a.delta)
	xor := math.Float64bits(v) ^ math.Float64bits(a.v)
	a.t, a.v, a.delta = t, v, delta
	a.n++
	switch {
	case dod == 0:
		if xor == 0 {
			a.put(0, 2)
			return
		}
		a.putValue(0, 1, xor)
	case inBits(dod, 14):
		a.putValue(0b10<<14|uint64(dod)&(1<<14-1), 16, xor)
	case inBits(dod, 17):
		a.putValue(0b110<<17|uint64(dod)&(1<<17-1), 20, xor)
	case inBits(dod, 20):
		a.putValue(0b1110<<20|uint64(dod)&(1<<20-1), 24, xor)
	default:
		a.put(0b1111, 4)
		a.put(uint64(dod), 64)
		a.putValue(0, 0, xor)
	}
}

// inBits is the format's own idea of what fits: one more above zero than two's complement.
func inBits(x int64, n uint8) bool {
	return -(1<<(n-1)-1) <= x && x <= 1<<(n-1)
}

// appendFirst writes the first two samples, whose timestamp and delta are whole varints.
func (a *XORAppender) appendFirst(t int64, v float64) {
	var b [binary.MaxVarintLen64]byte
	switch a.n {
	case 0:
		a.word, a.used, a.leading = 0, 8*xorHeader, shut
		a.putBytes(b[:binary.PutVarint(b[:], t)])
		a.put(math.Float64bits(v), 64)
	case 1:
		a.delta = uint64(t - a.t)
		a.putBytes(b[:binary.PutUvarint(b[:], a.delta)])
		a.putValue(0, 0, math.Float64bits(v)^math.Float64bits(a.v))
	default:
		panic("chunk: append to a full chunk")
	}
	a.t, a.v = t, v
	a.n++
}

// putValue writes the n bits of head, at most 24, and then the value whose difference to the one
// before is xor.
func (a *XORAppender) putValue(head uint64, n uint8, xor uint64) {
	if xor == 0 {
		a.put(head<<1, n+1)
		return
	}
	leading := min(uint8(bits.LeadingZeros64(xor)), 31) // It has five bits.
	trailing := uint8(bits.TrailingZeros64(xor))
	if a.leading != shut && leading >= a.leading && trailing >= a.trailing {
		a.put(head<<2|0b10, n+2)
		a.put(xor>>a.trailing, 64-a.leading-a.trailing)
		return
	}
	a.leading, a.trailing = leading, trailing
	width := 64 - leading - trailing // 64 is written as 0: a width of 0 does not occur.
	a.put((head<<2|0b11)<<11|uint64(leading)<<6|uint64(width&63), n+13)
	a.put(xor>>trailing, width)
}

func (a *XORAppender) putBytes(b []byte) {
	for _, c := range b {
		a.put(uint64(c), 8)
	}
}

// put writes the lowest n bits of x, of which no higher one is set.
func (a *XORAppender) put(x uint64, n uint8) {
	room := 64 - a.used
	if n < room {
		a.word |= x << (room - n)
		a.used += n
		return
	}
	n -= room
	if len(a.buf)+8 > cap(a.buf) {
		a.grow()
	}
	a.buf = binary.BigEndian.AppendUint64(a.buf, a.word|x>>n)
	a.word = x << (64 - n)
	a.used = n
}

// grow makes room in steps that are sizes of the allocator, so that no byte of it is lost, and
// close enough that a chunk of the usual 50 to 250 bytes wastes little.
func (a *XORAppender) grow() {
	size := 32
	switch c := cap(a.buf); {
	case c == 0:
	case c < 128:
		size = c + 32
	case c < 256:
		size = c + 64
	default:
		size = c + 128
	}
	a.buf = append(make([]byte, 0, size), a.buf...)
}

// appendTo appends the chunk's bytes as they are now to dst.
func (a *XORAppender) appendTo(dst []byte) []byte {
	if a.n == 0 {
		return dst
	}
	start := len(dst)
	dst = append(dst, a.buf...)
	dst = appendBits(dst, a.word, a.used)
	binary.BigEndian.PutUint16(dst[start:], a.n)
	return dst
}

func appendBits(dst []byte, word uint64, n uint8) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], word)
	return append(dst, b[:(n+7)/8]...)
}

// Snapshot appends a copy of the chunk's bytes to dst and returns it with the chunk that views
// them. One dst may serve many chunks: growing it leaves earlier views as they were.
func (a *XORAppender) Snapshot(dst []byte) (Chunk, []byte) {
	start := len(dst)
	dst = a.appendTo(dst)
	return Chunk{
		Enc: XOR, Samples: int(a.n), MinT: a.MinT(), MaxT: a.t, Data: dst[start:len(dst):len(dst)],
	}, dst
}

// Close returns the chunk and leaves the appender empty. The chunk takes the buffer along unless
// that wastes memory.
func (a *XORAppender) Close() Chunk {
	c := Chunk{Enc: XOR, Samples: int(a.n), MinT: a.MinT(), MaxT: a.t}
	size := a.Size()
	if size <= cap(a.buf) && cap(a.buf)-size < 16 {
		c.Data = appendBits(a.buf, a.word, a.used)
		binary.BigEndian.PutUint16(c.Data, a.n)
	} else {
		c.Data = a.appendTo(make([]byte, 0, size))
	}
	*a = XORAppender{}
	return c
}

// Reset leaves the appender empty, with its memory for the next chunk.
func (a *XORAppender) Reset() { *a = XORAppender{buf: a.buf[:0]} }

// Resume makes the appender what it was when it had written the chunk. The chunk's bytes are
// copied. Appending then gives the same bytes as if there had been no break.
func (a *XORAppender) Resume(c Chunk) error {
	if c.Enc != XOR {
		return corruptf("resume a chunk of encoding %d as XOR", c.Enc)
	}
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	var d xorDecoder
	ts, vs, err := d.decode(e.ts[:0], e.vs[:0], c)
	if cap(ts) <= 4*MaxDecimalSamples { // Rarely more; that is not kept.
		e.ts, e.vs = ts, vs
	}
	if err != nil || len(ts) == 0 {
		*a = XORAppender{}
		return err
	}
	end := d.consumed()
	*a = XORAppender{
		delta: d.delta, t: ts[len(ts)-1], v: vs[len(vs)-1], n: uint16(len(ts)),
		used: uint8(end % 64), leading: shut,
	}
	if d.windowed {
		a.leading, a.trailing = 64-d.width-d.trailing, d.trailing
	}
	whole := end / 64 * 8
	for cap(a.buf) < whole {
		a.grow()
	}
	a.buf = append(a.buf, c.Data[:whole]...)
	clear(a.buf[:xorHeader])
	var rest [8]byte
	copy(rest[:], c.Data[whole:])
	a.word = binary.BigEndian.Uint64(rest[:]) &^ (math.MaxUint64 >> a.used)
	return nil
}
