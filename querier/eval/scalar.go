package eval

import (
	"math"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/querier/partial"
)

// scalarOp is an arithmetic operation or a comparison with a number.
type scalarOp struct {
	op       parser.ItemType
	number   float64
	swapped  bool // The number is on the left.
	asNumber bool // A comparison gives 0 or 1 in place of leaving values out.
}

// matchScalar returns the operation and its other side; nil when the expression is no such thing.
func matchScalar(n *parser.BinaryExpr) (*scalarOp, parser.Expr) {
	switch n.Op {
	case parser.ADD, parser.SUB, parser.MUL, parser.DIV, parser.MOD, parser.POW:
	case parser.EQLC, parser.NEQ, parser.GTR, parser.LSS, parser.GTE, parser.LTE:
	default:
		return nil, nil
	}
	left, right := unparen(n.LHS), unparen(n.RHS)
	if number, ok := right.(*parser.NumberLiteral); ok {
		return &scalarOp{op: n.Op, number: number.Val, asNumber: n.ReturnBool}, left
	}
	if number, ok := left.(*parser.NumberLiteral); ok {
		return &scalarOp{op: n.Op, number: number.Val, asNumber: n.ReturnBool, swapped: true}, right
	}
	return nil, nil
}

func unparen(e parser.Expr) parser.Expr {
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			return e
		}
		e = p.Expr
	}
}

// dropsName reports whether results are something else than what the metric's name says.
func (o *scalarOp) dropsName() bool { return !o.op.IsComparisonOperator() || o.asNumber }

// apply changes the values in place.
func (o *scalarOp) apply(vs []float64) {
	for i, v := range vs {
		if partial.IsAbsent(v) {
			continue
		}
		a, b := v, o.number
		if o.swapped {
			a, b = b, a
		}
		if !o.op.IsComparisonOperator() {
			vs[i] = o.compute(a, b)
			continue
		}
		switch holds := o.compare(a, b); {
		case o.asNumber && holds:
			vs[i] = 1
		case o.asNumber:
			vs[i] = 0
		case !holds:
			vs[i] = partial.Absent
		}
	}
}

func (o *scalarOp) compute(a, b float64) float64 {
	switch o.op {
	case parser.ADD:
		return a + b
	case parser.SUB:
		return a - b
	case parser.MUL:
		return a * b
	case parser.DIV:
		return a / b
	case parser.MOD:
		return math.Mod(a, b)
	}
	return math.Pow(a, b)
}

func (o *scalarOp) compare(a, b float64) bool {
	switch o.op {
	case parser.EQLC:
		return a == b
	case parser.NEQ:
		return a != b
	case parser.GTR:
		return a > b
	case parser.LSS:
		return a < b
	case parser.GTE:
		return a >= b
	}
	return a <= b
}
