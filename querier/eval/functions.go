package eval

import (
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// kernel computes one value for each step from the samples that the step sees.
type kernel func(w *work, out []float64)

// function is what makes values of the samples of a series.
type function struct {
	keepsName bool
	counter   bool // Applied to what has no counter's name it earns an info.
	current   bool // It sees the last sample alone, within the lookback, if it is no stale marker.
	sees      sight
	kernel    kernel
	// with returns the kernel for the numbers among the arguments; nil where the engine is to say
	// what is wrong with them. Functions without numbers have none.
	with func(numbers []float64) kernel
}

// sight is which samples of its window a function looks at.
type sight uint8

const (
	seesAll sight = iota
	seesNone
	seesFirst
	seesLast
	seesLastTwo
	seesEnds // The first and the last, and all of a counter that may have been reset.
)

// The functions of instant selectors: none, and timestamp.
var (
	current    = &function{keepsName: true, current: true, sees: seesLast, kernel: (*work).last}
	timestamps = &function{current: true, sees: seesLast, kernel: (*work).lastTimes}
)

// rangeFunctions by their names in PromQL.
var rangeFunctions = map[string]*function{
	"rate":              {counter: true, sees: seesEnds, kernel: func(w *work, out []float64) { w.extrapolated(out, true, w.seconds) }},
	"increase":          {counter: true, sees: seesEnds, kernel: func(w *work, out []float64) { w.extrapolated(out, true, 0) }},
	"delta":             {sees: seesEnds, kernel: func(w *work, out []float64) { w.extrapolated(out, false, 0) }},
	"irate":             {sees: seesLastTwo, kernel: func(w *work, out []float64) { w.lastTwo(out, true) }},
	"idelta":            {sees: seesLastTwo, kernel: func(w *work, out []float64) { w.lastTwo(out, false) }},
	"changes":           {kernel: (*work).changes},
	"resets":            {kernel: (*work).resets},
	"first_over_time":   {keepsName: true, sees: seesFirst, kernel: (*work).first},
	"last_over_time":    {keepsName: true, sees: seesLast, kernel: (*work).last},
	"count_over_time":   {sees: seesNone, kernel: (*work).count},
	"present_over_time": {sees: seesNone, kernel: (*work).present},
	"sum_over_time":     {kernel: (*work).sum},
	"avg_over_time":     {kernel: (*work).avg},
	"min_over_time":     {kernel: func(w *work, out []float64) { w.extreme(out, 1) }},
	"max_over_time":     {kernel: func(w *work, out []float64) { w.extreme(out, -1) }},
	"stdvar_over_time":  {kernel: windowed(1, variance)},
	"stddev_over_time":  {kernel: windowed(1, deviation)},
	"mad_over_time":     {kernel: (*work).absoluteDeviation},
	"deriv":             {kernel: (*work).slope},

	"quantile_over_time":           {with: quantileOverTime},
	"predict_linear":               {with: predictLinear},
	"double_exponential_smoothing": {with: doubleSmoothing},
}

// matchSelector matches a function over a selector, or a selector alone.
func (x *Expr) matchSelector(e parser.Expr) bool {
	switch n := e.(type) {
	case *parser.VectorSelector:
		x.selector, x.function, x.kernel = n, current, current.kernel
	case *parser.Call:
		if s, ok := onlyArg(n).(*parser.VectorSelector); ok && n.Func.Name == "timestamp" {
			// With a time of its own the engine forgets the selector's offset.
			x.selector, x.function, x.kernel = s, timestamps, timestamps.kernel
			return s.Timestamp == nil
		}
		return x.matchRange(n)
	}
	return x.selector != nil
}

func onlyArg(n *parser.Call) parser.Expr {
	if len(n.Args) != 1 {
		return nil
	}
	return n.Args[0]
}

// matchRange matches a function of one range and of numbers that are the same at every step.
func (x *Expr) matchRange(n *parser.Call) bool {
	f := rangeFunctions[n.Func.Name]
	if f == nil || f.counter && x.mode.TypeUnit {
		return false
	}
	var numbers []float64
	for _, arg := range n.Args {
		if s, ok := arg.(*parser.SubqueryExpr); ok {
			if !x.matchSubquery(s) {
				return false
			}
			continue
		}
		if m, ok := arg.(*parser.MatrixSelector); ok {
			if m.Range <= 0 || m.Range%time.Millisecond != 0 {
				return false
			}
			x.selector, _ = m.VectorSelector.(*parser.VectorSelector)
			x.window, x.seconds, x.arg = m.Range.Milliseconds(), m.Range.Seconds(), m
			continue
		}
		number, ok := constants([]parser.Expr{arg})
		if !ok {
			return false
		}
		numbers = append(numbers, number...)
	}
	if x.call, x.function, x.kernel = n, f, f.kernel; f.with != nil {
		x.kernel = f.with(numbers)
	}
	return (x.selector != nil || x.subquery != nil) && x.kernel != nil
}
