package eval

import (
	"math"
	"slices"

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
	w.spell()
	w.findRuns()
	sums := w.integerSums()
	var xs abscissas
	again := false // These are of the stretch.
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
		if even := i >= w.even.from && i < w.even.to; !even || !again { // They are the same for the whole stretch.
			w.abscissas = xs.of(w.abscissas, w.times[lo:hi], zero(i))
			again = even
		}
		y := math.NaN()
		if len(sums) > 0 {
			y = sums[hi] - sums[lo]
		}
		slope, at, done := xs.regress(values, y)
		if !done {
			slope, at = regress(w.times[lo:hi], values, zero(i))
		}
		out[i] = result(slope, at)
	}
}

// integerSums returns the sum of all values up to each one, and at first zero, if the values are
// integers and no sum of them is too large to be exact: the difference of two is what the engine
// comes to for the values between. Else it returns none.
func (w *work) integerSums() []float64 {
	w.sums = append(w.sums[:0], 0)
	sum, magnitude := 0.0, 0.0
	for _, v := range w.values {
		if v != math.Trunc(v) {
			return nil
		}
		sum += v
		magnitude += math.Abs(v)
		w.sums = append(w.sums, sum)
	}
	if !(magnitude <= 1<<53) {
		return nil
	}
	return w.sums
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

// abscissas are the times of a window in seconds from zero, and their sums. What sums lose to
// rounding is found without a look at which side is greater, and is the same to the bit as the
// engine's unless something is not finite.
type abscissas struct {
	x        []float64
	sum, of2 float64
}

func (a *abscissas) of(x []float64, times []int64, zero int64) []float64 {
	var sum, sumLost, of2, of2Lost float64
	x = slices.Grow(x[:0], len(times))[:len(times)]
	for i, t := range times {
		s := float64(t-zero) / 1000
		sum, sumLost = addExactly(sum, s, sumLost)
		of2, of2Lost = addExactly(of2, float64(s*s), of2Lost)
		x[i] = s
	}
	a.x, a.sum, a.of2 = x, sum+sumLost, of2+of2Lost
	return x
}

// regress is the function of that name for these times and the sum of the values, NaN if it is not
// known. It returns false where something is not finite.
func (a *abscissas) regress(values []float64, y float64) (slope, at float64, ok bool) {
	var sum, lost, xy, xyLost float64
	x := a.x[:len(values)]
	if y == y {
		sum = y
		for i, y := range values {
			xy, xyLost = addExactly(xy, float64(x[i]*y), xyLost)
		}
	} else {
		for i, y := range values {
			sum, lost = addExactly(sum, y, lost)
			xy, xyLost = addExactly(xy, float64(x[i]*y), xyLost)
		}
	}
	sum, xy = sum+lost, xy+xyLost
	if sum-sum != 0 || xy-xy != 0 { // NaN where one is not finite.
		return 0, 0, false
	}
	slope, at = line(float64(len(values)), a.sum, sum, xy, a.of2)
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
