package eval

import (
	"math"

	"github.com/barograph-db/barograph/querier/partial"
)

// The engine adds each window anew, with compensation, so that its sums are nearly always those of
// exact arithmetic, rounded. A running sum of plain floats would not be. Where windows overlap much,
// totals holds the sum of all values up to each one in two floats, twice the digits, and a window is
// the difference of two of these: again that of exact arithmetic, rounded. It loses digits where a
// window's sum is tiny beside what the series adds up to. Such windows are added anew, as are all of
// a series with values that are infinite or NaN.

// total is the sum of the values up to one, and what rounding took from it.
type total struct{ sum, lost float64 }

// overlapPays is how often a sample is to be seen, on average, for totals to pay.
const overlapPays = 3

// findTotals sets w.totals, one more than there are values. It returns the least sum that a
// difference of two gives well enough; an infinite one says that none does.
func (w *work) findTotals() float64 {
	if w.seen < int64(overlapPays*len(w.values)) {
		return math.Inf(1)
	}
	w.totals = append(w.totals[:0], total{})
	var t total
	magnitude := 0.0
	for _, v := range w.values {
		t.sum, t.lost = addExactly(t.sum, v, t.lost)
		magnitude += math.Abs(v)
		w.totals = append(w.totals, t)
	}
	n := float64(len(w.values))
	least := magnitude * n * n * 0x1p-62
	if !(magnitude < math.MaxFloat64/4) {
		return math.Inf(1)
	}
	return least
}

// addExactly adds v to sum and what is lost of that to lost.
func addExactly(sum, v, lost float64) (float64, float64) {
	t := sum + v
	part := t - sum
	return t, lost + ((sum - (t - part)) + (v - part))
}

// sumOf is the sum of the values from lo up to hi.
func (w *work) sumOf(lo, hi int32, least float64) (float64, bool) {
	if math.IsInf(least, 1) {
		return 0, false
	}
	a, b := w.totals[lo], w.totals[hi]
	sum, lost := addExactly(b.sum, -a.sum, b.lost-a.lost)
	sum += lost
	return sum, math.Abs(sum) >= least
}

func (w *work) sum(out []float64) {
	w.summed(out, func(sum, _ float64) float64 { return sum }, add)
}

func (w *work) avg(out []float64) {
	w.summed(out, func(sum, n float64) float64 { return sum / n }, mean)
}

// summed takes the result of each window from its sum and number of values, or where the sum is not
// exact enough, from the values.
func (w *work) summed(out []float64, of func(sum, n float64) float64, exact func(vs []float64) float64) {
	least := w.findTotals()
	for i, hi := range w.hi {
		lo := w.lo[i]
		if hi <= lo {
			out[i] = partial.Absent
		} else if sum, ok := w.sumOf(lo, hi, least); ok {
			out[i] = of(sum, float64(hi-lo))
		} else {
			out[i] = exact(w.values[lo:hi])
		}
	}
}

// add is the sum as the engine computes it.
func add(vs []float64) float64 {
	var sum, comp float64
	for _, v := range vs {
		sum, comp = partial.Kahan(v, sum, comp)
	}
	if !math.IsInf(sum, 0) {
		sum += comp
	}
	return sum
}

// mean is the sum over the number, as long as the sum is within the range of floats. From there on
// the mean itself is kept.
func mean(vs []float64) float64 {
	sum, comp := vs[0], 0.0
	for i, v := range vs[1:] {
		next, c := partial.Kahan(v, sum, comp)
		if math.IsInf(next, 0) {
			return runningMean(sum/float64(i+1), comp/float64(i+1), i+1, vs[i+1:])
		}
		sum, comp = next, c
	}
	n := float64(len(vs))
	return float64(sum/n) + float64(comp/n)
}

// runningMean goes on from the mean of n values.
func runningMean(mean, comp float64, n int, vs []float64) float64 {
	for _, v := range vs {
		n++
		count := float64(n)
		q := (count - 1) / count
		mean, comp = partial.Kahan(v/count, float64(q*mean), float64(q*comp))
	}
	return mean + comp
}
