package api

import (
	"fmt"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// node is one node of an expression's tree as JSON shows it. Recursion is bounded by the depth
// that the engine's parser accepts.
type node = map[string]any

// tree is the JSON form of an expression.
func tree(e parser.Expr) any {
	switch e := e.(type) {
	case nil:
		return nil
	case *parser.AggregateExpr:
		return node{
			"type": "aggregation", "op": e.Op.String(), "expr": tree(e.Expr), "param": tree(e.Param),
			"grouping": names(e.Grouping), "without": e.Without,
		}
	case *parser.BinaryExpr:
		return node{
			"type": "binaryExpr", "op": e.Op.String(), "lhs": tree(e.LHS), "rhs": tree(e.RHS),
			"matching": matching(e.VectorMatching), "bool": e.ReturnBool,
		}
	case *parser.Call:
		return callNode(e)
	case *parser.MatrixSelector:
		vs := e.VectorSelector.(*parser.VectorSelector)
		n := selectorNode("matrixSelector", vs)
		n["range"], n["rangeExpr"] = e.Range.Milliseconds(), durationTree(e.RangeExpr)
		return n
	case *parser.VectorSelector:
		return selectorNode("vectorSelector", e)
	case *parser.SubqueryExpr:
		return node{
			"type": "subquery", "expr": tree(e.Expr),
			"range": e.Range.Milliseconds(), "rangeExpr": durationTree(e.RangeExpr),
			"offset": e.OriginalOffset.Milliseconds(), "offsetExpr": durationTree(e.OriginalOffsetExpr),
			"step": e.Step.Milliseconds(), "stepExpr": durationTree(e.StepExpr),
			"timestamp": e.Timestamp, "startOrEnd": startOrEnd(e.StartOrEnd),
		}
	case *parser.DurationExpr:
		return durationTree(e)
	case *parser.NumberLiteral:
		return node{"type": "numberLiteral", "val": strconv.FormatFloat(e.Val, 'f', -1, 64)}
	case *parser.StringLiteral:
		return node{"type": "stringLiteral", "val": e.Val}
	case *parser.ParenExpr:
		return node{"type": "parenExpr", "expr": tree(e.Expr)}
	case *parser.UnaryExpr:
		return node{"type": "unaryExpr", "op": e.Op.String(), "expr": tree(e.Expr)}
	}
	panic(fmt.Sprintf("expression of type %T", e))
}

func callNode(e *parser.Call) node {
	args := make([]any, len(e.Args))
	for i, arg := range e.Args {
		args[i] = tree(arg)
	}
	return node{
		"type": "call", "args": args,
		"func": node{
			"name": e.Func.Name, "argTypes": e.Func.ArgTypes,
			"variadic": e.Func.Variadic, "returnType": e.Func.ReturnType,
		},
	}
}

func selectorNode(typ string, vs *parser.VectorSelector) node {
	return node{
		"type": typ, "name": vs.Name, "matchers": matcherNodes(vs.LabelMatchers),
		"offset": vs.OriginalOffset.Milliseconds(), "offsetExpr": durationTree(vs.OriginalOffsetExpr),
		"timestamp": vs.Timestamp, "startOrEnd": startOrEnd(vs.StartOrEnd),
		"anchored": vs.Anchored, "smoothed": vs.Smoothed,
	}
}

// durationTree is the JSON form of an expression that stands where a duration is expected: there a
// number says whether it was written as one. The parser leaves typed nil pointers behind.
func durationTree(e parser.Expr) any {
	switch e := e.(type) {
	case *parser.DurationExpr:
		if e == nil {
			return nil
		}
		return node{
			"type": "durationExpr", "op": e.Op.String(), "wrapped": e.Wrapped,
			"lhs": durationTree(e.LHS), "rhs": durationTree(e.RHS),
		}
	case *parser.NumberLiteral:
		if e == nil {
			return nil
		}
		return node{
			"type": "numberLiteral", "val": strconv.FormatFloat(e.Val, 'f', -1, 64), "duration": e.Duration,
		}
	}
	return tree(e)
}

func matching(m *parser.VectorMatching) any {
	if m == nil {
		return nil
	}
	return node{
		"card": m.Card.String(), "on": m.On, "labels": names(m.MatchingLabels), "include": names(m.Include),
		"fillValues": map[string]*float64{"lhs": m.FillValues.LHS, "rhs": m.FillValues.RHS},
	}
}

func matcherNodes(ms []*labels.Matcher) []node {
	nodes := make([]node, len(ms))
	for i, m := range ms {
		nodes[i] = node{"name": m.Name, "value": m.Value, "type": m.Type.String()}
	}
	return nodes
}

// names is never null.
func names(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func startOrEnd(item parser.ItemType) any {
	if item == 0 {
		return nil
	}
	return item.String()
}
