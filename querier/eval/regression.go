package eval

import (
	"math"

	"github.com/barograph-db/barograph/querier/partial"
)

// slope is deriv.
func (w *work) slope(out []float64) {
	w.fit(out, func(i int) int64 { return w.times[w.lo[i]] }, func(slope, _ float64) float64 { return slope })
}

// predictLinear goes on with the line for so many seconds from the time of the step.
func predictLinear(numbers []float64) kernel {
	if len(numbers) != 1 {
		return nil
	}
	return func(w *work, out []float64) {
		w.fit(out, func(i int) int64 { return w.ends[i] + w.offset },
			func(slope, at float64) float64 { return float64(slope*numbers[0]) + at })
	}
}

// fit fits a line to what each step sees, by least squares, and takes the result from its slope and
// its value at zero.
func (w *work) fit(out []float64, zero func(i int) int64, result func(slope, at float64) float64) {
	w.findRuns()
	var xs abscissas
	for i, hi := range w.hi {
		lo := w.lo[i]
		if out[i] = partial.Absent; hi-lo < 2 {
			continue
		}
		values := w.values[lo:hi]
		if w.marks[hi-1] <= lo { // They are all the same.
			if out[i] = result(0, values[0]); math.IsInf(values[0], 0) {
				out[i] = math.NaN()
			}
			continue
		}
		done := false
		if i >= w.even.from && i < w.even.to {
			if len(xs.x) == 0 { // They are the same for the whole stretch.
				w.abscissas = xs.of(w.abscissas, w.times[lo:hi], zero(i))
			}
			var slope, at float64
			slope, at, done = xs.regress(values)
			out[i] = result(slope, at)
		}
		if !done {
			out[i] = result(regress(w.times[lo:hi], values, zero(i)))
		}
	}
}

// findRuns sets marks to where the run of equal values begins that each value belongs to.
func (w *work) findRuns() {
	w.marks = append(w.marks[:0], make([]int32, len(w.values))...)
	for i := 1; i < len(w.values); i++ {
		if w.marks[i] = int32(i); w.values[i] == w.values[i-1] {
			w.marks[i] = w.marks[i-1]
		}
	}
}

// abscissas are the times of a window in seconds from zero, and their sums.
type abscissas struct {
	x        []float64
	sum, of2 float64
}

func (a *abscissas) of(x []float64, times []int64, zero int64) []float64 {
	var sum, sumComp, of2, of2Comp float64
	x = x[:0]
	for _, t := range times {
		s := float64(t-zero) / 1000
		sum, sumComp = partial.Kahan(s, sum, sumComp)
		of2, of2Comp = partial.Kahan(float64(s*s), of2, of2Comp)
		x = append(x, s)
	}
	a.x, a.sum, a.of2 = x, sum+sumComp, of2+of2Comp
	return x
}

// regress is the function of that name for these times. What a sum loses to rounding is found
// without a look at which side is greater (Knuth's two-sum), and is the same to the bit unless
// something is not finite: then it returns false.
func (a *abscissas) regress(values []float64) (slope, at float64, ok bool) {
	var y1, y1c, xy, xyc float64
	x := a.x[:len(values)]
	for i, y := range values {
		t := y1 + y
		part := t - y1
		y1c += (y1 - (t - part)) + (y - part)
		y1 = t
		p := float64(x[i] * y)
		t = xy + p
		part = t - xy
		xyc += (xy - (t - part)) + (p - part)
		xy = t
	}
	y1, xy = y1+y1c, xy+xyc
	if y1-y1 != 0 || xy-xy != 0 { // NaN where one is not finite.
		return 0, 0, false
	}
	slope, at = line(float64(len(values)), a.sum, y1, xy, a.of2)
	return slope, at, true
}

// regress fits a line. All sums are compensated, in the order of the engine.
func regress(times []int64, values []float64, zero int64) (slope, at float64) {
	var x1, y1, xy, x2, x1c, y1c, xyc, x2c float64
	for i, y := range values {
		x := float64(times[i]-zero) / 1000
		x1, x1c = partial.Kahan(x, x1, x1c)
		y1, y1c = partial.Kahan(y, y1, y1c)
		xy, xyc = partial.Kahan(float64(x*y), xy, xyc)
		x2, x2c = partial.Kahan(float64(x*x), x2, x2c)
	}
	return line(float64(len(values)), x1+x1c, y1+y1c, xy+xyc, x2+x2c)
}

// line is the line through n points, by their sums.
func line(n, x1, y1, xy, x2 float64) (slope, at float64) {
	slope = (xy - float64(x1*y1)/n) / (x2 - float64(x1*x1)/n)
	return slope, y1/n - float64(slope*x1)/n
}
