package partial

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"

	"github.com/barograph-db/barograph/storage/series"
)

// Absent stands for no value.
var Absent = math.Float64frombits(value.StaleNaN)

// IsAbsent reports whether v is Absent.
func IsAbsent(v float64) bool { return math.Float64bits(v) == value.StaleNaN }

// Op is an aggregation.
type Op uint8

// The aggregations. The numbers are those of the encoding.
const (
	Sum Op = iota + 1
	Avg
	Min
	Max
	Count
	Group
	Stddev
	Stdvar
	TopK
	BottomK
	Quantile
)

// Aggregate is an aggregation over so many steps.
type Aggregate struct {
	Op    Op
	Steps int
	// Params are, for each step, k of TopK and BottomK and phi of Quantile.
	Params []float64
}

// TakesParam reports whether the aggregation has a parameter.
func (op Op) TakesParam() bool { return op == TopK || op == BottomK || op == Quantile }

// Values are those of a series or of a result.
type Values struct {
	// Floats has one for each step, or Absent.
	Floats []float64
	// Histograms has one for each step, or nil. All of it is nil where there are none.
	Histograms []*histogram.FloatHistogram
}

// HistogramBytes is what the histograms take.
func (v Values) HistogramBytes() int64 {
	n := int64(0)
	for _, h := range v.Histograms {
		if h != nil {
			n += int64(h.Size())
		}
	}
	return n
}

// Result is what an aggregation comes to: one for each group or, with TopK and BottomK, for each
// series that was ever among the first, whose labels it has.
type Result struct {
	Labels series.Labels
	Values
}

// Notes are what a query is to be told beside the results.
type Notes uint8

const (
	// IgnoredHistograms says that the aggregation takes floats only, and met others.
	IgnoredHistograms Notes = 1 << iota
	// MixedTypes says that a group had both floats and histograms at a step, and so has no result.
	MixedTypes
	// ResetCollision says that some histograms were known to follow a reset, others known not to.
	ResetCollision
	// MismatchedBounds says that custom buckets had to be reduced to bounds they have in common.
	MismatchedBounds

	allNotes = MismatchedBounds<<1 - 1
)

// Column is the state of an aggregation of one group at each step.
type Column struct {
	*Aggregate
	values []float64 // Absent where nothing was added; Stddev and Stdvar: the sum of squares.
	comp   []float64 // Sum and Avg: what rounding took from values; Stddev and Stdvar: the mean.
	counts []float64 // Avg, Stddev and Stdvar.

	histograms []total         // Sum and Avg, once there was one.
	tops       []top           // TopK and BottomK, for each step.
	members    []series.Labels // Those that tops speak of, in the order of series.
	rows       [][]float64     // Quantile: all that was added.

	notes  Notes
	merged bool // Not all was added in the order of series.
	// refused says that only the engine can compute the results: a sum of Avg went beyond the range
	// of floats, or histograms can't be added.
	refused bool
}

// New returns a column to which nothing was added.
func (a *Aggregate) New() *Column {
	c := &Column{Aggregate: a}
	switch a.Op {
	case TopK, BottomK:
		c.tops = make([]top, a.Steps)
		for i := range c.tops {
			c.tops[i] = top{left: Absent, bottom: a.Op == BottomK}
		}
		return c
	case Quantile:
		return c
	case Sum:
		c.comp = make([]float64, a.Steps)
	case Avg, Stddev, Stdvar:
		c.comp, c.counts = make([]float64, a.Steps), make([]float64, a.Steps)
	}
	c.values = make([]float64, a.Steps)
	for i := range c.values {
		c.values[i] = Absent
	}
	return c
}

// Bytes is the most that columns of so many groups take for so many series, results included and
// histograms not.
func (a *Aggregate) Bytes(groups, series int) int64 {
	n, steps, all := int64(groups), int64(a.Steps), int64(series)
	switch a.Op {
	case Sum:
		return n * steps * 16
	case Avg, Stddev, Stdvar:
		return n * steps * 24
	case TopK, BottomK:
		kept, most := int64(0), int64(0)
		for i := range a.Steps {
			k := min(int64(a.k(i)), all)
			kept, most = min(kept+min(k*n, all), all*steps), max(most, k)
		}
		return n*steps*topBytes + 2*kept*entryBytes + min(kept, all)*(steps*8+sliceBytes)
	case Quantile:
		return (n+all)*steps*8 + all*sliceBytes
	}
	return n * steps * 8
}

const sliceBytes = 24

// Add adds the values of a series. The labels are kept until the column is finished or encoded, the
// values are not.
func (c *Column) Add(ls series.Labels, v Values) {
	if v.Histograms != nil {
		c.addHistograms(v.Histograms)
	}
	vs := v.Floats[:c.Steps]
	switch c.Op {
	case Sum:
		c.addSum(vs)
	case Avg:
		c.addAvg(vs)
	case Min, Max:
		c.addExtreme(vs)
	case Count:
		for i, v := range vs {
			if !IsAbsent(v) {
				c.count(i, 1)
			}
		}
	case Group:
		for i, v := range vs {
			if !IsAbsent(v) {
				c.values[i] = 1
			}
		}
	case Stddev, Stdvar:
		c.addVariance(vs)
	case TopK, BottomK:
		c.addTop(ls, vs)
	case Quantile:
		c.addRow(vs)
	}
}

func (c *Column) count(i int, n float64) {
	if IsAbsent(c.values[i]) {
		c.values[i] = 0
	}
	c.values[i] += n
}

func (c *Column) addExtreme(vs []float64) {
	values := c.values[:len(vs)]
	if c.Op == Min {
		for i, v := range vs {
			if !IsAbsent(v) && (values[i] > v || math.IsNaN(values[i])) {
				values[i] = v
			}
		}
		return
	}
	for i, v := range vs {
		if !IsAbsent(v) && (values[i] < v || math.IsNaN(values[i])) {
			values[i] = v
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
		c.counts[i]++
		if IsAbsent(c.values[i]) {
			c.values[i] = v
			continue
		}
		c.values[i], c.comp[i] = Kahan(v, c.values[i], c.comp[i])
		c.refused = c.refused || math.IsInf(c.values[i], 0)
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

// Merge adds to c what was added to other, which comes after c in the order of series and is not to
// be used any more. It returns false, and leaves c in an unknown state, where the order decides the
// result by more than its last bits.
func (c *Column) Merge(other *Column) bool {
	c.notes |= other.notes
	c.refused = c.refused || other.refused
	c.merged = true
	if !c.mergeHistograms(other) {
		return false
	}
	switch c.Op {
	case Sum, Avg:
		return c.mergeSums(other)
	case Min, Max:
		c.addExtreme(other.values)
	case Count:
		for i, v := range other.values {
			if !IsAbsent(v) {
				c.count(i, v)
			}
		}
	case Group:
		for i, v := range other.values {
			if !IsAbsent(v) {
				c.values[i] = 1
			}
		}
	case Stddev, Stdvar:
		return c.mergeVariance(other)
	case TopK, BottomK:
		c.mergeTops(other)
	case Quantile:
		c.rows = append(c.rows, other.rows...)
	}
	return true
}

func (c *Column) mergeSums(other *Column) bool {
	for i, v := range other.values {
		if c.Op == Avg {
			c.counts[i] += other.counts[i]
		}
		switch {
		case IsAbsent(v):
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
	}
	return true
}

// Finish returns the results and what there is to say about them. It returns false where the column
// does not know enough. The column is not to be used any more.
func (c *Column) Finish() ([]Result, Notes, bool) {
	if !c.Settled() {
		return nil, 0, false
	}
	switch c.Op {
	case TopK, BottomK:
		return c.finishTops(), c.notes, true
	case Quantile:
		return c.one(c.finishRows())
	case Sum:
		for i, v := range c.values {
			if !IsAbsent(v) {
				c.values[i] = v + c.comp[i]
			}
		}
	case Avg:
		for i, v := range c.values {
			if n := c.counts[i]; !IsAbsent(v) {
				c.values[i] = float64(v/n) + float64(c.comp[i]/n)
			}
		}
	case Stddev, Stdvar:
		c.finishVariance()
	}
	return c.one(c.values)
}

func (c *Column) one(values []float64) ([]Result, Notes, bool) {
	histograms := c.finishHistograms()
	return []Result{{Values: Values{Floats: values, Histograms: histograms}}}, c.notes, !c.refused
}

// HasHistograms reports whether the column has summed histograms.
func (c *Column) HasHistograms() bool { return c.histograms != nil }

// Settled reports whether the column knows its results, as long as nothing is merged with it. At a single
// step their order is a result.
func (c *Column) Settled() bool {
	tied := func(t top) bool { return t.tied() || c.Steps == 1 && t.drawn() }
	return !c.refused && !(c.merged && slices.ContainsFunc(c.tops, tied))
}
