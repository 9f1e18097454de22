package partial

import (
	"math"

	"github.com/prometheus/prometheus/model/value"
)

// Absent stands for no value.
var Absent = math.Float64frombits(value.StaleNaN)

// IsAbsent reports whether v is Absent.
func IsAbsent(v float64) bool { return math.Float64bits(v) == value.StaleNaN }

// Op is an aggregation.
type Op uint8

// The aggregations.
const (
	Sum Op = iota + 1
	Avg
	Min
	Max
	Count
	Group
)

// Column is the state of an aggregation at each step.
type Column struct {
	op     Op
	values []float64 // Absent where nothing was added.
	comp   []float64 // Sum and Avg: what rounding took from values.
	counts []float64 // Avg.
	// overflow says that a sum of Avg has overflowed; its value is lost.
	overflow bool
}

// Bytes is how many bytes a column takes.
func Bytes(op Op, steps int) int64 {
	n := int64(steps) * 8
	switch op {
	case Sum:
		return 2 * n
	case Avg:
		return 3 * n
	}
	return n
}

// NewColumn returns a column to which nothing was added.
func NewColumn(op Op, steps int) *Column {
	c := &Column{op: op, values: make([]float64, steps)}
	for i := range c.values {
		c.values[i] = Absent
	}
	if op == Sum || op == Avg {
		c.comp = make([]float64, steps)
	}
	if op == Avg {
		c.counts = make([]float64, steps)
	}
	return c
}

// Add adds the values of a series; there is one for each step, or Absent.
func (c *Column) Add(vs []float64) {
	vs = vs[:len(c.values)]
	switch c.op {
	case Sum:
		c.addSum(vs)
	case Avg:
		c.addAvg(vs)
	case Min:
		for i, v := range vs {
			if !IsAbsent(v) && (c.values[i] > v || math.IsNaN(c.values[i])) {
				c.values[i] = v
			}
		}
	case Max:
		for i, v := range vs {
			if !IsAbsent(v) && (c.values[i] < v || math.IsNaN(c.values[i])) {
				c.values[i] = v
			}
		}
	case Count:
		for i, v := range vs {
			if IsAbsent(v) {
				continue
			}
			if IsAbsent(c.values[i]) {
				c.values[i] = 0
			}
			c.values[i]++
		}
	case Group:
		for i, v := range vs {
			if !IsAbsent(v) {
				c.values[i] = 1
			}
		}
	}
}

func (c *Column) addSum(vs []float64) {
	values, comp := c.values[:len(vs)], c.comp[:len(vs)]
	for i, v := range vs {
		switch {
		case IsAbsent(v):
		case IsAbsent(values[i]):
			values[i] = v
		default:
			values[i], comp[i] = Kahan(v, values[i], comp[i])
		}
	}
}

func (c *Column) addAvg(vs []float64) {
	for i, v := range vs {
		if IsAbsent(v) {
			continue
		}
		if c.counts[i]++; c.counts[i] == 1 {
			c.values[i] = v
			continue
		}
		c.values[i], c.comp[i] = Kahan(v, c.values[i], c.comp[i])
		c.overflow = c.overflow || math.IsInf(c.values[i], 0)
	}
}

// Kahan adds v to a sum with its compensation, the way of Kahan, Babuška and Neumaier. The
// conversions keep the compiler from fusing operations.
func Kahan(v, sum, comp float64) (float64, float64) {
	t := float64(sum + v)
	switch {
	case t > math.MaxFloat64 || t < -math.MaxFloat64:
		comp = 0
	case math.Abs(sum) >= math.Abs(v):
		comp += float64(float64(sum-t) + v)
	default:
		comp += float64(float64(v-t) + sum)
	}
	return t, comp
}

// Merge adds to c what was added to other, which comes after c in the order of series. It returns
// false, and leaves c in an unknown state, where the order decides the result: infinite sums.
func (c *Column) Merge(other *Column) bool {
	c.overflow = c.overflow || other.overflow
	switch c.op {
	case Sum, Avg:
		return c.mergeSums(other)
	case Count:
		for i, v := range other.values {
			if IsAbsent(c.values[i]) {
				c.values[i] = v
			} else if !IsAbsent(v) {
				c.values[i] += v
			}
		}
	default:
		c.Add(other.values)
	}
	return true
}

func (c *Column) mergeSums(other *Column) bool {
	for i, v := range other.values {
		switch {
		case IsAbsent(v):
			continue
		case IsAbsent(c.values[i]):
			c.values[i], c.comp[i] = v, other.comp[i]
		case math.IsInf(v, 0) || math.IsInf(c.values[i], 0):
			return false
		default:
			c.values[i], c.comp[i] = Kahan(v, c.values[i], c.comp[i]+other.comp[i])
			if math.IsInf(c.values[i], 0) {
				return false
			}
		}
		if c.op == Avg {
			c.counts[i] += other.counts[i]
		}
	}
	return true
}

// Finish returns the results. It returns false where a sum has overflowed on the way to an average
// which may not have. The column is not to be used any more.
func (c *Column) Finish() ([]float64, bool) {
	for i, v := range c.values {
		if IsAbsent(v) {
			continue
		}
		switch c.op {
		case Sum:
			c.values[i] = v + c.comp[i]
		case Avg:
			c.values[i] = float64(v/c.counts[i]) + float64(c.comp[i]/c.counts[i])
		}
	}
	return c.values, !c.overflow
}
