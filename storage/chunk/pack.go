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

func varintLen(x int64) int {
	return (bits.Len64(uint64(x<<1^x>>63)|1) + 6) / 7
}
