package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// xorDecoder decodes XOR chunks into columns. Afterwards its fields are the state of an appender
// that had written the chunk.
type xorDecoder struct {
	delta           uint64
	width, trailing uint8 // The window; all 64 bits at first, as tsdb/chunkenc reads it.
	windowed        bool  // An explicit window was read.
	pos             int   // Bytes loaded.
	left            uint8 // Bits loaded and not used.
}

// consumed is the number of bits up to the end of the last sample.
func (d *xorDecoder) consumed() int { return 8*d.pos - int(d.left) }

// load fills acc, whose upper n bits are unread ones, from b[pos:]. Afterwards n is at least 56
// unless b ends. It may leave bits below the n-th set: they are those of the byte that follows,
// and loading it again sets the same.
func load(b []byte, pos int, acc uint64, n uint8) (int, uint64, uint8) {
	if pos+8 <= len(b) {
		acc |= binary.BigEndian.Uint64(b[pos:]) >> n
		return pos + int(63-n)>>3, acc, n | 56
	}
	return loadTail(b, pos, acc, n)
}

func loadTail(b []byte, pos int, acc uint64, n uint8) (int, uint64, uint8) {
	for n <= 56 && pos < len(b) {
		acc |= uint64(b[pos]) << (56 - n)
		pos++
		n += 8
	}
	return pos, acc, n
}

// decode appends the samples of c to the columns. What it read before it met damage is in them.
func (d *xorDecoder) decode(ts []int64, vs []float64, c Chunk) ([]int64, []float64, error) {
	b := c.Data
	if len(b) < xorHeader {
		return ts, vs, corruptf("%d bytes", len(b))
	}
	num := int(binary.BigEndian.Uint16(b))
	if num != c.Samples {
		return ts, vs, corruptf("%d samples where %d are promised", num, c.Samples)
	}
	if num == 0 {
		return ts, vs, nil
	}
	if num > 4*len(b) { // A sample has at least two bits.
		return ts, vs, corruptf("%d samples in %d bytes", num, len(b))
	}
	t, k := binary.Varint(b[xorHeader:])
	pos := xorHeader + k
	if k <= 0 || pos+8 > len(b) {
		return ts, vs, corruptf("cut short in the first sample")
	}
	if t != c.MinT {
		return ts, vs, corruptf("begins at %d, not at %d", t, c.MinT)
	}
	v := binary.BigEndian.Uint64(b[pos:])
	pos += 8
	d.pos, d.left, d.width = pos, 0, 64
	from := len(ts)
	ts, vs = append(ts, t), append(vs, math.Float64frombits(v))
	if num > 1 {
		if d.delta, k = binary.Uvarint(b[pos:]); k <= 0 {
			return ts, vs, corruptf("cut short in the second sample")
		}
		d.pos += k
		if int64(d.delta) <= 0 {
			return ts, vs, corruptf("time does not advance")
		}
		ts, vs = grown(ts, num-1), grown(vs, num-1)
		n, err := d.run(ts[from:from+num], vs[from:from+num], b, v)
		ts, vs = ts[:from+n], vs[:from+n]
		if err != nil {
			return ts, vs, err
		}
	}
	if last := ts[len(ts)-1]; last != c.MaxT {
		return ts, vs, corruptf("ends at %d, not at %d", last, c.MaxT)
	}
	return ts, vs, nil
}

// grown returns s with n more elements, of any value.
func grown[T any](s []T, n int) []T {
	if cap(s)-len(s) < n {
		s = append(make([]T, 0, len(s)+n), s...)
	}
	return s[:len(s)+n]
}

// run decodes everything after the second timestamp into ts and vs, whose first element is there,
// and returns how many elements are. Its state is in local variables, since it is the loop that
// every query runs.
func (d *xorDecoder) run(ts []int64, vs []float64, b []byte, v uint64) (int, error) {
	var (
		pos, acc, n     = d.pos, uint64(0), uint8(0)
		delta           = d.delta
		width, trailing = d.width, d.trailing
		t               = ts[0]
		i               = 1
	)
	vs = vs[:len(ts)]
	for i < len(ts) {
		if n < 40 { // Enough for a time and what comes before a value's own bits.
			pos, acc, n = load(b, pos, acc, n)
		}
		switch {
		case i == 1: // Its delta is known already.
		case acc>>62 == 0 && n >= 2: // The same step and the same value: often many at once.
			same := min(uint8(bits.LeadingZeros64(acc)), n) / 2
			if rest := len(ts) - i; rest < int(same) {
				same = uint8(rest)
			}
			value := math.Float64frombits(v)
			for j := range ts[i : i+int(same)] {
				t += int64(delta)
				ts[i+j], vs[i+j] = t, value
			}
			i += int(same)
			acc <<= 2 * same
			n -= 2 * same
			continue
		case acc>>63 == 0:
			if n < 1 {
				return i, corruptf("cut short after %d samples", i)
			}
			acc <<= 1
			n--
		default:
			var dod int64
			var ok bool
			if dod, pos, acc, n, ok = readDod(b, pos, acc, n); !ok {
				return i, corruptf("cut short after %d samples", i)
			}
			if delta += uint64(dod); int64(delta) <= 0 {
				return i, corruptf("time does not advance after %d samples", i)
			}
		}
		t += int64(delta)

		// The value: 0 the same, 10 in the window of before, 11 with a new window.
		if n < 13 {
			pos, acc, n = load(b, pos, acc, n)
		}
		used := uint8(1)
		switch acc >> 62 {
		case 2:
			used = 2
		case 3:
			leading := uint8(acc>>57) & 31
			width = uint8(acc>>51) & 63
			if width == 0 {
				width = 64
			}
			if leading+width > 64 {
				return i, corruptf("value of %d bits after %d", width, leading)
			}
			trailing = 64 - leading - width
			d.windowed = true
			used = 13
		}
		if n < used {
			return i, corruptf("cut short after %d samples", i)
		}
		changed := acc>>63 == 1
		acc <<= used
		n -= used
		if changed {
			if n < width {
				pos, acc, n = load(b, pos, acc, n)
			}
			if n >= width {
				v ^= acc >> (64 - width) << trailing
				acc <<= width
				n -= width
			} else { // Wider than what fits beside the bits before it.
				var x uint64
				var ok bool
				if x, pos, acc, n, ok = readWide(b, pos, acc, n, width); !ok {
					return i, corruptf("cut short after %d samples", i)
				}
				v ^= x << trailing
			}
		}
		ts[i], vs[i] = t, math.Float64frombits(v)
		i++
	}
	d.pos, d.left, d.delta, d.width, d.trailing = pos, n, delta, width, trailing
	return i, nil
}

// readDod reads a change of the delta, of which the first bit is known to be set.
func readDod(b []byte, pos int, acc uint64, n uint8) (int64, int, uint64, uint8, bool) {
	var prefix, width uint8
	switch acc >> 60 {
	case 0b1111:
		if n < 4 {
			return 0, pos, acc, n, false
		}
		pos, acc, n = load(b, pos, acc<<4, n-4)
		x, pos, acc, n, ok := readWide(b, pos, acc, n, 64)
		return int64(x), pos, acc, n, ok
	case 0b1110:
		prefix, width = 4, 20
	case 0b1100, 0b1101:
		prefix, width = 3, 17
	default:
		prefix, width = 2, 14
	}
	if n < prefix+width {
		return 0, pos, acc, n, false
	}
	x := int64(acc << prefix >> (64 - width))
	if x > 1<<(width-1) {
		x -= 1 << width
	}
	return x, pos, acc << (prefix + width), n - prefix - width, true
}

// readWide reads more than 32 bits in two steps.
func readWide(b []byte, pos int, acc uint64, n, width uint8) (uint64, int, uint64, uint8, bool) {
	if n < 32 || width <= 32 { // With n below width the bytes have ended.
		return 0, pos, acc, n, false
	}
	high := acc >> 32
	pos, acc, n = load(b, pos, acc<<32, n-32)
	low := width - 32
	if n < low {
		return 0, pos, acc, n, false
	}
	return high<<low | acc>>(64-low), pos, acc << low, n - low, true
}
