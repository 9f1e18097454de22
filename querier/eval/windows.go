package eval

import (
	"math"

	"github.com/barograph-db/barograph/querier/partial"
)

func (w *work) last(out []float64) {
	for i, hi := range w.hi {
		if out[i] = partial.Absent; hi > w.lo[i] {
			out[i] = w.values[hi-1] // A stale marker is Absent by itself.
		}
	}
}

func (w *work) lastTimes(out []float64) {
	for i, hi := range w.hi {
		if out[i] = partial.Absent; hi > w.lo[i] && !partial.IsAbsent(w.values[hi-1]) {
			out[i] = float64(w.at(int(hi)-1)) / 1000
		}
	}
}

func (w *work) first(out []float64) {
	for i, lo := range w.lo {
		if out[i] = partial.Absent; w.hi[i] > lo {
			out[i] = w.values[lo]
		}
	}
}

func (w *work) count(out []float64) {
	for i, hi := range w.hi {
		if out[i] = partial.Absent; hi > w.lo[i] {
			out[i] = float64(hi - w.lo[i])
		}
	}
}

func (w *work) present(out []float64) {
	for i, hi := range w.hi {
		if out[i] = partial.Absent; hi > w.lo[i] {
			out[i] = 1
		}
	}
}

// windowed makes a kernel of a function of the values of a window of at least so many.
func windowed(least int, f func(vs []float64) float64) kernel {
	return func(w *work, out []float64) {
		for i, hi := range w.hi {
			out[i] = partial.Absent
			if seen := w.values[w.lo[i]:hi]; len(seen) >= least {
				out[i] = f(seen)
			}
		}
	}
}

func deviation(vs []float64) float64 { return math.Sqrt(variance(vs)) }

// variance is Welford's, with the sums compensated.
func variance(vs []float64) float64 {
	var count, mean, meanComp, aux, auxComp float64
	for _, v := range vs {
		count++
		delta := v - (mean + meanComp)
		mean, meanComp = partial.Kahan(delta/count, mean, meanComp)
		aux, auxComp = partial.Kahan(float64(delta*(v-(mean+meanComp))), aux, auxComp)
	}
	return (aux + auxComp) / count
}

// doubleSmoothing is Holt's linear smoothing.
func doubleSmoothing(numbers []float64) kernel {
	if len(numbers) != 2 {
		return nil
	}
	smooth, trend := numbers[0], numbers[1]
	if !(smooth > 0 && smooth < 1 && trend > 0 && trend < 1) {
		return nil
	}
	return windowed(2, func(vs []float64) float64 {
		var before float64
		s, b := vs[0], vs[1]-vs[0]
		for i, v := range vs[1:] {
			if i > 0 {
				b = float64(trend*(s-before)) + float64((1-trend)*b)
			}
			before, s = s, float64(smooth*v)+float64((1-smooth)*(s+b))
		}
		return s
	})
}

// extreme is the least value of each window, or the greatest with a sign of -1. w.marks has the
// candidates: positions in order, each of a value less than all after it.
func (w *work) extreme(out []float64, sign float64) {
	marks, from, next := w.marks[:0], 0, int32(0)
	for i, hi := range w.hi {
		lo := w.lo[i]
		if hi <= lo {
			out[i] = partial.Absent
			continue
		}
		for next = max(next, lo); next < hi; next++ {
			v := w.values[next] * sign
			if v != v {
				continue
			}
			for len(marks) > from && w.values[marks[len(marks)-1]]*sign > v {
				marks = marks[:len(marks)-1]
			}
			marks = append(marks, next)
		}
		for from < len(marks) && marks[from] < lo {
			from++
		}
		if out[i] = w.values[hi-1]; from < len(marks) { // Else all are NaN.
			out[i] = w.values[marks[from]]
		}
	}
	w.marks = marks
}
