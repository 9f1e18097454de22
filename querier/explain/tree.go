package explain

import (
	"cmp"

	"github.com/prometheus/prometheus/promql/parser"
)

// grow makes the tree of an expression, nil of what is no work: numbers and strings.
func (t *Trace) grow(e parser.Expr) *Expr {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return t.grow(n.Expr)
	case *parser.StepInvariantExpr:
		return t.grow(n.Expr)
	case *parser.NumberLiteral, *parser.StringLiteral:
		return nil
	}
	x := &Expr{Text: clip(e.String())}
	t.mu.exprs[e] = x
	switch n := e.(type) {
	case *parser.VectorSelector:
		t.selects(n, x)
		return x
	case *parser.MatrixSelector:
		if s, ok := n.VectorSelector.(*parser.VectorSelector); ok {
			t.selects(s, x)
		}
		return x
	}
	for child := range parser.ChildrenIter(e) {
		if inner, ok := child.(parser.Expr); ok {
			if grown := t.grow(inner); grown != nil {
				x.Inner = append(x.Inner, grown)
			}
		}
	}
	return x
}

func (t *Trace) selects(s *parser.VectorSelector, x *Expr) {
	if len(s.LabelMatchers) > 0 {
		t.mu.selectors[s.LabelMatchers[0]] = x
	}
}

// settle says what evaluates the expression, if nothing else was said, and takes into it what is evaluated
// together with it.
func (x *Expr) settle(by By) {
	x.By = cmp.Or(x.By, by)
	var apart []*Expr
	for _, inner := range x.Inner {
		if together := x.By != Engine && inner.By == ""; together {
			inner.settle(x.By)
			x.Reads = append(x.Reads, inner.Reads...)
			apart = append(apart, inner.Inner...)
			continue
		}
		inner.settle(Engine)
		apart = append(apart, inner)
	}
	x.Inner = apart
}
