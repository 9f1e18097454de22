package eval

import (
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/querier/partial"
)

// subquery is a range whose samples are what an expression comes to, at steps of its own.
type subquery struct {
	inner        *Expr
	step, offset int64
}

// matchSubquery makes the subquery the range of x's function.
func (x *Expr) matchSubquery(n *parser.SubqueryExpr) bool {
	if n.Timestamp != nil || n.Range <= 0 || x.mode.DelayedNames {
		return false
	}
	s := &subquery{step: n.Step.Milliseconds(), offset: n.OriginalOffset.Milliseconds()}
	if n.Step == 0 {
		s.step = x.mode.SubqueryStep.Milliseconds()
	}
	if s.step <= 0 || n.Range%time.Millisecond+n.Step%time.Millisecond != 0 || n.OriginalOffset%time.Millisecond != 0 {
		return false
	}
	if s.inner = matchSide(n.Expr, x.mode, false); s.inner == nil {
		return false
	}
	x.subquery, x.window, x.seconds = s, n.Range.Milliseconds(), n.Range.Seconds()
	x.arg = &parser.MatrixSelector{VectorSelector: &parser.VectorSelector{}} // The engine forgets where it stands.
	return true
}

// innerGrid is when what is in the subquery of x is evaluated: at multiples of its step, which may be
// never.
func (x *Expr) innerGrid(g Grid) Grid {
	s := x.subquery
	first, last := g.Start-s.offset-x.window, g.Start+int64(g.Steps-1)*g.Step-s.offset
	start := first / s.step * s.step
	if start <= first {
		start += s.step
	}
	return Grid{Start: start, Step: s.step, Steps: int(floorDiv(last-start, s.step) + 1)}
}

// members are the series that the subquery gives.
func (x *Expr) members(inner *Result, p *Params) (*inputs, error) {
	in := &inputs{most: inner.Grid.Steps}
	g := grouper{expr: x, index: map[string]int32{}}
	for i := range inner.Series {
		s := &inner.Series[i]
		if s.Histograms != nil {
			return nil, ErrFallback
		}
		if err := p.Take(inputBytes + groupBytes + 2*int64(len(s.Labels))); err != nil {
			return nil, err
		}
		in.list = append(in.list, input{labels: s.Labels, group: g.group(s.Labels), sides: [2]int32{int32(i)}})
	}
	in.groups, in.named = g.groups, g.seen && !g.ambiguous
	if g.ambiguous && hasTwins(in.list, reserved[[]byte]) {
		return nil, ErrFallback
	}
	return in, nil
}

// evalMember computes the values of a series of a subquery.
func (e *evaluator) evalMember(s *input) (partial.Values, error) {
	inner, w := e.sides[0], e.work
	w.times, w.values, w.rhythm, w.spans = w.times[:0], w.values[:0], rhythm{}, w.spans[:0]
	for i, v := range inner.Series[s.sides[0]].Floats {
		if !partial.IsAbsent(v) {
			w.times, w.values = append(w.times, inner.Grid.Start+int64(i)*inner.Grid.Step), append(w.values, v)
		}
	}
	if err := w.eval(e.expr, e.floats); err != nil {
		return partial.Values{}, err
	}
	s.points = present(e.floats)
	s.floats = s.points > 0
	return partial.Values{Floats: e.floats}, e.tally(tally{points: int64(s.points), widest: int64(w.widest)})
}

// consume counts what the steps of x see of the samples that its subquery has seen: a step all that
// the steps in its window have, as if it had read them itself.
func (x *Expr) consume(g Grid, inner *Result) Statistics {
	if g.Steps <= 1 {
		return Statistics{Samples: []int64{inner.Samples}, NewSamples: []int64{inner.NewSamples}}
	}
	out := newStatistics(g.Steps)
	at := func(i int) int64 { return inner.Grid.Start + int64(i)*inner.Grid.Step + x.subquery.offset }
	lo, hi, sum := 0, 0, int64(0)
	for i := range out.Samples {
		end := g.Start + int64(i)*g.Step
		for ; hi < len(inner.steps.Samples) && at(hi) <= end; hi++ {
			sum += inner.steps.Samples[hi]
			if at(hi) > end-x.window {
				out.NewSamples[i] += inner.steps.NewSamples[hi]
			}
		}
		for ; lo < hi && at(lo) <= end-x.window; lo++ {
			sum -= inner.steps.Samples[lo]
		}
		out.Samples[i] = sum
	}
	return out
}
