package frame

import "math"

// A scale is the unit in which a series counts: below mulScale, values are n / 10^scale, from there
// on n × 10^-(scale-mulScale), which rounds in another way. Most series have one: counters and
// gauges of whole numbers, of hundredths, milliseconds times 0.001.
type scale uint8

const (
	mulScale  scale = 16
	maxDigits scale = 9
)

const (
	// maxUnits bounds n, so that adding and subtracting turns a float into an integer.
	maxUnits = 1 << 50
	rounder  = 3 << 51
)

// powers of ten to multiply a value with, and what to divide or multiply units with.
var up, down = func() (up, down [32]float64) {
	for i := range up {
		up[i], down[i] = 1, 1
	}
	p := 1.0
	for i := range maxDigits + 1 {
		up[i], down[i] = p, p
		up[mulScale+i], down[mulScale+i] = p, 1/p
		p *= 10
	}
	return up, down
}()

// units is about how many of the scale's units v is; ok is false where that is too many.
func (s scale) units(v float64) (n int64, ok bool) {
	x := float64(v * up[s&31])
	if !(x > -maxUnits && x < maxUnits) { // NaN is neither.
		return 0, false
	}
	return int64(math.Float64bits(float64(x+rounder))) - rounderBits, true
}

var rounderBits = int64(math.Float64bits(rounder))

// value is that of n units. The conversions keep compilers from joining steps, which would round
// differently from machine to machine.
func (s scale) value(n int64) float64 {
	if s < mulScale {
		return float64(float64(n) / down[s])
	}
	return float64(float64(n) * down[s&31])
}

// holds reports whether v is a number of units to the bit.
func (s scale) holds(v float64) bool {
	n, ok := s.units(v)
	return ok && math.Float64bits(s.value(n)) == math.Float64bits(v)
}

// learn is the scale of a series of scale s that met v: the finest of both. It stays what it is
// where v has none.
func (s scale) learn(v float64) scale {
	if s.holds(v) || !(math.Abs(v) < maxUnits) {
		return s
	}
	for _, first := range [2]scale{0, mulScale} {
		from := first + 1
		if s >= first && s < first+maxDigits {
			from = s + 1
		}
		for e := from; e <= first+maxDigits; e++ {
			if e.holds(v) {
				return e
			}
		}
	}
	return s
}
