package eval

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/querier/partial"
)

// mapping is what is done to each value by itself: a function of it, or an operation with a number.
type mapping struct {
	do        func(v, number float64) float64 // Absent leaves the value out.
	number    number
	keepsName bool
}

// apply changes the values in place. numbers are those of the steps, nil where all are the same.
func (m *mapping) apply(vs, numbers []float64) {
	do, n := m.do, m.number.value
	for i, v := range vs {
		if partial.IsAbsent(v) {
			continue
		}
		if numbers != nil {
			n = numbers[i]
		}
		vs[i] = do(v, n)
	}
}

// matchMapping returns what the expression does to each value of another one; nil when it is no such
// thing.
func matchMapping(e parser.Expr) (*mapping, parser.Expr) {
	switch n := e.(type) {
	case *parser.UnaryExpr:
		if n.Op == parser.SUB {
			return &mapping{do: func(v, _ float64) float64 { return -v }}, n.Expr
		}
	case *parser.BinaryExpr:
		return matchOperation(n)
	case *parser.Call:
		return matchCall(n)
	}
	return nil, nil
}

var arithmetic = map[parser.ItemType]func(a, b float64) float64{
	parser.ADD:   func(a, b float64) float64 { return a + b },
	parser.SUB:   func(a, b float64) float64 { return a - b },
	parser.MUL:   func(a, b float64) float64 { return a * b },
	parser.DIV:   func(a, b float64) float64 { return a / b },
	parser.MOD:   math.Mod,
	parser.POW:   math.Pow,
	parser.ATAN2: math.Atan2,
}

var comparisons = map[parser.ItemType]func(a, b float64) bool{
	parser.EQLC: func(a, b float64) bool { return a == b },
	parser.NEQ:  func(a, b float64) bool { return a != b },
	parser.GTR:  func(a, b float64) bool { return a > b },
	parser.LSS:  func(a, b float64) bool { return a < b },
	parser.GTE:  func(a, b float64) bool { return a >= b },
	parser.LTE:  func(a, b float64) bool { return a <= b },
}

// matchOperation matches an arithmetic operation or a comparison with a number on one side.
func matchOperation(n *parser.BinaryExpr) (*mapping, parser.Expr) {
	number, right := matchNumber(n.RHS)
	side := n.LHS
	if !right {
		var left bool
		if number, left = matchNumber(n.LHS); !left {
			return nil, nil
		}
		side = n.RHS
	}
	m := &mapping{number: number}
	if f := arithmetic[n.Op]; f != nil {
		if m.do = f; !right {
			m.do = func(v, number float64) float64 { return f(number, v) }
		}
		return m, side
	}
	holds := comparisons[n.Op]
	if holds == nil {
		return nil, nil
	}
	if compare := holds; !right {
		holds = func(v, number float64) bool { return compare(number, v) }
	}
	m.do, m.keepsName = comparison(holds, n.ReturnBool), !n.ReturnBool
	return m, side
}

// comparison keeps the left value where the condition holds, or says whether it does.
func comparison(holds func(l, r float64) bool, asNumber bool) func(l, r float64) float64 {
	if asNumber {
		return func(l, r float64) float64 { return toNumber(holds(l, r)) }
	}
	return func(l, r float64) float64 {
		if holds(l, r) {
			return l
		}
		return partial.Absent
	}
}

func toNumber(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// valueFunctions are the functions of one vector that see nothing but a value.
var valueFunctions = map[string]func(float64) float64{
	"abs": math.Abs, "ceil": math.Ceil, "floor": math.Floor, "sgn": sign,
	"exp": math.Exp, "sqrt": math.Sqrt, "ln": math.Log, "log2": math.Log2, "log10": math.Log10,
	"sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos, "atan": math.Atan,
	"sinh": math.Sinh, "cosh": math.Cosh, "tanh": math.Tanh, "asinh": math.Asinh, "acosh": math.Acosh, "atanh": math.Atanh,
	"rad": func(v float64) float64 { return v * (math.Pi / 180) },
	"deg": func(v float64) float64 { return v * (180 / math.Pi) },
}

func sign(v float64) float64 {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return v
}

// matchCall matches a function of one vector and constants.
func matchCall(n *parser.Call) (*mapping, parser.Expr) {
	if len(n.Args) == 0 {
		return nil, nil
	}
	if f := valueFunctions[n.Func.Name]; f != nil {
		return &mapping{do: func(v, _ float64) float64 { return f(v) }}, n.Args[0]
	}
	numbers, ok := constants(n.Args[1:])
	if !ok {
		return nil, nil
	}
	low, high := math.Inf(-1), math.Inf(1)
	switch n.Func.Name {
	case "round":
		inverse := 1.0
		if len(numbers) > 0 {
			inverse = 1 / numbers[0]
		}
		return &mapping{do: func(v, _ float64) float64 { return math.Floor(float64(v*inverse)+0.5) / inverse }}, n.Args[0]
	case "clamp":
		low, high = numbers[0], numbers[1]
	case "clamp_min":
		low = numbers[0]
	case "clamp_max":
		high = numbers[0]
	default:
		return nil, nil
	}
	if high < low {
		return nil, nil // Has no result.
	}
	return &mapping{do: func(v, _ float64) float64 { return math.Max(low, math.Min(high, v)) }}, n.Args[0]
}

// constants returns the numbers that the expressions are at every step.
func constants(es []parser.Expr) ([]float64, bool) {
	var out []float64
	for _, e := range es {
		n, ok := matchNumber(e)
		if !ok || n.at != nil {
			return nil, false
		}
		out = append(out, n.value)
	}
	return out, true
}

// applyMappings reports whether any value is left.
func (w *work) applyMappings(x *Expr, values []float64) bool {
	for i := range x.mappings {
		x.mappings[i].apply(values, w.numbers[i])
	}
	return len(x.mappings) == 0 || slices.ContainsFunc(values, func(v float64) bool { return !partial.IsAbsent(v) })
}
