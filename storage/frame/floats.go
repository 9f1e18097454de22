package frame

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/barograph-db/barograph/storage/series"
)

// MaxSamples bounds the float samples of a frame. It is far above what a request may bring.
const MaxSamples = 1 << 23

// The flags of the float samples.
const (
	flagSorted     = 1 << 0 // in the order of their indexes
	flagStarts     = 1 << 1 // there are start timestamps
	flagWide       = 1 << 2 // gaps have two bytes
	flagFloatsMask = 1<<3 - 1
)

// A class says how a changed value is written. Its low three bits are the number of bytes, less one.
const (
	classUnits = 0 << 3 // the difference in units
	classScale = 1 << 3 // the same, in units of another scale, which stands before
	classFloat = 2 << 3 // the first bytes of the float; those that follow are zero
	classXOR   = 3 << 3 // the last bytes of the float XOR the value before; those ahead are zero
)

// columns is scratch space for the float samples of a frame, used to write and to read.
type columns struct {
	order, spare []uint32
	plain        bool // Columns are written without a code.

	wide       []uint64 // gaps
	gaps, high []byte
	rare       []byte // what does not fit there
	changed    []byte // a bit for each sample: has it another value than the one before?
	classes    []byte // of the changed ones
	low, mid   []byte // the lowest and second bytes of differences
	rest       []byte // the others
	raw        []byte // floats
	gens       []byte
	varints    []byte
	none       basesPage
}

// sort fills order with the places of the samples by index, where they come in no order: gaps are
// small then, whichever way the references came. Samples of one index stay in order.
func (c *columns) sort(refs []series.Ref) (sorted bool) {
	c.order = slices.Grow(c.order[:0], len(refs))[:len(refs)]
	descents, last, most := 0, uint32(0), uint32(0)
	for i, ref := range refs {
		c.order[i] = uint32(i)
		n := ref.Index()
		if n < last {
			descents++
		}
		last, most = n, max(most, n)
	}
	if descents*16 <= len(refs) {
		return descents == 0
	}
	c.spare = slices.Grow(c.spare[:0], len(refs))[:len(refs)]
	for shift := 0; shift < bits.Len32(most); shift += 8 {
		var at [256]uint32
		for _, ref := range refs {
			at[uint8(ref.Index()>>shift)]++
		}
		sum := uint32(0)
		for digit, n := range at {
			at[digit] = sum
			sum += n
		}
		for _, i := range c.order {
			digit := uint8(refs[i].Index() >> shift)
			c.spare[at[digit]] = i
			at[digit]++
		}
		c.order, c.spare = c.spare, c.order
	}
	return true
}

// appendShape appends all of the float samples that no state is needed for.
func (c *columns) appendShape(b []byte, f *Frame) []byte {
	n := len(f.Refs)
	b = binary.AppendUvarint(b, uint64(n))
	if n == 0 {
		return b
	}
	flags := byte(0)
	sorted := c.sort(f.Refs)
	if sorted {
		flags |= flagSorted
	}
	if len(f.Starts) > 0 {
		flags |= flagStarts
	}
	if c.appendGaps(f.Refs, sorted) {
		flags |= flagWide
	}
	b = binary.AppendUvarint(append(b, flags), uint64(f.Refs[c.order[0]].Index()))
	b = c.appendColumn(b, c.gaps)
	if flags&flagWide != 0 {
		b = c.appendColumn(b, c.high)
	}
	b = append(b, c.rare...)
	b = c.appendTimes(b, f.Times)
	if len(f.Starts) > 0 {
		b = c.appendTimes(b, f.Starts)
	}
	return b
}

// appendGaps fills the columns of what lies between one index and the next. Most gaps fit in a byte;
// where many do not, all have two, else those few stand elsewhere.
func (c *columns) appendGaps(refs []series.Ref, sorted bool) (wide bool) {
	c.gaps, c.high, c.rare = c.gaps[:0], c.high[:0], c.rare[:0]
	far := 0
	last := refs[c.order[0]].Index()
	for _, i := range c.order[1:] {
		n := refs[i].Index()
		gap := uint64(n - last)
		if !sorted {
			gap = zigzag(int64(n) - int64(last))
		}
		last = n
		if gap >= escape {
			far++
		}
		c.wide = append(c.wide, gap)
	}
	if wide = far*16 > len(refs); wide {
		for _, gap := range c.wide {
			c.gaps = append(c.gaps, byte(gap))
			c.high = c.escape(c.high, gap>>8)
		}
	} else {
		for _, gap := range c.wide {
			c.gaps = c.escape(c.gaps, gap)
		}
	}
	c.wide = c.wide[:0]
	return wide
}

// escape is the byte that says that a number is elsewhere, less itself.
const escape = 255

func (c *columns) escape(column []byte, n uint64) []byte {
	if n >= escape {
		c.rare = binary.AppendUvarint(c.rare, n-escape)
	}
	return append(column, byte(min(n, escape)))
}

func zigzag(d int64) uint64   { return uint64(d)<<1 ^ uint64(d>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// appendTimes appends a column of times: as runs of the same one, or where these are short as
// differences.
func (c *columns) appendTimes(b []byte, times []int64) []byte {
	runs, last := 0, times[c.order[0]]-1
	for _, i := range c.order {
		if times[i] != last {
			runs, last = runs+1, times[i]
		}
	}
	last = 0
	if runs*4 <= len(c.order) || len(c.order) < 4 {
		b = binary.AppendUvarint(b, uint64(runs))
		for at := 0; at < len(c.order); {
			t, n := times[c.order[at]], 1
			for at+n < len(c.order) && times[c.order[at+n]] == t {
				n++
			}
			b = binary.AppendUvarint(b, uint64(n))
			b = binary.AppendVarint(b, t-last)
			last, at = t, at+n
		}
		return b
	}
	c.varints = c.varints[:0]
	for _, i := range c.order {
		c.varints = binary.AppendVarint(c.varints, times[i]-last)
		last = times[i]
	}
	b = append(b, 0)
	b = binary.AppendUvarint(b, uint64(len(c.varints)))
	return c.appendColumn(b, c.varints)
}

// appendValues appends the values and generations, relative to the bases, which it moves on, and
// returns the digest of those it met.
func (c *columns) appendValues(b []byte, f *Frame, base *bases) ([]byte, digest) {
	n := len(f.Refs)
	if n == 0 {
		return b, 0
	}
	d := c.encodeValues(f, base)
	b = append(b, c.gens...)
	b = append(b, 0)
	b = c.appendColumn(b, c.changed)
	b = c.appendColumn(b, c.classes)
	b = c.appendColumn(b, c.low)
	b = c.appendColumn(b, c.mid)
	b = c.appendColumn(b, c.rest)
	b = c.appendColumn(b, c.raw)
	return b, d
}

func (c *columns) encodeValues(f *Frame, base *bases) (d digest) {
	n := len(f.Refs)
	c.gens = c.gens[:0]
	changed := sized(c.changed, (n+7)/8)
	clear(changed)
	kinds, low, mid := sized(c.classes, n), sized(c.low, n), sized(c.mid, n)
	rest, raw := sized(c.rest, 5*n+8), sized(c.raw, 9*n+8)
	var nClasses, nLow, nMid, nRest, nRaw int
	page, number := (*basesPage)(nil), ^uint32(0)
	gen, genAt := uint32(0), 0
	for at, i := range c.order {
		ref, v := f.Refs[i], f.Values[i]
		index := ref.Index()
		if index/basePage != number {
			page, number = base.page(index, &c.none), index/basePage
		}
		slot := index % basePage
		was, known := page.value[slot], page.about[slot]
		d = d.add(was, known)
		if g := ref.Generation(); known>>scaleBits != g || g == 0 {
			if g != generation(known, gen) {
				c.gens = binary.AppendUvarint(c.gens, uint64(at-genAt)+1)
				c.gens = binary.AppendUvarint(c.gens, uint64(g))
				genAt = at + 1
			}
			known = about(g, scale(known&scaleMask))
			page.about[slot] = known
		}
		gen = ref.Generation()
		if now := math.Float64bits(v); now != was {
			changed[at/8] |= 1 << (at & 7)
			s := scale(known & scaleMask)
			class := byte(classUnits)
			u, ok := s.difference(v, math.Float64frombits(was))
			if !ok {
				if finer := s.learn(v); finer != s {
					class, known = classScale, known&^scaleMask|uint32(finer)
					u, ok = finer.difference(v, math.Float64frombits(was))
					raw[nRaw] = byte(finer)
					nRaw++
				}
			}
			if ok {
				size := sizeOf(u)
				kinds[nClasses] = class | byte(size-1)
				low[nLow] = byte(u)
				nLow++
				if size > 1 {
					mid[nMid] = byte(u >> 8)
					nMid++
				}
				if size > 2 {
					binary.LittleEndian.PutUint64(rest[nRest:], u>>16)
					nRest += size - 2
				}
			} else {
				class, word, size := shorter(now, was)
				kinds[nClasses] = class | byte(size-1)
				binary.LittleEndian.PutUint64(raw[nRaw:], word)
				nRaw += size
			}
			nClasses++
			page.value[slot], page.about[slot] = now, known
		}
		if page == &c.none {
			page.value[slot], page.about[slot] = 0, 0
		}
	}
	c.changed, c.classes, c.low, c.mid = changed, kinds[:nClasses], low[:nLow], mid[:nMid]
	c.rest, c.raw = rest[:nRest], raw[:nRaw]
	return d
}

// shorter writes a float in the shorter of two ways, in the lowest bytes of word.
func shorter(now, was uint64) (class byte, word uint64, size int) {
	size = sizeOf(now ^ was)
	if whole := 8 - bits.TrailingZeros64(now|1<<63)/8; whole < size {
		return classFloat, now >> (64 - 8*whole), whole
	}
	return classXOR, now ^ was, size
}

// sizeOf is the number of bytes of a difference, at least one.
func sizeOf(u uint64) int { return (bits.Len64(u|1) + 7) / 8 }

// origin is the number of units that differences from a value are counted from.
func (s scale) origin(was float64) int64 {
	m, _ := s.units(was)
	return m
}

// difference is v less a base in units, zigzag; ok is false where v has no such form.
func (s scale) difference(v, was float64) (u uint64, ok bool) {
	n, ok := s.units(v)
	if !ok || math.Float64bits(s.value(n)) != math.Float64bits(v) {
		return 0, false
	}
	return zigzag(n - s.origin(was)), true
}
