package eval

import (
	"bytes"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/series"
)

// join is an operation between the series of two sides: each of one side with the one of the other
// that has the same labels, of those that count. Sides are evaluated first, series are paired by
// their labels, and pairs are evaluated as series of a selection are.
//
// The engine pairs at each step anew. So where two series of a side that has to be unique have the
// same labels, only the engine can say whether they meet at a step, and the join is left to it.
type join struct {
	sides     []*Expr
	matching  *parser.VectorMatching
	do        func(l, r float64) float64 // Absent leaves the value out.
	keepsName bool
}

// joined stands for what a pair of series has as values.
var joined = &function{keepsName: true, current: true}

// matchJoin returns nil for what is not known here, sets above all.
func matchJoin(n *parser.BinaryExpr, mode Mode, once bool) *Expr {
	m := n.VectorMatching
	if m == nil || m.Card == parser.CardManyToMany || m.FillValues.LHS != nil || m.FillValues.RHS != nil || mode.DelayedNames {
		return nil
	}
	j := &join{matching: m}
	if f := arithmetic[n.Op]; f != nil {
		j.do = f
	} else if holds := comparisons[n.Op]; holds != nil {
		j.do, j.keepsName = comparison(holds, n.ReturnBool), !n.ReturnBool
	} else {
		return nil
	}
	for _, e := range []parser.Expr{n.LHS, n.RHS} {
		side := matchSide(e, mode, once)
		if side == nil {
			return nil
		}
		j.sides = append(j.sides, side)
	}
	return &Expr{mode: mode, function: joined, join: j}
}

// matchSide matches all that is known here.
func matchSide(e parser.Expr, mode Mode, once bool) *Expr {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return matchSide(n.Expr, mode, once)
	case *parser.AggregateExpr:
		return match(n, mode, once)
	}
	return matchSeries(e, mode, once)
}

// pair finds the series that belong together.
func (x *Expr) pair(left, right *Result, p *Params) (*inputs, error) {
	card := x.join.matching.Card
	many, one := left.Series, right.Series
	if card == parser.CardOneToMany {
		many, one = one, many
	}
	index, err := x.join.index(one, p)
	if err != nil {
		return nil, err
	}
	in := &inputs{}
	g := grouper{expr: x, index: map[string]int32{}}
	used := make([]bool, len(one))
	var key series.Labels
	for i := range many {
		if many[i].Histograms != nil {
			return nil, ErrFallback
		}
		key = x.join.appendKey(key[:0], many[i].Labels)
		at, ok := index[string(key)]
		if !ok {
			continue
		}
		if card == parser.CardOneToOne && used[at] {
			return nil, ErrFallback
		}
		used[at] = true
		labels := x.join.labels(many[i].Labels, one[at].Labels)
		if err := p.Take(inputBytes + groupBytes + 3*int64(len(labels))); err != nil {
			return nil, err
		}
		s := input{labels: labels, group: g.group(labels), sides: [2]int32{int32(i), at}}
		if card == parser.CardOneToMany {
			s.sides = [2]int32{at, int32(i)}
		}
		in.list = append(in.list, s)
	}
	in.groups = g.groups
	if g.ambiguous && hasTwins(in.list, reserved[[]byte]) || card != parser.CardOneToOne && hasTwins(in.list, nil) {
		return nil, ErrFallback
	}
	return in, nil
}

// index returns the series of the side that has to be unique.
func (j *join) index(one []Series, p *Params) (map[string]int32, error) {
	index := make(map[string]int32, len(one))
	for i := range one {
		key := j.appendKey(nil, one[i].Labels)
		if err := p.Take(groupBytes + int64(len(key))); err != nil {
			return nil, err
		}
		if _, twice := index[string(key)]; twice || one[i].Histograms != nil {
			return nil, ErrFallback
		}
		index[string(key)] = int32(i)
	}
	return index, nil
}

// appendKey appends the labels that have to be the same.
func (j *join) appendKey(dst, ls series.Labels) series.Labels {
	for name, value := range ls.All() {
		if j.lists(name) == j.matching.On && (j.matching.On || !reserved(name)) {
			dst = series.AppendPair(dst, name, value)
		}
	}
	return dst
}

func (j *join) lists(name []byte) bool { return contains(j.matching.MatchingLabels, name) }

func contains(names []string, name []byte) bool {
	return slices.ContainsFunc(names, func(s string) bool { return s == string(name) })
}

// labels returns those of the result of two series.
func (j *join) labels(many, one series.Labels) series.Labels {
	type pair struct{ name, value []byte }
	var pairs []pair
	for name, value := range many.All() {
		switch {
		case reserved(name) && !j.keepsName:
		case j.matching.Card == parser.CardOneToOne && j.lists(name) != j.matching.On:
		case contains(j.matching.Include, name):
		default:
			pairs = append(pairs, pair{name, value})
		}
	}
	if include := j.matching.Include; len(include) > 0 {
		for name, value := range one.All() {
			if contains(include, name) {
				pairs = append(pairs, pair{name, value})
			}
		}
		slices.SortFunc(pairs, func(a, b pair) int { return bytes.Compare(a.name, b.name) })
	}
	var out series.Labels
	for _, p := range pairs {
		out = series.AppendPair(out, p.name, p.value)
	}
	return out
}

// evalPair computes the values of a pair.
func (e *evaluator) evalPair(s *input) (partial.Values, error) {
	left, right := e.sides[0].Series[s.sides[0]].Floats, e.sides[1].Series[s.sides[1]].Floats
	for i, l := range left {
		r := right[i]
		if partial.IsAbsent(l) || partial.IsAbsent(r) {
			e.floats[i] = partial.Absent
		} else {
			e.floats[i] = e.expr.join.do(l, r)
		}
	}
	s.points = present(e.floats)
	return partial.Values{Floats: e.floats}, e.tally(tally{points: int64(s.points)})
}

// present is how many values are there.
func present(values []float64) int32 {
	n := int32(0)
	for _, v := range values {
		if !partial.IsAbsent(v) {
			n++
		}
	}
	return n
}
