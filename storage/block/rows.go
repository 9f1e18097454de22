package block

import (
	"encoding/binary"
	"math"
	mathbits "math/bits"
	"slices"
)

// rowsPerBlock is the number of label rows in a block: what one lookup of a lone series decodes,
// and what its neighbours share.
const rowsPerBlock = 64

// rowEncoder writes a block of label rows. Neighbours have mostly the same label names and share
// most values, so a row names its shape, which is the list of its label names, by number, and, if
// it is the shape of the row before, only the values that differ.
type rowEncoder struct {
	buf    []byte
	rows   int
	shapes [][]uint32
	shape  int // of the row before
	values []uint32
}

func (e *rowEncoder) reset() {
	e.buf, e.rows, e.shapes, e.values = e.buf[:0], 0, e.shapes[:0], e.values[:0]
	e.shape = -1
}

// add appends a row: one symbol for each name, in order, and one for each value.
func (e *rowEncoder) add(names, values []uint32) {
	shape := e.shape
	if shape < 0 || !slices.Equal(e.shapes[shape], names) {
		shape = slices.IndexFunc(e.shapes, func(s []uint32) bool { return slices.Equal(s, names) })
	}
	if shape < 0 {
		shape = len(e.shapes)
		e.shapes = append(e.shapes, slices.Clone(names))
		e.buf = binary.AppendUvarint(e.buf, uint64(shape))
		e.buf = binary.AppendUvarint(e.buf, uint64(len(names)))
		e.buf = appendRefs(e.buf, names)
	} else {
		e.buf = binary.AppendUvarint(e.buf, uint64(shape))
	}
	if shape != e.shape {
		e.buf = appendRefs(e.buf, values)
	} else {
		e.addChanged(values)
	}
	e.shape, e.values = shape, append(e.values[:0], values...)
	e.rows++
}

func (e *rowEncoder) addChanged(values []uint32) {
	mask := len(e.buf)
	e.buf = append(e.buf, make([]byte, maskLen(len(values)))...)
	for i, v := range values {
		if v != e.values[i] {
			e.buf[mask+i/8] |= 1 << (i % 8)
			e.buf = binary.AppendUvarint(e.buf, uint64(v))
		}
	}
}

func appendRefs(dst []byte, refs []uint32) []byte {
	for _, r := range refs {
		dst = binary.AppendUvarint(dst, uint64(r))
	}
	return dst
}

// maskLen is the number of bytes with a bit for each of n values.
func maskLen(n int) int { return (n + 7) / 8 }

// rowDecoder reads a block of label rows from the first on.
type rowDecoder struct {
	c      cursor
	shapes [][]uint32
	free   [][]uint32 // shapes of blocks before, for reuse
	shape  int        // of the row at hand; -1 before the first
	values []uint32
	// same is how many labels from the first on have been equal since mark was called.
	same int
}

func (d *rowDecoder) reset(b []byte) {
	d.c = cursor{rest: b}
	d.free = append(d.free, d.shapes...)
	d.shapes = d.shapes[:0]
	d.shape, d.same = -1, 0
}

// mark says that the row at hand is the one to count equal labels from.
func (d *rowDecoder) mark() { d.same = len(d.values) }

// names and values of the row at hand. They are valid until next.
func (d *rowDecoder) names() []uint32 { return d.shapes[d.shape] }

// next steps to the next row.
func (d *rowDecoder) next() error {
	shape := int(d.c.upTo(uint64(len(d.shapes))))
	if !d.c.bad && shape == len(d.shapes) {
		if shape == rowsPerBlock {
			d.c.fail()
		}
		d.readShape()
	}
	if d.c.bad {
		return decodeErrorf("label rows")
	}
	if shape == d.shape {
		d.readChanged()
	} else {
		d.shape, d.same = shape, 0
		d.values = d.readRefs(d.values[:0], len(d.shapes[shape]))
	}
	if d.c.bad {
		return decodeErrorf("label rows")
	}
	return nil
}

func (d *rowDecoder) readShape() {
	var s []uint32
	if n := len(d.free); n > 0 {
		s, d.free = d.free[n-1][:0], d.free[:n-1]
	}
	n := d.c.upTo(uint64(len(d.c.rest))) // Each takes a byte at least.
	d.shapes = append(d.shapes, d.readRefs(s, int(n)))
}

func (d *rowDecoder) readRefs(dst []uint32, n int) []uint32 {
	if n > len(d.c.rest) {
		d.c.fail()
		return dst
	}
	for range n {
		dst = append(dst, uint32(d.c.upTo(math.MaxUint32)))
	}
	return dst
}

func (d *rowDecoder) readChanged() {
	mask := d.c.bytes(uint64(maskLen(len(d.values))))
	for i, bits := range mask {
		for ; bits != 0; bits &= bits - 1 {
			at := i*8 + mathbits.TrailingZeros8(bits)
			if at >= len(d.values) {
				d.c.fail()
				return
			}
			d.values[at] = uint32(d.c.upTo(math.MaxUint32))
			d.same = min(d.same, at)
		}
	}
}
