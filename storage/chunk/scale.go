package chunk

import (
	"math"
)

// The scales of a Decimal chunk's values. Most floats were made from decimal integers, in one of
// two ways that round differently: i/10^e, as the parser of "1.23" and careful exporters do, and
// i*1e-e, as exporters do that turn milliseconds into seconds. A value that does not come back bit
// by bit is an exception; where many don't, the floats' own bits are the integers.
const (
	// Up to maxExponent the scale is e of i/10^e, from timesScale on it is that plus e of i*1e-e.
	maxExponent    = 18
	timesScale     = 32
	bitsScale      = 64
	withExceptions = 128
)

// tens are exact, tenths are the floats nearest to 10^-e.
var (
	tens = [maxExponent + 1]float64{
		1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
	}
	tenths = [maxExponent + 1]float64{
		1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15,
		1e-16, 1e-17, 1e-18,
	}
)

func validScale(scale uint8) bool {
	return scale <= maxExponent || scale > timesScale && scale <= timesScale+maxExponent ||
		scale == bitsScale
}

// unscale makes floats of integers.
func unscale(vs []float64, xs []int64, scale uint8) {
	xs = xs[:len(vs)]
	switch {
	case scale == 0:
		for i := range vs {
			vs[i] = float64(xs[i])
		}
	case scale == bitsScale:
		for i := range vs {
			vs[i] = math.Float64frombits(uint64(xs[i]))
		}
	case scale > timesScale:
		f := tenths[scale-timesScale]
		for i := range vs {
			vs[i] = float64(xs[i]) * f
		}
	default:
		f := tens[scale]
		for i := range vs {
			vs[i] = float64(xs[i]) / f
		}
	}
}

// unscaled makes a float of an integer.
func unscaled(x int64, scale uint8) float64 {
	switch {
	case scale == bitsScale:
		return math.Float64frombits(uint64(x))
	case scale > timesScale:
		return float64(x) * tenths[scale-timesScale]
	}
	return float64(x) / tens[scale]
}

// scaled is a column of values as integers, and how these are packed.
type scaled struct {
	scale uint8
	ints  []int64
	odd   []int32 // The positions of exceptions; their integer repeats the one before.
	packer
}

// reset makes room for n integers.
func (s *scaled) reset(scale uint8, n int) {
	s.scale, s.odd = scale, s.odd[:0]
	s.ints = grown(s.ints[:0], n)
}

// exceptionBytes is about what an exception takes.
const exceptionBytes = 9

// weigh plans the packing and returns about how many bytes the values take.
func (s *scaled) weigh() int {
	s.plan(s.ints, false)
	return s.size + exceptionBytes*len(s.odd)
}

// scaleValues scales the values in the way that packs best.
func (e *encoder) scaleValues(vs []float64) *scaled {
	best, other := &e.by[0], &e.by[1]
	if constant(vs) {
		vs = vs[:1]
	}
	good := best.divide(vs)
	if !good || len(best.odd) > len(vs)/32 {
		if exp, ok := timesExponent(vs, best.odd); ok {
			if other.times(vs, exp); !good || len(other.odd) < len(best.odd) {
				best, other, good = other, best, true
			}
		}
	}
	if !good || len(best.odd) == len(vs) {
		best.bits(vs)
	}
	size := best.weigh()
	if less := best.cheaper(); less < best.scale {
		other.fill(vs, int(less))
		if n := other.weigh(); n < size {
			best, other, size = other, best, n
		}
	}
	if len(best.odd) > len(vs)/16 {
		if other.bits(vs); other.weigh() < size {
			best = other
		}
	}
	return best
}

func constant(vs []float64) bool {
	first, differ := math.Float64bits(vs[0]), uint64(0)
	for _, v := range vs {
		differ |= math.Float64bits(v) ^ first
	}
	return differ == 0
}

func same(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// bits takes the floats' bits for integers.
func (s *scaled) bits(vs []float64) {
	s.reset(bitsScale, len(vs))
	for i, v := range vs {
		s.ints[i] = int64(math.Float64bits(v))
	}
}

// round is an integer nearest to x, and whether all integers of its size are floats.
func round(x float64) (int64, bool) {
	if !(x > -1<<53 && x < 1<<53) {
		return 0, false
	}
	return int64(x + math.Copysign(0.5, x)), true
}

// divide scales by the least power of ten such that i/10^e is each value but the exceptions. It
// returns false if too many of the first values are no decimals.
func (s *scaled) divide(vs []float64) bool {
	n := s.integers(vs)
	if n == len(vs) {
		return true
	}
	e, ok := dividedExponent(vs[n:])
	if ok {
		s.fill(vs, e)
	}
	return ok
}

// integers sets ints while the values are integers, and returns how many are.
func (s *scaled) integers(vs []float64) int {
	s.reset(0, len(vs))
	ints := s.ints[:len(vs)]
	for i, v := range vs {
		x := int64(v)
		if !same(float64(x), v) || x<<10>>10 != x {
			return i
		}
		ints[i] = x
	}
	return len(vs)
}

// dividedExponent finds the exponent for divide. One pass is enough: what is exact with one
// exponent is so with a greater one, since both are the same quotient, rounded once.
func dividedExponent(vs []float64) (int, bool) {
	e, failed := 0, 0
	for i, v := range vs {
		for next := e; ; next++ {
			if next > maxExponent {
				if failed++; failed > 8 && failed > i/4 {
					return e, false
				}
				break
			}
			x, ok := round(v * tens[next])
			if !ok { // Also NaN and infinities, which say nothing about the others.
				break
			}
			if same(float64(x)/tens[next], v) {
				e = next
				break
			}
		}
	}
	return e, true
}

// fill scales by 10^e; what is not exact is an exception.
func (s *scaled) fill(vs []float64, e int) {
	s.reset(uint8(e), len(vs))
	f, before := tens[e], int64(0)
	for i, v := range vs {
		x, ok := round(v * f)
		if !ok || !same(float64(x)/f, v) {
			s.odd = append(s.odd, int32(i))
			x = before
		}
		s.ints[i], before = x, x
	}
	s.smoothFront()
}

// times is fill for i*1e-e.
func (s *scaled) times(vs []float64, e int) {
	s.reset(timesScale+uint8(e), len(vs))
	f, up, before := tenths[e], tens[e], int64(0)
	for i, v := range vs {
		x, ok := round(v * up)
		if !ok || !same(float64(x)*f, v) {
			s.odd = append(s.odd, int32(i))
			x = before
		}
		s.ints[i], before = x, x
	}
	s.smoothFront()
}

// smoothFront lets exceptions at the front repeat the first other value.
func (s *scaled) smoothFront() {
	n := 0
	for n < len(s.odd) && int(s.odd[n]) == n {
		n++
	}
	if n < len(s.ints) {
		for i := range n {
			s.ints[i] = s.ints[n]
		}
	}
}

// timesExponent is the least exponent with which most of the exceptions, going by the first of
// them, are i*1e-e.
func timesExponent(vs []float64, odd []int32) (int, bool) {
	odd = odd[:min(len(odd), 16)]
	best, most := 0, len(odd)*3/4
	for e := 1; e <= maxExponent; e++ {
		hits := 0
		for _, i := range odd {
			if x, ok := round(vs[i] * tens[e]); ok && same(float64(x)*tenths[e], vs[i]) {
				hits++
			}
		}
		if hits > most {
			best, most = e, hits
		}
	}
	return best, best > 0
}

// cheaper guesses, of a column scaled by divide, whether it would be smaller with a lower exponent:
// each power of ten takes 3.3 bits of each value, where few need it these are better exceptions.
func (s *scaled) cheaper() uint8 {
	if s.scale == 0 || s.scale > maxExponent {
		return s.scale
	}
	many := 0
	for _, x := range s.ints[:min(len(s.ints), 16)] {
		if x%10 != 0 {
			many++
		}
	}
	if many > 4 {
		return s.scale
	}
	var need [maxExponent + 1]int
	for _, x := range s.ints {
		e := s.scale
		for e > 0 && x%10 == 0 {
			x /= 10
			e--
		}
		need[e]++
	}
	n := len(s.ints)
	best, least, over := s.scale, int(s.scale)*n*10/3, 0
	for e := s.scale; e > 0; e-- {
		over += need[e]
		if cost := over*8*exceptionBytes + int(e-1)*n*10/3; cost < least {
			best, least = e-1, cost
		}
	}
	return best
}
