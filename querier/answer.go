package querier

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/merge"
)

// result returns the query's result where columns have given all of it, as promql would: a vector
// in the order of the series, or a matrix by labels.
func (v *vectorizer) result() *promql.Result {
	if v == nil || v.answer == nil {
		return nil
	}
	stmt := v.query.Statement().(*parser.EvalStmt)
	res := &promql.Result{Warnings: v.answer.Annotations}
	if stmt.Interval == 0 {
		res.Value = answerVector(v.answer)
	} else {
		res.Value = answerMatrix(v.answer)
	}
	if s := v.query.Stats(); s != nil && s.Samples != nil {
		s.Samples.UpdatePeak(int(v.answer.Count()))
	}
	return res
}

func answerVector(r *eval.Result) promql.Vector {
	out := make(promql.Vector, len(r.Series))
	builder := labels.NewScratchBuilder(8)
	for i, s := range r.Series {
		out[i] = promql.Sample{Metric: merge.Labels(&builder, s.Labels), T: r.Grid.Start}
		if len(s.HPoints) > 0 {
			out[i].H = s.HPoints[0].H
		} else {
			out[i].F = s.Points[0].F
		}
	}
	return out
}

func answerMatrix(r *eval.Result) promql.Matrix {
	out := make(promql.Matrix, len(r.Series))
	builder := labels.NewScratchBuilder(8)
	for i, s := range r.Series {
		out[i] = promql.Series{Metric: merge.Labels(&builder, s.Labels), Floats: s.Points, Histograms: s.HPoints}
	}
	slices.SortFunc(out, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	return out
}

// release gives back the memory of the answer.
func (v *vectorizer) release() {
	if v != nil && v.answer != nil {
		v.answer.Release()
	}
}
