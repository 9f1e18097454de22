package querier

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// checkTree refuses a parsed query for what it would cost, before it is evaluated: too many steps
// of its subqueries, or a regular expression that is an argument of a function. It returns the
// steps of all subqueries.
func (e *Engine) checkTree(stmt parser.Statement) (steps int64, err error) {
	s, ok := stmt.(*parser.EvalStmt)
	if !ok {
		return 0, nil
	}
	c := treeCheck{engine: e, regexes: e.newRegexBudget()}
	grid := grid{steps: 1}
	if s.Interval > 0 {
		grid.span = s.End.Sub(s.Start)
		grid.steps = float64(grid.span/s.Interval) + 1
	}
	err = c.visit(s.Expr, grid)
	return int64(c.steps), err
}

// grid is the times at which an expression is evaluated: so many steps over so long.
type grid struct {
	span  time.Duration
	steps float64
}

type treeCheck struct {
	engine  *Engine
	regexes *regexBudget
	steps   float64 // of all subqueries so far
}

// visit follows the evaluation: a subquery evaluates what is in it over its parent's span and its
// own range, once, and each step of the parent then looks at the points of one range. Step counts
// are floats, since ranges of centuries at steps of a millisecond, nested, go beyond integers.
func (c *treeCheck) visit(node parser.Node, g grid) error {
	switch n := node.(type) {
	case *parser.StepInvariantExpr:
		g = grid{steps: 1}
	case *parser.SubqueryExpr:
		inner, err := c.subquery(n, g)
		if err != nil {
			return err
		}
		g = inner
	case *parser.Call:
		if err := c.call(n); err != nil {
			return err
		}
	}
	for child := range parser.ChildrenIter(node) {
		if err := c.visit(child, g); err != nil {
			return err
		}
	}
	return nil
}

// subquery returns the grid inside a subquery.
func (c *treeCheck) subquery(n *parser.SubqueryExpr, g grid) (grid, error) {
	o := &c.engine.opts
	step := n.Step
	if step <= 0 {
		step = c.engine.subqueryStep()
	}
	if n.Timestamp != nil {
		g.span = 0 // Each step of the parent sees the same range.
	}
	inner := grid{span: addDurations(g.span, n.Range)}
	inner.steps = float64(inner.span)/float64(step) + 1
	if c.steps += inner.steps; c.steps > float64(o.MaxSubquerySteps) {
		return inner, c.engine.metrics.limited(BadData, limitSteps, int64(o.MaxSubquerySteps),
			"the subquery [%s:%s] would be evaluated at %.0f steps", n.Range, step, inner.steps)
	}
	if visits := g.steps * (float64(n.Range)/float64(step) + 1); visits > float64(o.MaxSubqueryPoints) {
		return inner, c.engine.metrics.limited(BadData, limitVisits, int64(o.MaxSubqueryPoints),
			"the subquery [%s:%s] would be asked for %.0f points of each series", n.Range, step, visits)
	}
	return inner, nil
}

// addDurations adds two durations that are not negative, up to the longest there is.
func addDurations(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// call checks the functions that take a regular expression.
func (c *treeCheck) call(n *parser.Call) error {
	const regexArg = 4
	if n.Func.Name != "label_replace" || len(n.Args) <= regexArg {
		return nil
	}
	if s, ok := unwrap(n.Args[regexArg]).(*parser.StringLiteral); ok {
		return c.regexes.spend(s.Val)
	}
	return nil
}

func unwrap(e parser.Expr) parser.Expr {
	for {
		switch n := e.(type) {
		case *parser.ParenExpr:
			e = n.Expr
		case *parser.StepInvariantExpr:
			e = n.Expr
		default:
			return e
		}
	}
}
