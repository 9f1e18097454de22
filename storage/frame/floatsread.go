package frame

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/barograph-db/barograph/storage/series"
)

// shape reads what appendShape wrote, apart from the references' generations.
func (c *columns) shape(r *reader, f *Frame, most int) {
	n := r.uvarint()
	if n > uint64(most) || r.failed {
		r.fail()
		n = 0
	}
	f.Refs, f.Times, f.Values = f.Refs[:0], f.Times[:0], f.Values[:0]
	if n == 0 {
		return
	}
	flags := r.byte()
	if flags&^flagFloatsMask != 0 {
		r.fail()
		return
	}
	first := uint32(r.uvarint())
	c.gaps = r.column(c.gaps, int(n)-1)
	if r.failed {
		return
	}
	c.high = c.high[:0]
	if flags&flagWide != 0 {
		c.high = r.column(c.high, int(n)-1)
	}
	f.Refs, f.Times, f.Values = sized(f.Refs, int(n)), sized(f.Times, int(n)), sized(f.Values, int(n))
	c.references(r, f.Refs, first, flags&flagSorted != 0)
	c.times(r, f.Times)
	if flags&flagStarts != 0 {
		f.Starts = sized(f.Starts, int(n))
		c.times(r, f.Starts)
	}
}

func (c *columns) references(r *reader, refs []series.Ref, last uint32, sorted bool) {
	refs[0] = series.Ref(last)
	for i := range c.gaps {
		gap := uint64(c.gaps[i])
		if len(c.high) > 0 {
			gap |= r.escaped(c.high[i]) << 8
		} else {
			gap = r.escaped(c.gaps[i])
		}
		if sorted {
			last += uint32(gap)
		} else {
			last += uint32(unzigzag(gap))
		}
		refs[i+1] = series.Ref(last)
	}
}

func (r *reader) escaped(b byte) uint64 {
	if b < escape {
		return uint64(b)
	}
	return escape + r.uvarint()
}

func (c *columns) times(r *reader, times []int64) {
	runs, t := r.uvarint(), int64(0)
	if runs > 0 {
		for ; runs > 0 && !r.failed; runs-- {
			n := r.uvarint()
			t += r.varint()
			if n > uint64(len(times)) {
				r.fail()
				return
			}
			for i := range times[:n] {
				times[i] = t
			}
			times = times[n:]
		}
		if len(times) > 0 {
			r.fail()
		}
		return
	}
	n := r.uvarint()
	if n > uint64(len(times))*binary.MaxVarintLen64 {
		r.fail()
		return
	}
	c.varints = r.column(c.varints, int(n))
	if r.failed {
		return
	}
	own := reader{b: c.varints}
	for i := range times {
		t += own.varint()
		times[i] = t
	}
	if own.failed || len(own.b) > 0 {
		r.fail()
	}
}

// values reads the columns that appendValues wrote, for decodeValues, and returns the generations.
func (c *columns) values(r *reader, f *Frame) (gens reader) {
	n := len(f.Refs)
	if n == 0 || r.failed {
		return reader{}
	}
	gens = c.generations(r)
	c.changed = r.column(c.changed, (n+7)/8)
	if r.failed {
		return reader{}
	}
	if n&7 != 0 && c.changed[n/8]>>(n&7) != 0 {
		r.fail()
		return reader{}
	}
	changes := 0
	for _, b := range c.changed {
		changes += bits.OnesCount8(b)
	}
	c.classes = r.column(c.classes, changes)
	var low, mid, rest, raw int
	for _, class := range c.classes {
		size := int(class&7) + 1
		switch class &^ 7 {
		case classScale:
			raw++
			fallthrough
		case classUnits:
			low++
			mid += min(size-1, 1)
			rest += max(size-2, 0)
		case classFloat, classXOR:
			raw += size
		default:
			r.fail()
		}
	}
	if r.failed {
		return reader{}
	}
	c.low, c.mid, c.rest, c.raw = r.column(c.low, low), r.column(c.mid, mid), r.column(c.rest, rest), r.column(c.raw, raw)
	if r.failed {
		return reader{}
	}
	c.rest, c.raw = append(c.rest, make([]byte, 8)...), append(c.raw, make([]byte, 8)...) // Read beyond.
	return gens
}

// generations cuts off the list of those that differ from what is expected.
func (c *columns) generations(r *reader) reader {
	from := r.b
	for r.uvarint() != 0 && !r.failed {
		_ = r.uvarint()
	}
	return reader{b: from[:len(from)-len(r.b)]}
}

func (c *columns) decodeValues(f *Frame, gens reader, base *bases) (d digest) {
	kinds, low, mid, rest, raw := c.classes, c.low, c.mid, c.rest, c.raw
	odd := int(gens.uvarint()) - 1 // The next sample of another generation than expected.
	page, number := (*basesPage)(nil), ^uint32(0)
	gen := uint32(0)
	refs, values := f.Refs, f.Values[:len(f.Refs)]
	for at, ref := range refs {
		index := uint32(ref)
		if index/basePage != number {
			page, number = base.page(index, &c.none), index/basePage
		}
		slot := index % basePage
		was, known := page.value[slot], page.about[slot]
		d = d.add(was, known)
		if g := known >> scaleBits; g == 0 || at == odd {
			if at == odd {
				gen = uint32(gens.uvarint())
				odd = at + int(gens.uvarint())
			}
			known = about(gen, scale(known&scaleMask))
			page.about[slot] = known
		} else {
			gen = g
		}
		refs[at] = series.MakeRef(index, gen)
		if c.changed[at/8]>>(at&7)&1 != 0 {
			class := kinds[0]
			kinds = kinds[1:]
			s := scale(known & scaleMask)
			size := uint(class&7) + 1
			switch class &^ 7 {
			case classScale:
				s = scale(raw[0] & scaleMask)
				raw = raw[1:]
				known = known&^scaleMask | uint32(s)
				fallthrough
			case classUnits:
				u := uint64(low[0])
				low = low[1:]
				if size > 1 {
					u |= uint64(mid[0]) << 8
					mid = mid[1:]
				}
				if size > 2 {
					u |= cutWord(&rest, size-2) << 16
				}
				was = math.Float64bits(s.value(s.origin(math.Float64frombits(was)) + unzigzag(u)))
			case classFloat:
				was = cutWord(&raw, size) << (64 - 8*size)
			case classXOR:
				was ^= cutWord(&raw, size)
			}
			page.value[slot], page.about[slot] = was, known
		}
		values[at] = math.Float64frombits(was)
		if page == &c.none {
			page.value[slot], page.about[slot] = 0, 0
		}
	}
	return d
}

// cutWord takes the lowest bytes of a word off the front of b, which is longer than a word.
func cutWord(b *[]byte, size uint) uint64 {
	word := binary.LittleEndian.Uint64(*b) << (64 - 8*size) >> (64 - 8*size)
	*b = (*b)[size:]
	return word
}
