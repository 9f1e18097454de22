package eval

import (
	"math"

	"github.com/prometheus/prometheus/promql/parser"
)

// number is the value of a scalar expression: always the same, or one that the time of the step
// decides.
type number struct {
	value float64
	at    func(seconds float64) float64
}

// get returns the value at a time.
func (n number) get(seconds float64) float64 {
	if n.at != nil {
		return n.at(seconds)
	}
	return n.value
}

// column returns the value at each step, nil where it is always the same.
func (n number) column(g Grid) []float64 {
	if n.at == nil {
		return nil
	}
	out := make([]float64, g.Steps)
	for i := range out {
		out[i] = n.at(float64(g.Start+int64(i)*g.Step) / 1000)
	}
	return out
}

// matchNumber matches scalar expressions that depend on no series.
func matchNumber(e parser.Expr) (number, bool) {
	switch n := e.(type) {
	case *parser.NumberLiteral:
		return number{value: n.Val}, true
	case *parser.ParenExpr:
		return matchNumber(n.Expr)
	case *parser.StepInvariantExpr:
		return matchNumber(n.Expr)
	case *parser.UnaryExpr:
		x, ok := matchNumber(n.Expr)
		if n.Op == parser.SUB {
			x = combine(func(a, _ float64) float64 { return -a }, x, number{})
		}
		return x, ok
	case *parser.Call:
		switch n.Func.Name {
		case "pi":
			return number{value: math.Pi}, true
		case "time":
			return number{at: func(seconds float64) float64 { return seconds }}, true
		}
	case *parser.BinaryExpr:
		f := arithmetic[n.Op]
		if holds := comparisons[n.Op]; holds != nil {
			f = func(a, b float64) float64 { return toNumber(holds(a, b)) }
		}
		a, okA := matchNumber(n.LHS)
		b, okB := matchNumber(n.RHS)
		if f != nil && okA && okB {
			return combine(f, a, b), true
		}
	}
	return number{}, false
}

func combine(f func(a, b float64) float64, a, b number) number {
	if a.at == nil && b.at == nil {
		return number{value: f(a.value, b.value)}
	}
	return number{at: func(seconds float64) float64 { return f(a.get(seconds), b.get(seconds)) }}
}
