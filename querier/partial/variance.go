package partial

import "math"

// addVariance is Welford's way: it keeps the mean and the sum of squares of the differences to it.
func (c *Column) addVariance(vs []float64) {
	for i, v := range vs {
		if IsAbsent(v) {
			continue
		}
		c.counts[i]++
		if c.counts[i] == 1 {
			c.comp[i], c.values[i] = v, 0
			if math.IsNaN(v) || math.IsInf(v, 0) {
				c.values[i] = math.NaN()
			}
			continue
		}
		delta := v - c.comp[i]
		c.comp[i] += delta / c.counts[i]
		c.values[i] += delta * (v - c.comp[i])
	}
}

// spreadLimit is how much less than the mean the standard deviation may be for a merge: the sum of
// squares loses digits with that ratio, others in each order. At this limit, 20,000 values in up to
// four parts came out the same within 1e-13.
const spreadLimit = 1e3

// mergeVariance is Chan's way. It refuses what is not finite, as what comes of it depends on the
// order, and what has lost so many digits that the order shows.
func (c *Column) mergeVariance(other *Column) bool {
	for i, m := range other.counts {
		n := c.counts[i]
		switch {
		case m == 0:
			continue
		case n == 0:
			c.counts[i], c.comp[i], c.values[i] = m, other.comp[i], other.values[i]
			continue
		}
		all := n + m
		delta := other.comp[i] - c.comp[i]
		mean := c.comp[i] + delta*(m/all)
		squares := c.values[i] + other.values[i] + delta*delta*(n*m/all)
		switch {
		case math.IsNaN(squares) || math.IsInf(squares, 0):
			return false
		case squares > 0 && mean*mean > squares/all*(spreadLimit*spreadLimit):
			return false
		}
		c.counts[i], c.comp[i], c.values[i] = all, mean, squares
	}
	return true
}

func (c *Column) finishVariance() {
	for i, v := range c.values {
		if IsAbsent(v) {
			continue
		}
		if v /= c.counts[i]; c.Op == Stddev {
			v = math.Sqrt(v)
		}
		c.values[i] = v
	}
}
