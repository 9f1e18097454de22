package cache

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/storage/changes"
)

// Reach is which times of samples the value of a step depends on: those from Back before the step to
// Ahead after it, in milliseconds, if anything moves with the step, and Fixed. Ahead is negative for what
// is never as new as the step.
type Reach struct {
	Moves       bool
	Back, Ahead int64
	Fixed       []changes.Span
}

// Durations are what an expression leaves open, in milliseconds.
type Durations struct{ Lookback, SubqueryStep int64 }

// maxReach bounds durations, so that sums of them don't overflow.
const maxReach = math.MaxInt64 / 1024

// dependent are functions of the query's own start, end or step.
var dependent = map[string]bool{"start": true, "end": true, "range": true, "step": true, "info": true}

// Analyse returns what the steps of an expression depend on. It returns false if there is nothing to
// read, or if it is not the step alone that says what is read.
func Analyse(expr parser.Expr, d Durations) (Reach, bool) {
	a := analysis{durations: d, ok: true}
	a.visit(expr, window{})
	return a.reach, a.ok && (a.reach.Moves || len(a.reach.Fixed) > 0)
}

// window is the times of evaluation that an expression sees: relative to the step, or fixed.
type window struct {
	from, to int64
	fixed    bool
}

type analysis struct {
	durations Durations
	reach     Reach
	ok        bool
}

func (a *analysis) visit(node parser.Node, w window) {
	switch n := node.(type) {
	case *parser.SubqueryExpr:
		if n.RangeExpr != nil || n.OriginalOffsetExpr != nil || n.StepExpr != nil || n.StartOrEnd != 0 {
			a.ok = false
			return
		}
		w = w.back(n.Timestamp, n.OriginalOffset, n.Range.Milliseconds())
	case *parser.MatrixSelector:
		if n.RangeExpr != nil {
			a.ok = false
			return
		}
		a.selector(n.VectorSelector, w, n.Range.Milliseconds())
		return
	case *parser.VectorSelector:
		a.selector(n, w, a.durations.Lookback)
		return
	case *parser.Call:
		a.ok = a.ok && !dependent[n.Func.Name]
	case *parser.DurationExpr:
		a.ok = false
	}
	for child := range parser.ChildrenIter(node) {
		a.visit(child, w)
	}
}

// selector adds what a selector reads that looks so far back.
func (a *analysis) selector(expr parser.Expr, w window, back int64) {
	n, ok := expr.(*parser.VectorSelector)
	if !ok || n.OriginalOffsetExpr != nil || n.StartOrEnd != 0 || n.Anchored || n.Smoothed {
		a.ok = false
		return
	}
	w = w.back(n.Timestamp, n.OriginalOffset, back)
	switch r := &a.reach; {
	case max(w.from, -w.from, w.to, -w.to) > maxReach:
		a.ok = false
	case w.fixed:
		r.Fixed = changes.Join(append(r.Fixed, changes.Span{Mint: w.from, Maxt: w.to}))
	case !r.Moves:
		r.Moves, r.Back, r.Ahead = true, -w.from, w.to
	default:
		r.Back, r.Ahead = max(r.Back, -w.from), max(r.Ahead, w.to)
	}
}

// back returns the window of what looks so far back from there, or from a fixed time.
func (w window) back(at *int64, offset time.Duration, millis int64) window {
	if at != nil {
		w = window{from: *at, to: *at, fixed: true}
	}
	shift := offset.Milliseconds()
	if max(w.from, -w.from, w.to, -w.to, shift, -shift, millis) > maxReach {
		return window{from: math.MinInt64 / 2, to: math.MaxInt64 / 2}
	}
	w.from -= shift + millis
	w.to -= shift
	return w
}

// stale returns the times of the steps that see any time of the span, and whether all steps do.
func (r *Reach) stale(s changes.Span) (steps changes.Span, all bool) {
	if slices.ContainsFunc(r.Fixed, s.Overlaps) {
		return changes.All(), true
	}
	if !r.Moves {
		return changes.Span{Mint: 0, Maxt: -1}, false
	}
	return changes.Span{Mint: add(s.Mint, -r.Ahead), Maxt: add(s.Maxt, r.Back)}, false
}

// add is the sum, or the nearest to it that there is.
func add(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}
