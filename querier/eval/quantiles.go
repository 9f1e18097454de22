package eval

import (
	"cmp"
	"math"
	"slices"

	"github.com/barograph-db/barograph/querier/partial"
)

// quantileOverTime keeps the values of the window sorted, NaN first, from one step to the next.
func quantileOverTime(numbers []float64) kernel {
	if len(numbers) != 1 || !(numbers[0] >= 0 && numbers[0] <= 1) {
		return nil
	}
	return func(w *work, out []float64) {
		w.slide(func(i int, sorted []float64) { out[i] = quantile(numbers[0], sorted) }, out)
	}
}

// slide calls do with the sorted values of each window that has any; without, out is Absent.
func (w *work) slide(do func(step int, sorted []float64), out []float64) {
	sorted := w.sorted[:0]
	var from, to int32 // What is in sorted.
	for i, hi := range w.hi {
		lo := w.lo[i]
		if hi <= lo {
			out[i] = partial.Absent
			continue
		}
		if moved := int64(hi-to) + int64(lo-from); lo >= to || moved > int64(hi-lo)/4 {
			sorted = append(sorted[:0], w.values[lo:hi]...)
			slices.Sort(sorted)
		} else {
			for _, v := range w.values[from:lo] {
				at, _ := slices.BinarySearchFunc(sorted, v, cmp.Compare[float64])
				sorted = slices.Delete(sorted, at, at+1)
			}
			for _, v := range w.values[to:hi] {
				at, _ := slices.BinarySearchFunc(sorted, v, cmp.Compare[float64])
				sorted = slices.Insert(sorted, at, v)
			}
		}
		from, to = lo, hi
		do(i, sorted)
	}
	w.sorted = sorted
}

// quantile is the value at a place in sorted ones, between two of them in proportion.
func quantile(q float64, sorted []float64) float64 {
	rank := q * float64(len(sorted)-1)
	below := math.Floor(rank)
	weight := rank - below
	v := sorted[int(below)]
	if weight == 0 {
		return v
	}
	return float64(v*(1-weight)) + float64(sorted[min(int(below)+1, len(sorted)-1)]*weight)
}

// absoluteDeviation is the median of what the values differ from their median.
func (w *work) absoluteDeviation(out []float64) {
	var distances []float64
	w.slide(func(i int, sorted []float64) {
		if math.IsNaN(sorted[0]) {
			out[i] = math.NaN()
			return
		}
		median := quantile(0.5, sorted)
		distances = distances[:0]
		for _, v := range sorted {
			distances = append(distances, math.Abs(v-median))
		}
		slices.Sort(distances)
		out[i] = quantile(0.5, distances)
	}, out)
}
