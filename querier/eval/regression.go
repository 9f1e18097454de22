package eval

import (
	"math"

	"github.com/barograph-db/barograph/querier/partial"
)

// slope is deriv.
func (w *work) slope(out []float64) {
	for i, hi := range w.hi {
		lo := w.lo[i]
		if out[i] = partial.Absent; hi-lo >= 2 {
			out[i], _ = regress(w.times[lo:hi], w.values[lo:hi], w.times[lo])
		}
	}
}

// predictLinear goes on with the line for so many seconds from the time of the step.
func predictLinear(numbers []float64) kernel {
	if len(numbers) != 1 {
		return nil
	}
	return func(w *work, out []float64) {
		for i, hi := range w.hi {
			lo := w.lo[i]
			if out[i] = partial.Absent; hi-lo >= 2 {
				slope, at := regress(w.times[lo:hi], w.values[lo:hi], w.ends[i]+w.offset)
				out[i] = float64(slope*numbers[0]) + at
			}
		}
	}
}

// regress fits a line by least squares. It returns its slope and its value at zero. All sums are
// compensated, in the order of the engine.
func regress(times []int64, values []float64, zero int64) (slope, at float64) {
	var x1, y1, xy, x2, x1c, y1c, xyc, x2c float64
	constant := true
	for i, y := range values {
		constant = constant && y == values[0] || i == 0
		x := float64(times[i]-zero) / 1000
		x1, x1c = partial.Kahan(x, x1, x1c)
		y1, y1c = partial.Kahan(y, y1, y1c)
		xy, xyc = partial.Kahan(float64(x*y), xy, xyc)
		x2, x2c = partial.Kahan(float64(x*x), x2, x2c)
	}
	if constant {
		if math.IsInf(values[0], 0) {
			return math.NaN(), math.NaN()
		}
		return 0, values[0]
	}
	x1, y1, xy, x2 = x1+x1c, y1+y1c, xy+xyc, x2+x2c
	n := float64(len(values))
	slope = (xy - float64(x1*y1)/n) / (x2 - float64(x1*x1)/n)
	return slope, y1/n - float64(slope*x1)/n
}
