package querier

import (
	"math"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// promql does not ask before it allocates. But what it is going to allocate for a series is known
// from the expression around the selector: a result for each of the operators that are worked on at
// one time, tables for the joins, and the labels that functions make. So each selector of a query
// is given a weight, which is taken with each series that the selector reads.
type weight struct {
	// Of each series: so many bytes, and so often the length of its labels.
	bytes, labels float64
	// operated says that an operator makes a second result of it, whose series have room for all
	// steps, however few points they have.
	operated bool
	steps    int64 // of the whole query
	// heap is for how many series each group has room, where groups choose some of theirs.
	heap float64
	seen float64 // series so far
	// raw says that the samples themselves are the result.
	raw bool
}

// What promql takes for a series beside its points. Measured with TestWeights.
const (
	seriesBytes   = 400  // one that is read, in all forms of it together
	operatorBytes = 300  // what an operator makes of it
	joinBytes     = 300  // its places in the tables of a join
	joinLabels    = 6    // the same, in lengths of its labels
	valueBytes    = 1000 // a series that count_values makes
	iteratorBytes = 3000 // an iterator that is kept, as timestamp does
)

// newWeight returns the weight of a selector that nothing is done with.
func newWeight() *weight { return &weight{bytes: seriesBytes, labels: 2} }

// weigh returns the weight of each selector of the expression, by the first of its matchers. The
// expression is evaluated at so many steps.
func weigh(root parser.Expr, steps int) map[*labels.Matcher]*weight {
	w := weigher{}
	all := w.visit(root)
	all.each(func(weight *weight) { weight.steps = int64(steps) })
	if _, ok := unwrap(root).(*parser.MatrixSelector); ok {
		all.each(func(weight *weight) { weight.raw = true })
	}
	return w
}

type weigher map[*labels.Matcher]*weight

// branch is what is known of a part of the expression.
type branch struct {
	below []*weight // of the selectors in it
	made  map[string]text
}

// text bounds the length of a label value: so many bytes, and so often the length of the labels
// that the series was read with.
type text struct{ bytes, labels float64 }

func (t text) add(u text, times float64) text {
	return text{t.bytes + times*u.bytes, t.labels + times*u.labels}
}

// of is the length of the label in this part.
func (b *branch) of(label string) text {
	if t, ok := b.made[label]; ok {
		return t
	}
	return text{labels: 1}
}

func (b *branch) each(f func(*weight)) {
	for _, w := range b.below {
		f(w)
	}
}

func (w weigher) visit(node parser.Node) branch {
	var all branch
	for child := range parser.ChildrenIter(node) {
		b := w.visit(child)
		all.below = append(all.below, b.below...)
		if all.made == nil {
			all.made = b.made
			continue
		}
		for name, t := range b.made {
			have := all.made[name]
			all.made[name] = text{max(t.bytes, have.bytes), max(t.labels, have.labels)}
		}
	}
	switch n := node.(type) {
	case *parser.VectorSelector:
		leaf := newWeight()
		all.below = []*weight{leaf}
		if len(n.LabelMatchers) > 0 {
			w[n.LabelMatchers[0]] = leaf
		}
	case *parser.Call:
		w.call(n, &all)
	case *parser.BinaryExpr:
		join := n.LHS.Type() == parser.ValueTypeVector && n.RHS.Type() == parser.ValueTypeVector
		all.each(func(weight *weight) { weight.operate(join) })
	case *parser.AggregateExpr:
		all.each(func(weight *weight) {
			weight.operate(false)
			switch n.Op {
			case parser.COUNT_VALUES:
				weight.bytes = max(weight.bytes, seriesBytes+valueBytes)
			case parser.TOPK, parser.BOTTOMK, parser.LIMITK:
				if len(n.Grouping) > 0 || n.Without {
					weight.heap = max(weight.heap, number(n.Param))
				}
			}
		})
	case *parser.UnaryExpr:
		all.each(func(weight *weight) { weight.operate(false) })
	}
	return all
}

// number is the value of a number that is written as such, and infinite for all else.
func number(e parser.Expr) float64 {
	if n, ok := unwrap(e).(*parser.NumberLiteral); ok {
		return n.Val
	}
	return math.Inf(1)
}

// operate adds an operator. Of a chain of them two results are held at one time.
func (w *weight) operate(join bool) {
	w.operated = true
	w.bytes = max(w.bytes, seriesBytes+operatorBytes)
	if join {
		w.bytes = max(w.bytes, seriesBytes+operatorBytes+joinBytes)
		w.labels = max(w.labels, 2+joinLabels)
	}
}

// call adds a function.
func (w weigher) call(n *parser.Call, b *branch) {
	if len(n.Args) > 0 {
		if _, ok := unwrap(n.Args[len(n.Args)-1]).(*parser.MatrixSelector); ok {
			return // Its input is one series at a time.
		}
	}
	b.each(func(weight *weight) { weight.operate(false) })
	const (
		replacement = 2
		source      = 3
		separator   = 2
	)
	argument := func(i int) string {
		if i < len(n.Args) {
			if s, ok := unwrap(n.Args[i]).(*parser.StringLiteral); ok {
				return s.Val
			}
		}
		return ""
	}
	made := text{}
	switch n.Func.Name {
	case "timestamp":
		b.each(func(weight *weight) { weight.bytes = max(weight.bytes, seriesBytes+operatorBytes+iteratorBytes) })
		return
	case "label_replace":
		made = text{bytes: float64(len(argument(replacement)))}
		made = made.add(b.of(argument(source)), float64(strings.Count(argument(replacement), "$")))
	case "label_join":
		for i := source; i < len(n.Args); i++ {
			made = made.add(b.of(argument(i)), 1)
			made.bytes += float64(len(argument(separator)))
		}
	default:
		return
	}
	if b.made == nil {
		b.made = map[string]text{}
	}
	b.made[argument(1)] = made
	total := text{labels: 1}
	for name, t := range b.made {
		total.bytes += float64(len(name))
		total = total.add(t, 1)
	}
	b.each(func(weight *weight) { // The input and the result, and the label on its own.
		weight.bytes = max(weight.bytes, seriesBytes+operatorBytes+3*total.bytes)
		weight.labels = max(weight.labels, 2+3*total.labels)
	})
}

// of is how many bytes the next series weighs, which has labels of this length and so many points, each of
// so many bytes, of all steps that there are.
func (w *weight) of(labels int, points, steps, pointBytes int64) int64 {
	if w.operated {
		const reserved = 5000 // promql makes room for so many points at most.
		points += max(points, min(max(steps, w.steps), reserved))
	}
	w.seen++
	// Each series may begin a group, with room for all series if it may have so many.
	const heapBytes = 2 * 56
	n := w.bytes + w.labels*float64(labels) + float64(points*pointBytes) + heapBytes*min(w.heap, w.seen)
	return int64(min(n, math.MaxInt64/4))
}
