package eval

import (
	"math"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/series"
)

// aggregation is what is done with the values of all series.
type aggregation struct {
	op       partial.Op // 0 is none
	without  bool
	grouping []string
	param    number
	at       *parser.AggregateExpr
}

var ops = map[parser.ItemType]partial.Op{
	parser.SUM: partial.Sum, parser.AVG: partial.Avg, parser.MIN: partial.Min,
	parser.MAX: partial.Max, parser.COUNT: partial.Count, parser.GROUP: partial.Group,
	parser.STDDEV: partial.Stddev, parser.STDVAR: partial.Stdvar,
	parser.TOPK: partial.TopK, parser.BOTTOMK: partial.BottomK, parser.QUANTILE: partial.Quantile,
}

// matchAggregation reports whether the aggregation of what x is so far can be computed here.
func (x *Expr) matchAggregation(n *parser.AggregateExpr) bool {
	op := ops[n.Op]
	if op == 0 {
		return false
	}
	var param number
	if n.Param != nil {
		var ok bool
		if param, ok = matchNumber(n.Param); !ok {
			return false
		}
	}
	x.aggregation = aggregation{op: op, param: param, without: n.Without, grouping: n.Grouping, at: n}
	// With delayed names these series would still have the name that they are going to lose.
	return !(x.keepsSeries() && x.mode.DelayedNames && x.dropsName())
}

// keepsSeries reports whether the aggregation chooses among series.
func (a *aggregation) keepsSeries() bool { return a.op == partial.TopK || a.op == partial.BottomK }

// aggregate is the aggregation over the grid. It returns false for parameters that the engine takes
// for an error.
func (a *aggregation) aggregate(g Grid) (partial.Aggregate, bool) {
	agg := partial.Aggregate{Op: a.op, Steps: g.Steps}
	if a.op == 0 || a.at.Param == nil {
		return agg, true
	}
	agg.Params = make([]float64, g.Steps)
	for i := range agg.Params {
		p := a.param.get(float64(g.Start+int64(i)*g.Step) / 1000)
		if a.keepsSeries() && !(p > math.MinInt64 && p < math.MaxInt64) {
			return agg, false
		}
		agg.Params[i] = p
	}
	return agg, true
}

// annotateParams warns of quantiles that are none.
func (a *aggregation) annotateParams(params []float64, to *annotations.Annotations) {
	if a.op != partial.Quantile {
		return
	}
	least, most, none := math.Inf(1), math.Inf(-1), false
	for _, p := range params {
		least, most, none = math.Min(least, p), math.Max(most, p), none || math.IsNaN(p)
	}
	at := a.at.Param.PositionRange()
	if none {
		to.Add(annotations.NewInvalidQuantileWarning(math.NaN(), at))
	}
	if most > 1 {
		to.Add(annotations.NewInvalidQuantileWarning(most, at))
	}
	if least < 0 {
		to.Add(annotations.NewInvalidQuantileWarning(least, at))
	}
}

// annotateNotes says what the engine would say about a group.
func (a *aggregation) annotateNotes(notes partial.Notes, to *annotations.Annotations) {
	at := a.at.Expr.PositionRange()
	if notes&partial.IgnoredHistograms != 0 {
		if a.keepsSeries() {
			at = a.at.PosRange
		}
		to.Add(annotations.NewHistogramIgnoredInAggregationInfo(a.at.Op.String(), at))
	}
	if notes&partial.MixedTypes != 0 {
		to.Add(annotations.NewMixedFloatsHistogramsAggWarning(at))
	}
	if notes&partial.ResetCollision != 0 {
		to.Add(annotations.NewHistogramCounterResetCollisionWarning(at, annotations.HistogramAgg))
	}
	if notes&partial.MismatchedBounds != 0 {
		to.Add(annotations.NewMismatchedCustomBucketsHistogramsInfo(at, annotations.HistogramAgg))
	}
}

// ownLabels is what a series that was chosen keeps of its labels.
func (x *Expr) ownLabels(ls series.Labels) series.Labels {
	var own series.Labels
	for name, value := range ls.All() {
		if !x.dropsName() || !reserved(name) {
			own = series.AppendPair(own, name, value)
		}
	}
	return own
}
