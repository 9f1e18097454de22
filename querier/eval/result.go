package eval

import (
	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/series"
)

// Series is one of the results: values, or points where Params.Points asks for these.
type Series struct {
	Labels series.Labels
	partial.Values
	Points  []promql.FPoint // Valid until the result is released.
	HPoints []promql.HPoint
}

// Count is how many values there are, a histogram counting for as many as it does in the engine.
func (s *Series) Count() int64 {
	n := int64(len(s.Points))
	for _, p := range s.HPoints {
		n += sizeOf(p.H)
	}
	for _, v := range s.Floats {
		if !partial.IsAbsent(v) {
			n++
		}
	}
	for _, h := range s.Histograms {
		if h != nil {
			n += sizeOf(h)
		}
	}
	return n
}

// Count is that of all series.
func (r *Result) Count() int64 {
	n := int64(0)
	for i := range r.Series {
		n += r.Series[i].Count()
	}
	return n
}

// Release gives back the memory of points, which are not to be used any more.
func (r *Result) Release() {
	release(r.slabs)
	r.slabs = nil
}

// add adds a series unless it has no value.
func (r *Result) add(ls series.Labels, values partial.Values) {
	if s := (Series{Labels: ls, Values: values}); s.Count() > 0 {
		r.Series = append(r.Series, s)
	}
}

// draw makes points of all values.
func (r *Result) draw() {
	var to points
	for i := range r.Series {
		to.draw(&r.Series[i], r.Grid)
	}
	r.slabs = append(r.slabs, to.slabs...)
}

// result returns what was evaluated without an aggregation, in the order of the series.
func (r *run) result() *Result {
	res := &Result{
		Grid: r.params.Grid, Series: make([]Series, 0, len(r.found)), Read: len(r.list),
		Samples: r.samples.Load(), NewSamples: r.reads.Load(),
	}
	for _, p := range r.pieces {
		res.Annotations.Merge(p.annos)
		res.slabs = append(res.slabs, p.points.slabs...)
	}
	r.annotate(&res.Annotations)
	for _, s := range r.list {
		if s.kept {
			out := r.found[s.group]
			out.Labels = r.groups[s.group]
			res.Series = append(res.Series, out)
		}
	}
	return res
}

// release gives back the memory of points that did not become a result.
func (r *run) release() {
	for _, p := range r.pieces {
		if p != nil {
			release(p.points.slabs)
		}
	}
}
