package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// columnReader reads a column of integers that a packer wrote, a block at a time.
type columnReader struct {
	b       []byte // What follows.
	form    uint8
	base    int64
	divisor int64
	x       int64 // The last integer; for formLevel and formGrid always the first.
	step    int64 // Between the last two; formGrid: of the line, formDelta2: both over the divisor.
	line    int64 // formGrid: how far the line has come.
	falls   bool  // Some integer may be less than the one before.
}

// begin reads what comes before the blocks of a column of n integers. Their first is x0; only a
// line needs to know how far above it the last one is. It returns how many integers lead gives.
func (r *columnReader) begin(b []byte, form uint8, x0, span int64, n int) (int, bool) {
	*r = columnReader{b: b, form: form &^ divided, divisor: 1, x: x0}
	if r.form <= formLine {
		if r.form == formLine {
			ok := r.cutStep()
			r.falls = r.step < 0
			return 1, ok && form == formLine && n > 1
		}
		return 1, form == formFlat
	}
	if n < 3 || r.form > formGrid {
		return 0, false
	}
	if form&divided != 0 {
		d, ok := cutUvarint(&r.b)
		if !ok || d < 2 || d > math.MaxInt64 {
			return 0, false
		}
		r.divisor = int64(d)
	}
	r.falls = r.form != formDelta // Or who knows.
	switch r.form {
	case formGrid:
		r.step = gridStep(span/r.divisor, n)
	case formDelta2:
		return 2, r.cutStep()
	}
	return 1, true
}

func (r *columnReader) cutStep() bool {
	step, k := binary.Varint(r.b)
	if k <= 0 {
		return false
	}
	r.step, r.b = step, r.b[k:]
	return true
}

// lead sets the first one or two integers of the column, which come without a block.
func (r *columnReader) lead(xs []int64) {
	xs[0] = r.x
	if len(xs) > 1 {
		r.x += r.step * r.divisor
		xs[1] = r.x
	}
}

// next sets the integers of the next block, which are as many as xs is long.
func (r *columnReader) next(xs []int64) bool {
	if r.form > formLine && !r.unpack(xs) {
		return false
	}
	x, step, divisor := r.x, r.step, r.divisor
	switch r.form {
	case formFlat:
		for i := range xs {
			xs[i] = x
		}
	case formLine:
		for i := range xs {
			x += step
			xs[i] = x
		}
		r.x = x
	case formLevel:
		for i := range xs {
			xs[i] = x + xs[i]*divisor
		}
	case formDelta:
		r.accumulate(xs)
	case formDelta2:
		for i := range xs {
			step += xs[i]
			x += step * divisor
			xs[i] = x
		}
		r.x, r.step = x, step
	case formGrid:
		line := r.line
		for i := range xs {
			line += step
			xs[i] = x + (line+xs[i])*divisor
		}
		r.line = line
	}
	return true
}

// nextFloats sets the floats of the next block, which are as many as vs is long. Of deltas, which
// most columns are, the sum and the float are made at once.
// What xs is afterwards means nothing; it is as long as vs.
func (r *columnReader) nextFloats(vs []float64, xs []int64, scale uint8) bool {
	xs = xs[:len(vs)]
	if r.form != formDelta || scale == bitsScale {
		ok := r.next(xs)
		unscale(vs, xs, scale)
		return ok
	}
	if !r.unpack(xs) {
		return false
	}
	x, divisor, signs := r.x, r.divisor, int64(0)
	switch {
	case scale == 0:
		for i := range vs {
			signs |= xs[i]
			x += xs[i] * divisor
			vs[i] = float64(x)
		}
	case scale > timesScale:
		f := tenths[scale-timesScale]
		for i := range vs {
			signs |= xs[i]
			x += xs[i] * divisor
			vs[i] = float64(x) * f
		}
	default:
		f := tens[scale]
		for i := range vs {
			signs |= xs[i]
			x += xs[i] * divisor
			vs[i] = float64(x) / f
		}
	}
	r.x, r.falls = x, r.falls || signs < 0
	return true
}

// accumulate makes integers of differences.
func (r *columnReader) accumulate(xs []int64) {
	x, divisor, signs := r.x, r.divisor, int64(0)
	for i := range xs {
		signs |= xs[i]
		x += xs[i] * divisor
		xs[i] = x
	}
	r.x, r.falls = x, r.falls || signs < 0
}

// blockHead says how a block is packed.
type blockHead struct {
	width, flags uint8
	patches      bool
}

// cutHead reads what a block begins with.
func (r *columnReader) cutHead() (h blockHead, ok bool) {
	if len(r.b) == 0 {
		return h, false
	}
	head := r.b[0]
	r.b = r.b[1:]
	if head&withBase != 0 {
		change, k := binary.Varint(r.b)
		if k <= 0 {
			return h, false
		}
		r.base += change
		r.b = r.b[k:]
	}
	h.patches, h.width = head&withPatches != 0, head&(withPatches-1)
	if h.width > maxWidth {
		if h.flags = h.width - maxWidth; len(r.b) == 0 || h.flags&(withUnary|withSign) == withSign {
			return h, false
		}
		h.width, r.b = r.b[0], r.b[1:]
	}
	return h, true
}

// unpack reads a block.
func (r *columnReader) unpack(xs []int64) bool {
	head, ok := r.cutHead()
	return ok && r.unpackBlock(xs, head)
}

// unpackBlock reads what follows a block's head.
func (r *columnReader) unpackBlock(xs []int64, h blockHead) bool {
	if h.flags&withoutZeros != 0 {
		return r.unpackSparse(xs, h)
	}
	return r.unpackDense(xs, h)
}

func (r *columnReader) unpackDense(xs []int64, h blockHead) bool {
	width, flags := h.width, h.flags
	size := (len(xs)*int(width) + 7) / 8
	if size > len(r.b) || width > maxWidth {
		return false
	}
	base := r.base
	if flags&withSign != 0 {
		base = 0
	}
	if width == 0 {
		for i := range xs {
			xs[i] = base
		}
	} else {
		unpackBits(xs, r.b, uint(width), base)
		r.b = r.b[size:]
	}
	ok := true
	if flags&withUnary != 0 {
		r.b, ok = addUnary(xs, r.b, uint(width))
	}
	if h.patches && ok {
		r.b, ok = patch(xs, r.b, uint(width))
	}
	if flags&withSign != 0 {
		base := r.base
		for i, x := range xs {
			xs[i] = base + (int64(uint64(x)>>1) ^ -(x & 1))
		}
	}
	return ok
}

// cutBitmap reads which of n integers are there.
func (r *columnReader) cutBitmap(n int) (present uint64, ok bool) {
	size := (n + 7) / 8
	if len(r.b) < size {
		return 0, false
	}
	var word [8]byte
	copy(word[:], r.b[:size])
	r.b = r.b[size:]
	present = binary.LittleEndian.Uint64(word[:])
	return present, present != 0 && bits.Len64(present) <= n
}

func (r *columnReader) unpackSparse(xs []int64, h blockHead) bool {
	present, ok := r.cutBitmap(len(xs))
	if !ok {
		return false
	}
	var moves [blockLen]int64
	n := bits.OnesCount64(present)
	if !r.unpackDense(moves[:n], h) {
		return false
	}
	clear(xs)
	for _, x := range moves[:n] {
		xs[bits.TrailingZeros64(present)] = x
		present &= present - 1
	}
	return true
}

// unpackBits sets xs to base plus integers of width bits, of which b has enough. Eight integers
// begin with a whole byte again; as long as b has a word more, they need no look at its end.
func unpackBits(xs []int64, b []byte, width uint, base int64) {
	if unpackNarrow(xs, b, width, base) {
		return
	}
	mask := uint64(1)<<(width&63) - 1
	if width <= 8 {
		for len(xs) >= 8 && len(b) >= 8 {
			w, x := binary.LittleEndian.Uint64(b), xs[:8]
			v := w >> (4 * width & 63)
			x[0], x[4] = base+int64(w&mask), base+int64(v&mask)
			w, v = w>>(width&63), v>>(width&63)
			x[1], x[5] = base+int64(w&mask), base+int64(v&mask)
			w, v = w>>(width&63), v>>(width&63)
			x[2], x[6] = base+int64(w&mask), base+int64(v&mask)
			w, v = w>>(width&63), v>>(width&63)
			x[3], x[7] = base+int64(w&mask), base+int64(v&mask)
			xs, b = xs[8:], b[width:]
		}
	} else {
		for len(xs) >= 8 && uint(len(b)) >= width+8 {
			x := xs[:8]
			x[0] = base + int64(wordAt(b, 0)&mask)
			x[1] = base + int64(wordAt(b, width)&mask)
			x[2] = base + int64(wordAt(b, 2*width)&mask)
			x[3] = base + int64(wordAt(b, 3*width)&mask)
			x[4] = base + int64(wordAt(b, 4*width)&mask)
			x[5] = base + int64(wordAt(b, 5*width)&mask)
			x[6] = base + int64(wordAt(b, 6*width)&mask)
			x[7] = base + int64(wordAt(b, 7*width)&mask)
			xs, b = xs[8:], b[width:]
		}
	}
	bit := uint(0)
	for i := range xs { // Near the end of the chunk.
		var word [8]byte
		copy(word[:], b[bit>>3:])
		w := binary.LittleEndian.Uint64(word[:]) >> (bit & 7)
		xs[i] = base + int64(w&mask)
		bit += width
	}
}

// wordAt is a word that begins at a bit of b, of which at least 57 bits are there.
func wordAt(b []byte, bit uint) uint64 {
	return binary.LittleEndian.Uint64(b[bit>>3:]) >> (bit & 7)
}

// patches are what integers of a block have above the width.
type patches struct {
	b    []byte
	num  int
	high uint
}

// cutPatches reads the patches of a block of n integers and returns what follows them.
func cutPatches(b []byte, n int) (p patches, rest []byte, ok bool) {
	if len(b) < 2 {
		return p, b, false
	}
	p = patches{b[2:], int(b[0]), uint(b[1])}
	size := (p.num*int(patchAt+p.high) + 7) / 8
	if p.num == 0 || p.num > n || p.high == 0 || p.high > 64 || size > len(p.b) {
		return p, b, false
	}
	return p, p.b[size:], true
}

// at is the position of the k-th patch and what it has.
func (p *patches) at(k int) (i int, x int64) {
	bit := uint(k) * (patchAt + p.high)
	v := bitsAt(p.b, bit+patchAt, p.high)
	return int(bitsAt(p.b, bit, patchAt)), int64(v>>1) ^ -int64(v&1)
}

// patch adds what patches have above width.
func patch(xs []int64, b []byte, width uint) ([]byte, bool) {
	p, rest, ok := cutPatches(b, len(xs))
	for k := 0; ok && k < p.num; k++ {
		i, x := p.at(k)
		if i >= len(xs) {
			return b, false
		}
		xs[i] += x << width
	}
	return rest, ok
}

// bitsAt is the integer of width bits, 1 to 64, at a bit of b.
func bitsAt(b []byte, bit, width uint) uint64 {
	from, shift := bit>>3, bit&7
	var low, high uint64
	if from+9 <= uint(len(b)) {
		low, high = binary.LittleEndian.Uint64(b[from:]), uint64(b[from+8])
	} else {
		var word [9]byte
		copy(word[:], b[from:])
		low, high = binary.LittleEndian.Uint64(word[:8]), uint64(word[8])
	}
	return (low>>shift | high<<(64-shift)) & (math.MaxUint64 >> (64 - width))
}
