package eval

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// ErrCorrupt marks bytes that Expr.Append did not write.
var ErrCorrupt = errors.New("expression is corrupt")

// Decode reads what Append wrote, for a selector with these matchers. It returns ErrFallback for what this
// node does not know: a node of another version may have sent it.
func Decode(b []byte, ms []*labels.Matcher) (*Expr, error) {
	d := decoder{b: b, matchers: ms}
	if v := d.u8(); d.err == nil && v != exprVersion {
		return nil, ErrFallback
	}
	mode := d.u8()
	if mode > modeAll {
		d.fail("mode %d", mode)
	}
	root := d.node(0)
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	x := match(root, Mode{
		DelayedNames: mode&modeDelayedNames != 0, StartTimes: mode&modeStartTimes != 0, TypeUnit: mode&modeTypeUnit != 0,
	}, true)
	if x == nil || !x.Aggregates() {
		return nil, ErrFallback
	}
	return x, nil
}

// decoder goes on with zeros after an error, which it keeps.
type decoder struct {
	b        []byte
	matchers []*labels.Matcher
	selected bool // There was a selector.
	err      error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

// unknown ends the decoding with what may be all right elsewhere.
func (d *decoder) unknown() {
	if d.err == nil {
		d.err = ErrFallback
	}
	d.b = nil
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("cut short")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) u8() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) flags(all byte) byte {
	f := d.u8()
	if f > all {
		d.fail("flags %d", f)
	}
	return f
}

func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit {
		d.fail("number cut short or above %d", limit)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// varint is a number from -limit to limit.
func (d *decoder) varint(limit int64) int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || v > limit || v < -limit {
		d.fail("number cut short or beyond %d", limit)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) text() string { return string(d.bytes(d.uvarint(uint64(len(d.b))))) }

// operators by what they are in PromQL.
var operators = func() map[string]parser.ItemType {
	all := map[string]parser.ItemType{}
	for op := range arithmetic {
		all[op.String()] = op
	}
	for op := range comparisons {
		all[op.String()] = op
	}
	for op := range ops {
		all[op.String()] = op
	}
	return all
}()

func (d *decoder) operator() parser.ItemType {
	op, ok := operators[d.text()]
	if !ok {
		d.unknown()
	}
	return op
}

// node reads a tree whose types are right, as the parser would have made it.
func (d *decoder) node(depth int) parser.Expr {
	if depth++; depth > maxExprDepth {
		d.fail("deeper than %d", maxExprDepth)
	}
	if d.err != nil {
		return nothing
	}
	switch kind := d.u8(); kind {
	case nodeNumber:
		b := d.bytes(8)
		if b == nil {
			return nothing
		}
		return &parser.NumberLiteral{Val: math.Float64frombits(binary.LittleEndian.Uint64(b))}
	case nodeUnary:
		return &parser.UnaryExpr{Op: d.operator(), Expr: d.values(depth)}
	case nodeBinary:
		op := d.operator()
		flags := d.flags(flagBool)
		n := &parser.BinaryExpr{Op: op, ReturnBool: flags != 0, LHS: d.values(depth), RHS: d.values(depth)}
		if n.LHS.Type() == parser.ValueTypeVector && n.RHS.Type() == parser.ValueTypeVector {
			d.unknown()
		}
		return n
	case nodeCall:
		return d.call(depth)
	case nodeSelector:
		return d.selector()
	case nodeRange:
		m := &parser.MatrixSelector{Range: time.Duration(d.uvarint(uint64(longest))) * time.Millisecond}
		s, ok := d.node(depth).(*parser.VectorSelector)
		if !ok {
			d.fail("a range of no selector")
		}
		m.VectorSelector = s
		return m
	case nodeAggregate:
		return d.aggregate(depth)
	default:
		d.unknown()
		return nothing
	}
}

// nothing stands for what can't be read.
var nothing = &parser.NumberLiteral{}

// values reads a node that has values at an instant.
func (d *decoder) values(depth int) parser.Expr {
	e := d.node(depth)
	if t := e.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		d.fail("a %s in place of values", t)
	}
	return e
}

func (d *decoder) call(depth int) parser.Expr {
	f := parser.Functions[d.text()]
	n := int(d.uvarint(uint64(len(d.b))))
	if f == nil {
		d.unknown()
		return nothing
	}
	if least, most := arity(f); n < least || n > most {
		d.fail("%s of %d arguments", f.Name, n)
	}
	c := &parser.Call{Func: f}
	for i := 0; i < n && d.err == nil; i++ {
		arg := d.node(depth)
		if want := f.ArgTypes[min(i, len(f.ArgTypes)-1)]; arg.Type() != want {
			d.fail("%s of a %s in place of a %s", f.Name, arg.Type(), want)
		}
		c.Args = append(c.Args, arg)
	}
	return c
}

// arity is how many arguments a function has.
func arity(f *parser.Function) (least, most int) {
	n := len(f.ArgTypes)
	switch {
	case f.Variadic == 0:
		return n, n
	case f.Variadic < 0:
		return n - 1, math.MaxInt
	}
	return n - 1, n - 1 + f.Variadic
}

func (d *decoder) selector() parser.Expr {
	if d.selected {
		d.unknown()
	}
	d.selected = true
	flags := d.flags(flagNoBuckets | flagAt)
	s := &parser.VectorSelector{
		LabelMatchers: d.matchers, SkipHistogramBuckets: flags&flagNoBuckets != 0,
		OriginalOffset: time.Duration(d.varint(longest)) * time.Millisecond,
	}
	if flags&flagAt != 0 {
		at := d.varint(farthest)
		s.Timestamp = &at
	}
	return s
}

func (d *decoder) aggregate(depth int) parser.Expr {
	n := &parser.AggregateExpr{Op: d.operator()}
	flags := d.flags(flagWithout | flagParam)
	n.Without = flags&flagWithout != 0
	for range d.uvarint(uint64(len(d.b))) {
		n.Grouping = append(n.Grouping, d.text())
	}
	if op, known := ops[n.Op]; d.err == nil && (!known || op.TakesParam() != (flags&flagParam != 0)) {
		d.fail("aggregation %s with flags %d", n.Op, flags)
	}
	if flags&flagParam != 0 {
		if n.Param = d.node(depth); n.Param.Type() != parser.ValueTypeScalar {
			d.fail("a %s in place of a parameter", n.Param.Type())
		}
	}
	if n.Expr = d.node(depth); n.Expr.Type() != parser.ValueTypeVector {
		d.fail("aggregation of a %s", n.Expr.Type())
	}
	return n
}
