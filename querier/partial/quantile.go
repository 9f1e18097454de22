package partial

import (
	"math"
	"math/bits"
	"slices"
)

func (c *Column) addRow(vs []float64) { c.rows = append(c.rows, slices.Clone(vs)) }

// band is how many steps are turned from rows to columns at a time: as many as share a cache line.
const band = 8

// finishRows looks at what all rows have at a step, for each step.
func (c *Column) finishRows() []float64 {
	out := absent(c.Steps)
	var columns [band][]float64
	for from := 0; from < c.Steps; from += band {
		to := min(from+band, c.Steps)
		for i := range columns {
			columns[i] = columns[i][:0]
		}
		for _, row := range c.rows {
			for i, v := range row[from:to] {
				if !IsAbsent(v) {
					columns[i] = append(columns[i], v)
				}
			}
		}
		for i := range to - from {
			if len(columns[i]) > 0 {
				out[from+i] = quantile(c.Params[from+i], columns[i])
			}
		}
	}
	return out
}

// quantile is between the two values next to rank q among all. It moves the values.
func quantile(q float64, vs []float64) float64 {
	switch {
	case math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	}
	rank := q * (float64(len(vs)) - 1)
	lower := math.Floor(rank)
	weight := rank - lower
	i := int(lower)
	low := selectAt(vs, i)
	if weight == 0 {
		return low
	}
	high := low
	if i+1 < len(vs) {
		high = selectAt(vs[i+1:], 0)
	}
	return low*(1-weight) + high*weight
}

// selectAt returns what vs[k] would be if it were sorted, NaN first. It moves the values so that
// none after k is less than those up to k.
func selectAt(vs []float64, k int) float64 {
	nans := 0
	for i, v := range vs {
		if math.IsNaN(v) {
			vs[i], vs[nans] = vs[nans], v
			nans++
		}
	}
	if k < nans {
		return vs[k]
	}
	lo, hi := nans, len(vs)-1
	for rounds := 2 * bits.Len(uint(len(vs))); lo < hi; rounds-- {
		if rounds == 0 { // The pivots were bad each time.
			slices.Sort(vs[lo : hi+1])
			break
		}
		i, j := partition(vs, lo, hi)
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return vs[k]
		}
	}
	return vs[k]
}

// partition returns i > j such that those up to j are not greater, those from i on not less than
// any between.
func partition(vs []float64, lo, hi int) (i, j int) {
	a, b, c := vs[lo], vs[lo+(hi-lo)/2], vs[hi]
	pivot := max(min(a, b), min(max(a, b), c))
	i, j = lo, hi
	for i <= j {
		for vs[i] < pivot {
			i++
		}
		for vs[j] > pivot {
			j--
		}
		if i <= j {
			vs[i], vs[j] = vs[j], vs[i]
			i++
			j--
		}
	}
	return i, j
}
