package eval

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// An expression that other nodes are to compute in parts is sent as its tree. There is no text to parse,
// and what promql has resolved by then (times of @, durations that were computed) stays so:
//
//	expression = version u8 (1) | mode u8 | node       mode: 1 delayed names, 2 start times, 4 type and unit
//	node       = kind u8 | body
//	             1 number     f64 le
//	             2 unary      text op | node
//	             3 binary     text op | flags u8: 1 bool | node | node
//	             4 call       text name | uvarint n | node...
//	             5 selector   flags u8: 1 no buckets, 2 at | varint offset | [varint at]
//	             6 range      uvarint milliseconds | node, a selector
//	             7 aggregate  text op | flags u8: 1 without, 2 parameter | uvarint n | text... | [node] | node
//	text       = uvarint length | bytes
//
// The root is an aggregate, and there is one selector. Its matchers are not in it: they go as those of
// selections do. Parentheses are left out, as are places in the query's text.
const (
	exprVersion = 1

	modeDelayedNames = 1 << 0
	modeStartTimes   = 1 << 1
	modeTypeUnit     = 1 << 2
	modeAll          = modeDelayedNames | modeStartTimes | modeTypeUnit

	nodeNumber    = 1
	nodeUnary     = 2
	nodeBinary    = 3
	nodeCall      = 4
	nodeSelector  = 5
	nodeRange     = 6
	nodeAggregate = 7

	flagBool      = 1 << 0
	flagNoBuckets = 1 << 0
	flagAt        = 1 << 1
	flagWithout   = 1 << 0
	flagParam     = 1 << 1

	// maxExprDepth is how deep a tree may be that is sent.
	maxExprDepth = 200
	// farthest bounds times and durations, in milliseconds, so that sums of a few don't overflow. It is
	// more than a hundred million years.
	farthest = 1 << 52
	// longest bounds durations: promql has them in nanoseconds.
	longest = int64(math.MaxInt64 / time.Millisecond)
)

// Append appends the encoding of an aggregation, see Aggregates. It returns false for one that can't be
// sent.
func (x *Expr) Append(dst []byte) ([]byte, bool) {
	mode := byte(0)
	for i, on := range []bool{x.mode.DelayedNames, x.mode.StartTimes, x.mode.TypeUnit} {
		if on {
			mode |= 1 << i
		}
	}
	return appendNode(append(dst, exprVersion, mode), x.at, 0)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendNode(dst []byte, e parser.Expr, depth int) ([]byte, bool) {
	if depth++; depth > maxExprDepth {
		return dst, false
	}
	switch n := e.(type) {
	case *parser.ParenExpr:
		return appendNode(dst, n.Expr, depth)
	case *parser.StepInvariantExpr:
		return appendNode(dst, n.Expr, depth)
	case *parser.NumberLiteral:
		return binary.LittleEndian.AppendUint64(append(dst, nodeNumber), math.Float64bits(n.Val)), true
	case *parser.UnaryExpr:
		return appendNode(appendText(append(dst, nodeUnary), n.Op.String()), n.Expr, depth)
	case *parser.BinaryExpr:
		dst = appendText(append(dst, nodeBinary), n.Op.String())
		return appendNodes(append(dst, flagIf(n.ReturnBool, flagBool)), depth, n.LHS, n.RHS)
	case *parser.Call:
		dst = appendText(append(dst, nodeCall), n.Func.Name)
		return appendNodes(binary.AppendUvarint(dst, uint64(len(n.Args))), depth, n.Args...)
	case *parser.VectorSelector:
		return appendSelector(dst, n)
	case *parser.MatrixSelector:
		return appendNode(binary.AppendUvarint(append(dst, nodeRange), uint64(n.Range.Milliseconds())), n.VectorSelector, depth)
	case *parser.AggregateExpr:
		dst = appendText(append(dst, nodeAggregate), n.Op.String())
		dst = append(dst, flagIf(n.Without, flagWithout)|flagIf(n.Param != nil, flagParam))
		dst = binary.AppendUvarint(dst, uint64(len(n.Grouping)))
		for _, name := range n.Grouping {
			dst = appendText(dst, name)
		}
		if n.Param != nil {
			return appendNodes(dst, depth, n.Param, n.Expr)
		}
		return appendNode(dst, n.Expr, depth)
	}
	return dst, false
}

func appendNodes(dst []byte, depth int, es ...parser.Expr) (_ []byte, ok bool) {
	for _, e := range es {
		if dst, ok = appendNode(dst, e, depth); !ok {
			return dst, false
		}
	}
	return dst, true
}

func appendSelector(dst []byte, s *parser.VectorSelector) ([]byte, bool) {
	dst = append(dst, nodeSelector, flagIf(s.SkipHistogramBuckets, flagNoBuckets)|flagIf(s.Timestamp != nil, flagAt))
	dst = binary.AppendVarint(dst, s.OriginalOffset.Milliseconds())
	if s.Timestamp == nil {
		return dst, true
	}
	return binary.AppendVarint(dst, *s.Timestamp), near(*s.Timestamp)
}

// near reports whether a time is not too far away to be sent.
func near(t int64) bool { return -farthest <= t && t <= farthest }

func flagIf(is bool, f byte) byte {
	if is {
		return f
	}
	return 0
}
