package eval

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// Mode is the features of the engine that change results.
type Mode struct {
	// DelayedNames is promql-delayed-name-removal.
	DelayedNames bool
	// StartTimes is use-start-timestamps.
	StartTimes bool
	// TypeUnit is type-and-unit-labels.
	TypeUnit bool
	// SubqueryStep is the step of subqueries that don't say theirs.
	SubqueryStep time.Duration
}

// Expr is a part of an expression that can be computed here.
type Expr struct {
	mode     Mode
	selector *parser.VectorSelector
	join     *join     // in place of a selector
	subquery *subquery // in place of a selector
	function *function
	kernel   kernel  // of the function
	window   int64   // of the function, in milliseconds
	seconds  float64 // the window in seconds
	arg      parser.Expr
	call     *parser.Call
	mappings []*mapping // what is done to the values of each series, in this order

	aggregation
}

// Matchers of the series that the expression reads itself.
func (x *Expr) Matchers() []*labels.Matcher {
	if x.selector == nil {
		return nil
	}
	return x.selector.LabelMatchers
}

// Replace returns what to put in the place of at, which x is about; nil leaves it as it is. once is
// for what is evaluated at the first step and goes for all of them.
type Replace func(x *Expr, at parser.Expr, once bool) (parser.Expr, error)

// Rewrite calls replace with the largest parts of the expression that can be computed here, and
// puts what it returns in their place. The expression has been preprocessed by promql. What is in a
// subquery that is left to the engine is left, too: it has steps of its own. A selector is a part
// where it is all there is; else nothing would be gained.
func Rewrite(root *parser.Expr, mode Mode, replace Replace) error {
	if !allowed(*root, mode) {
		return nil
	}
	r := rewriter{mode: mode, replace: replace}
	if s, ok := (*root).(*parser.VectorSelector); ok && !mode.DelayedNames {
		x := matchSeries(s, mode, false)
		if x == nil {
			return nil
		}
		_, err := r.apply(x, root, false)
		return err
	}
	return r.visit(root, false)
}

type rewriter struct {
	mode    Mode
	replace Replace
}

// apply reports whether x was replaced.
func (r *rewriter) apply(x *Expr, e *parser.Expr, once bool) (bool, error) {
	with, err := r.replace(x, *e, once)
	if with == nil || err != nil {
		return false, err
	}
	*e = with
	return true, nil
}

func (r *rewriter) visit(e *parser.Expr, once bool) error {
	if x := match(*e, r.mode, once); x != nil {
		done, err := r.apply(x, e, once)
		if done || err != nil || x.selector != nil {
			return err
		}
		// What is in it may be computed by itself.
	}
	switch n := (*e).(type) {
	case *parser.StepInvariantExpr:
		return r.visit(&n.Expr, true)
	case *parser.ParenExpr:
		return r.visit(&n.Expr, once)
	case *parser.UnaryExpr:
		return r.visit(&n.Expr, once)
	case *parser.AggregateExpr:
		if n.Param != nil {
			if err := r.visit(&n.Param, once); err != nil {
				return err
			}
		}
		return r.visit(&n.Expr, once)
	case *parser.BinaryExpr:
		if err := r.visit(&n.LHS, once); err != nil {
			return err
		}
		return r.visit(&n.RHS, once)
	case *parser.Call:
		for i := range n.Args {
			if err := r.visit(&n.Args[i], once); err != nil {
				return err
			}
		}
	}
	return nil
}

// allowed looks for what depends on how a part was computed. The function info looks at the
// selectors in its argument. With delayed names a result still has the name that it is going to
// lose, which only shows where an expression speaks of such labels.
func allowed(root parser.Expr, mode Mode) bool {
	ok := true
	parser.Inspect(root, func(node parser.Node, _ []parser.Node) error {
		var names []string
		switch n := node.(type) {
		case *parser.Call:
			ok = ok && n.Func.Name != "info"
		case *parser.StringLiteral:
			names = []string{n.Val}
		case *parser.AggregateExpr:
			names = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				names = slices.Concat(n.VectorMatching.MatchingLabels, n.VectorMatching.Include)
			}
		}
		if mode.DelayedNames && slices.ContainsFunc(names, reserved[string]) {
			ok = false
		}
		return nil
	})
	return ok
}

// reserved reports whether the label is one of those that a result does not share with its series.
func reserved[S ~string | ~[]byte](name S) bool {
	switch string(name) {
	case model.MetricNameLabel, model.MetricTypeLabel, model.MetricUnitLabel:
		return true
	}
	return false
}

// match returns nil for what is not known here.
func match(e parser.Expr, mode Mode, once bool) *Expr {
	switch n := e.(type) {
	case *parser.AggregateExpr:
		if x := matchSeries(n.Expr, mode, once); x != nil && x.matchAggregation(n) {
			return x
		}
	case *parser.Call, *parser.BinaryExpr, *parser.UnaryExpr:
		if !mode.DelayedNames {
			return matchSeries(e, mode, once)
		}
	}
	return nil
}

// matchSeries matches what gives one series for each that it reads.
func matchSeries(e parser.Expr, mode Mode, once bool) *Expr {
	if p, ok := e.(*parser.ParenExpr); ok {
		return matchSeries(p.Expr, mode, once)
	}
	if m, inner := matchMapping(e); m != nil {
		x := matchSeries(inner, mode, once)
		if x != nil {
			x.mappings = append(x.mappings, m)
		}
		return x
	}
	if n, ok := e.(*parser.BinaryExpr); ok {
		return matchJoin(n, mode, once)
	}
	x := &Expr{mode: mode}
	if !x.matchSelector(e) {
		return nil
	}
	if x.subquery != nil {
		return x
	}
	if s := x.selector; s.Anchored || s.Smoothed || s.OriginalOffset%time.Millisecond != 0 || s.Timestamp != nil && !once {
		return nil
	}
	return x
}

// dropsName reports whether results lose the name of their series.
func (x *Expr) dropsName() bool {
	return !x.function.keepsName || slices.ContainsFunc(x.mappings, func(m *mapping) bool { return !m.keepsName })
}

// Grid is the times at which an expression is evaluated, in milliseconds.
type Grid struct {
	Start, Step int64
	Steps       int
}

// offset is what is subtracted from the time of a step to get the end of its window.
func (x *Expr) offset(g Grid) int64 {
	if x.subquery != nil {
		return x.subquery.offset
	}
	offset := x.selector.OriginalOffset.Milliseconds()
	if at := x.selector.Timestamp; at != nil {
		offset += g.Start - *at
	}
	return offset
}

// reach is how long before the end of its window a step looks.
func (x *Expr) reach(lookback int64) int64 {
	if x.function.current {
		return lookback
	}
	return x.window
}

// Times returns the first and the last time at which a sample counts.
func (x *Expr) Times(g Grid, lookback int64) (mint, maxt int64) {
	first := g.Start - x.offset(g)
	return first - x.reach(lookback) + 1, first + int64(g.Steps-1)*g.Step
}

// annotate returns what the engine would say about a metric of this name.
func (x *Expr) annotate(name string, to *annotations.Annotations) {
	to.Add(annotations.NewPossibleNonCounterInfo(name, x.arg.PositionRange()))
}
