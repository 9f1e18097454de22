package partial

import (
	"container/heap"
	"math"
	"slices"
	"sort"
	"unsafe"

	"github.com/barograph-db/barograph/storage/series"
)

// top is the first k values of a group at one step: a heap with the least of them on top, which
// goes when a better one comes. Among equal values it is the heap's shape that decides which goes.
// So the shape is kept exactly as the engine's is, and left says when that mattered.
type top struct {
	entries []entry
	left    float64 // The best value that is not among them; Absent when all are.
	bottom  bool    // BottomK: less is better.
}

// entry is a value and whose it is.
type entry struct {
	value  float64
	member int32
}

const (
	topBytes   = int64(unsafe.Sizeof(top{}))
	entryBytes = int64(unsafe.Sizeof(entry{}))
)

// k is how many series are kept at a step.
func (a *Aggregate) k(step int) int {
	p := a.Params[step]
	if !(p >= 1) {
		return 0
	}
	return int(min(p, math.MaxInt32))
}

// better reports whether a value comes before another, without regard to order among equals. NaN
// comes last.
func (t *top) better(a, b float64) bool {
	if t.bottom {
		return a < b || math.IsNaN(b) && !math.IsNaN(a)
	}
	return a > b || math.IsNaN(b) && !math.IsNaN(a)
}

func (t *top) Len() int { return len(t.entries) }

// Less puts worse values first. It is the engine's: of two NaN each is less than the other.
func (t *top) Less(i, j int) bool {
	a, b := t.entries[i].value, t.entries[j].value
	if math.IsNaN(a) {
		return true
	}
	if t.bottom {
		return a > b
	}
	return a < b
}

func (t *top) Swap(i, j int) { t.entries[i], t.entries[j] = t.entries[j], t.entries[i] }
func (t *top) Push(x any)    { t.entries = append(t.entries, x.(entry)) }

// Pop is the rest of heap.Interface.
func (t *top) Pop() any {
	last := t.entries[len(t.entries)-1]
	t.entries = t.entries[:len(t.entries)-1]
	return last
}

// add reports whether the entry is among the first k.
func (t *top) add(e entry, k int) bool {
	if len(t.entries) < k {
		heap.Push(t, e)
		return true
	}
	worst := t.entries[0].value
	if !t.better(e.value, worst) {
		t.leave(e.value)
		return false
	}
	t.leave(worst)
	t.entries[0] = e
	heap.Fix(t, 0)
	return true
}

func (t *top) leave(v float64) {
	if IsAbsent(t.left) || t.better(v, t.left) {
		t.left = v
	}
}

// tied reports whether a value that was left out is as good as one that was not.
func (t *top) tied() bool {
	return len(t.entries) > 0 && !IsAbsent(t.left) && !t.better(t.entries[0].value, t.left)
}

// drawn reports whether two of the first are equal: their order among each other is the heap's.
func (t *top) drawn() bool {
	values := make([]float64, len(t.entries))
	for i, e := range t.entries {
		values[i] = e.value
	}
	slices.Sort(values)
	for i := 1; i < len(values); i++ {
		if same(values[i-1], values[i]) {
			return true
		}
	}
	return false
}

func (c *Column) addTop(ls series.Labels, vs []float64) {
	member, known := int32(len(c.members)), false
	bottom := c.Op == BottomK
	for i, v := range vs {
		t := &c.tops[i]
		switch { // Most values are no better than one that was left out.
		case IsAbsent(v), v <= t.left && !bottom, v >= t.left && bottom:
			continue
		}
		if k := c.k(i); k > 0 && t.add(entry{v, member}, k) {
			known = true
		}
	}
	if known {
		c.members = append(c.members, ls)
	}
}

func (c *Column) mergeTops(other *Column) {
	base := int32(len(c.members))
	c.members = append(c.members, other.members...)
	for i := range other.tops {
		t := &other.tops[i]
		slices.SortFunc(t.entries, func(a, b entry) int { return int(a.member) - int(b.member) })
		for _, e := range t.entries {
			e.member += base
			c.tops[i].add(e, c.k(i))
		}
		if !IsAbsent(t.left) {
			c.tops[i].leave(t.left)
		}
	}
}

// finishTops returns the series that are among the first at some step. At a single step they are in
// the order of their values, else in their own.
func (c *Column) finishTops() []Result {
	rows := make([][]float64, len(c.members))
	var order []int32
	for i := range c.tops {
		t := &c.tops[i]
		sort.Sort(sort.Reverse(t))
		for _, e := range t.entries {
			if rows[e.member] == nil {
				rows[e.member] = absent(c.Steps)
				order = append(order, e.member)
			}
			rows[e.member][i] = e.value
		}
	}
	if c.Steps > 1 {
		slices.Sort(order)
	}
	results := make([]Result, len(order))
	for i, member := range order {
		results[i] = Result{Labels: c.members[member], Values: Values{Floats: rows[member]}}
	}
	return results
}

// absent returns as many absent values.
func absent(steps int) []float64 {
	vs := make([]float64, steps)
	for i := range vs {
		vs[i] = Absent
	}
	return vs
}
