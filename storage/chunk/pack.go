package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The forms of a column of integers x. All but the first two are packed: y = (x-x0) / divisor is
// what they write, less what they predict from the values before it.
const (
	formFlat   = 0 // All are the first; times: all steps are equal.
	formLine   = 1 // All steps are equal.
	formLevel  = 2 // y
	formDelta  = 3 // the step of y
	formDelta2 = 4 // the change of the step of y
	formGrid   = 5 // y less a line from the first to the last one; for times only
	formShared = 7 // Times that lie outside of the chunk.
	divided    = 8 // The divisor is not 1.
)

// blockLen is the number of integers that are packed with one width.
const blockLen = 64

// maxWidth lets one load of 64 bits have a whole integer wherever it begins in a byte.
const maxWidth = 56

// The bits of the first byte of a block above its width. sparse stands in the width's place: zeros
// are left out, a bitmap says where, and the width is in a byte of its own.
const (
	sparse      = 63
	withPatches = 1 << 6
	withBase    = 1 << 7
)

// block says how up to blockLen integers are packed: as their difference to base in width bits,
// with patches where more are needed.
type block struct {
	base    int64
	size    int // In bytes, of all of it.
	width   uint8
	high    uint8 // Bits of a patch above width.
	patches uint8
	sparse  bool
}

// way is a form with what it leaves to be packed.
type way struct {
	form   uint8
	guess  int // In bits, about: to leave out what can't be the smallest.
	rest   []int64
	blocks []block
	size   int
}

// packer plans how to pack a column and then does so. It is to be used again for its memory.
type packer struct {
	form    uint8
	size    int // Of what append will write.
	step    int64
	divisor uint64
	ys      []int64
	ways    [4]way
	best    *way
}

// plan finds the smallest form of xs.
func (p *packer) plan(xs []int64, times bool) {
	p.divisor, p.best = 1, nil
	line := lineOf(xs)
	switch {
	case line && (len(xs) < 2 || xs[1] == xs[0]):
		p.form, p.size = formFlat, 0
		return
	case line:
		p.form, p.step = formLine, xs[1]-xs[0]
		p.size = varintLen(p.step)
		return
	}
	p.reduce(xs)
	n := len(p.ys)
	level, delta, delta2 := &p.ways[0], &p.ways[1], &p.ways[2]
	level.begin(formLevel, n-1)
	delta.begin(formDelta, n-1)
	delta2.begin(formDelta2, n-2)
	p.predict(level, delta, delta2)
	ways := p.ways[:3]
	if times {
		ways = p.ways[:]
		grid := &p.ways[3]
		grid.begin(formGrid, n-1)
		step, at := gridStep(p.ys[n-1], n), int64(0)
		for i, y := range p.ys[1:] {
			at += step
			grid.rest[i] = y - at
			grid.guess += bits.Len64(magnitude(y - at))
		}
	}
	likely := ways[0].guess
	for i := range ways {
		likely = min(likely, ways[i].guess)
	}
	for i := range ways {
		w := &ways[i]
		if w.guess > likely+n/2 {
			continue
		}
		w.plan()
		if w.form == formDelta2 {
			w.size += varintLen(delta.rest[0])
		}
		if p.best == nil || w.size < p.best.size {
			p.best = w
		}
	}
	p.form, p.size = p.best.form, p.best.size
	if p.divisor != 1 {
		p.form |= divided
		p.size += varintLen(int64(p.divisor >> 1))
	}
}

func lineOf(xs []int64) bool {
	if len(xs) < 3 {
		return true
	}
	step, before, bent := xs[1]-xs[0], xs[0], int64(0)
	for _, x := range xs[1:] {
		bent |= x - before - step
		before = x
	}
	return bent == 0
}

// reduce makes ys. The divisor is the greatest that all steps have; mostly it is found to be 1
// after a few of them. All arithmetic wraps around, which the reader's undoes.
func (p *packer) reduce(xs []int64) {
	p.ys = grown(p.ys[:0], len(xs))
	x0 := xs[0]
	var all uint64
	for i, x := range xs {
		p.ys[i] = x - x0
		all |= uint64(x - x0)
	}
	shift := bits.TrailingZeros64(all)
	var odd uint64
	for _, y := range p.ys {
		if y != 0 {
			if odd = gcd(odd, magnitude(y)>>shift); odd == 1 {
				break
			}
		}
	}
	p.divisor = odd << shift
	switch {
	case p.divisor > math.MaxInt64:
		p.divisor = 1
	case odd == 1 && shift > 0:
		for i, y := range p.ys {
			p.ys[i] = y >> shift
		}
	case odd > 1:
		for i, y := range p.ys {
			p.ys[i] = y / int64(p.divisor)
		}
	}
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// predict sets what the forms leave, and guesses its bits. For that it takes the first of each block
// as the base, or for the delta zero, if it often is. The change of the delta needs none, but spreads
// twice as wide as the delta where that is noise.
func (p *packer) predict(level, delta, delta2 *way) {
	ys := p.ys
	before, step := ys[1], ys[1]
	level.rest[0], delta.rest[0] = ys[1], ys[1]
	baseY, baseStep, moves := ys[1], ys[1], 0
	for i, y := range ys[2:] {
		d := y - before
		change := d - step
		if i%blockLen == 0 {
			baseY, baseStep = y, d
		}
		level.rest[i+1], delta.rest[i+1], delta2.rest[i] = y, d, change
		level.guess += bits.Len64(magnitude(y - baseY))
		delta.guess += bits.Len64(magnitude(d - baseStep))
		moves += bits.Len64(magnitude(d))
		delta2.guess += bits.Len64(magnitude(change))
		before, step = y, d
	}
	delta.guess = min(delta.guess, moves)
	delta2.guess += len(ys) / 2
}

// gridStep is the step of a regular line of n times that ends at last.
func gridStep(last int64, n int) int64 {
	steps := int64(n - 1)
	return last/steps + (last%steps+steps/2)/steps
}

func (w *way) begin(form uint8, n int) {
	w.form, w.guess, w.rest = form, 0, grown(w.rest[:0], n)
}

func (w *way) plan() {
	w.blocks, w.size = w.blocks[:0], 0
	base := int64(0)
	for rest := w.rest; len(rest) > 0; {
		n := min(len(rest), blockLen)
		b := planBlock(rest[:n], base)
		w.blocks = append(w.blocks, b)
		w.size += b.size
		base, rest = b.base, rest[n:]
	}
}

// planBlock finds the base and width for a block after one with the base given, and whether to
// leave out zeros: many series stand still at times, and then move far.
func planBlock(xs []int64, before int64) block {
	b := planDense(xs, before)
	bitmap := 1 + (len(xs)+7)/8
	if b.size <= 1+bitmap {
		return b
	}
	var moves [blockLen]int64
	n := 0
	for _, x := range xs {
		moves[n] = x
		if x != 0 {
			n++
		}
	}
	if n == 0 || len(xs)-n < len(xs)/8 {
		return b
	}
	s := planDense(moves[:n], before)
	if s.size += bitmap; s.size < b.size {
		s.sparse = true
		return s
	}
	return b
}

// planDense is planBlock with all integers packed. Bases worth a try are that of the block before,
// which is for free, the least integer, and, against a single outlier such as a counter's reset, the
// second least.
func planDense(xs []int64, before int64) block {
	least, most, second := xs[0], xs[0], int64(math.MaxInt64)
	for _, x := range xs[1:] {
		second = min(second, max(x, least))
		least, most = min(least, x), max(most, x)
	}
	spread := bits.Len64(uint64(most - least))
	if before == least && spread == 0 {
		return block{base: before, size: 1}
	}
	best := block{size: math.MaxInt}
	if before <= most && (before >= least || bits.Len64(uint64(most-before)) <= spread+1) {
		best = fit(xs, before, before)
	}
	if before != least && (before > least || bits.Len64(uint64(most-before)) > spread) {
		if b := fit(xs, least, before); b.size < best.size {
			best = b
		}
	}
	if second > least && second != before && second != math.MaxInt64 &&
		uint64(second-least) >= uint64(most-least)>>3 {
		if b := fit(xs, second, before); b.size < best.size {
			best = b
		}
	}
	return best
}

// fit finds the width for a base. Integers below the base are patched whatever the width.
func fit(xs []int64, base, before int64) block {
	// By length, those below the base from 64 on; each second one apart, since counting twice in one
	// place takes as long as counting in many.
	var count [2][128]uint8
	var above, below uint64 // As long as the longest.
	patches := 0
	for i, x := range xs {
		d := x - base
		sign := d >> 63
		n := bits.Len64(uint64(d ^ sign))
		count[i&1][n&63|int(sign)&64]++
		above |= uint64(d &^ sign)
		below |= uint64(^d & sign)
		patches -= int(sign)
	}
	longest, patchLongest := bits.Len64(above), bits.Len64(below)
	front := 1
	if base != before {
		front += varintLen(base - before)
	}
	best := block{base: base, size: math.MaxInt}
	for width := longest; width >= 0 && 2*patches <= len(xs)+2; width-- {
		if width <= maxWidth {
			size, high := front+(len(xs)*width+7)/8, 0
			if patches > 0 {
				high = max(longest-width, patchLongest-width, 0) + 1
				size += 2 + (patches*(patchAt+high)+7)/8
			}
			if size < best.size {
				best = block{
					base: base, size: size, width: uint8(width), high: uint8(high), patches: uint8(patches),
				}
			}
		}
		patches += int(count[0][width]) + int(count[1][width])
	}
	if best.size == math.MaxInt { // Too many for a width that may be: all are patches.
		patches := len(xs) - int(count[0][0]) - int(count[1][0])
		best.patches, best.high = uint8(patches), 64
		best.size = front + 2 + (patches*(patchAt+64)+7)/8
	}
	return best
}

func varintLen(x int64) int {
	return (bits.Len64(uint64(x<<1^x>>63)|1) + 6) / 7
}

// append appends the column as planned.
func (p *packer) append(dst []byte) []byte {
	switch p.form {
	case formFlat:
		return dst
	case formLine:
		return binary.AppendVarint(dst, p.step)
	}
	if p.divisor != 1 {
		dst = binary.AppendUvarint(dst, p.divisor)
	}
	if p.best.form == formDelta2 {
		dst = binary.AppendVarint(dst, p.ys[1])
	}
	base := int64(0)
	rest := p.best.rest
	for i := range p.best.blocks {
		n := min(len(rest), blockLen)
		dst = p.best.blocks[i].append(dst, rest[:n], base)
		base, rest = p.best.blocks[i].base, rest[n:]
	}
	return dst
}

func (b *block) append(dst []byte, xs []int64, before int64) []byte {
	head := b.width
	if b.sparse {
		head = sparse
	}
	if b.patches > 0 {
		head |= withPatches
	}
	if b.base != before {
		head |= withBase
	}
	dst = append(dst, head)
	if b.base != before {
		dst = binary.AppendVarint(dst, b.base-before)
	}
	w := bitWriter{b: dst}
	var moves [blockLen]int64
	if b.sparse {
		w.b = append(w.b, b.width)
		xs = w.bitmap(moves[:0], xs)
	}
	if b.width > 0 {
		mask := uint64(1)<<b.width - 1
		for _, x := range xs {
			w.put(uint64(x-b.base)&mask, uint(b.width))
		}
		w.align()
	}
	if b.patches == 0 {
		return w.b
	}
	w.b = append(w.b, b.patches, b.high)
	for i, x := range xs {
		if high := (x - b.base) >> b.width; high != 0 {
			w.put(uint64(i), patchAt)
			w.put(uint64(high<<1^high>>63), uint(b.high))
		}
	}
	w.align()
	return w.b
}

// bitmap writes where xs are not zero, and appends those to dst.
func (w *bitWriter) bitmap(dst, xs []int64) []int64 {
	for _, x := range xs {
		bit := uint64(0)
		if x != 0 {
			dst = append(dst, x)
			bit = 1
		}
		w.put(bit, 1)
	}
	w.align()
	return dst
}

// patchAt is the number of bits of a patch's position.
const patchAt = 6

// bitWriter writes bits from the lowest of each byte on.
type bitWriter struct {
	b   []byte
	acc uint64
	n   uint // Bits in acc, less than 64.
}

// put writes the lowest width bits of x, of which no higher one is set.
func (w *bitWriter) put(x uint64, width uint) {
	w.acc |= x << w.n
	if w.n += width; w.n >= 64 {
		w.b = binary.LittleEndian.AppendUint64(w.b, w.acc)
		w.n -= 64
		w.acc = x >> (width - w.n)
	}
}

// align goes on with the next byte.
func (w *bitWriter) align() {
	for ; w.n > 0; w.n -= min(w.n, 8) {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
	}
	w.acc = 0
}
