package eval

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/util/annotations"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/chunk"
)

// Part is what an aggregation has come to over some of its series, such as those of one node.
type Part struct {
	Set         *partial.Set
	Annotations annotations.Annotations
	// Read, Samples and NewSamples are as in a Result.
	Read                int
	Samples, NewSamples int64
}

// Aggregates reports whether the expression is an aggregation of series that it reads, and so can be
// computed in parts.
func (x *Expr) Aggregates() bool { return x.op != 0 && x.selector != nil }

// Part evaluates an aggregation over the set as far as it goes without other series. The part refers
// to labels of the set until it is encoded or finished.
func (x *Expr) Part(ctx context.Context, set chunk.SeriesSet, p Params) (*Part, error) {
	r, err := x.start(&p, func() (*inputs, error) { return x.gather(set, &p) })
	if err != nil {
		return nil, err
	}
	return r.part(ctx)
}

// Finish merges parts, the series of each after those of the one before, and returns the result. It
// ends with ErrFallback where parts don't know enough. The parts are not to be used any more.
func (x *Expr) Finish(g Grid, parts ...*Part) (*Result, error) {
	res := &Result{Grid: g}
	sets := make([]*partial.Set, len(parts))
	for i, p := range parts {
		sets[i] = p.Set
		res.Annotations.Merge(p.Annotations)
		res.Read += p.Read
		res.Samples += p.Samples
		res.NewSamples += p.NewSamples
	}
	set, ok := partial.Merge(sets...)
	if !ok {
		return nil, ErrFallback
	}
	x.annotateParams(set.Params, &res.Annotations)
	for _, group := range set.Groups {
		results, notes, ok := group.Column.Finish()
		if !ok {
			return nil, ErrFallback
		}
		x.annotateNotes(notes, &res.Annotations)
		for _, one := range results {
			labels := group.Labels
			if x.keepsSeries() {
				labels = x.ownLabels(one.Labels)
			}
			res.add(labels, one.Values)
		}
	}
	return res, nil
}

// part evaluates the aggregation with groups split between workers. Where the order of series
// decides more than the last bits, it does so once more with each group whole.
func (r *run) part(ctx context.Context) (*Part, error) {
	p, err := r.try(ctx)
	if errors.Is(err, ErrFallback) && len(r.pieces) > 1 {
		r.whole = true
		for i := range r.list {
			r.list[i].points, r.list[i].floats = 0, false
		}
		r.points.Store(0)
		r.samples.Store(0)
		r.reads.Store(0)
		p, err = r.try(ctx)
	}
	return p, err
}

// try returns ErrFallback where a column does not know enough. Groups come in the order of the first
// of their series that has a value.
func (r *run) try(ctx context.Context) (*Part, error) {
	if err := r.work(ctx); err != nil {
		return nil, err
	}
	part := &Part{
		Set: &partial.Set{Aggregate: r.agg}, Read: len(r.list),
		Samples: r.samples.Load(), NewSamples: r.reads.Load(),
	}
	columns := make([]*partial.Column, len(r.groups))
	for _, p := range r.pieces {
		part.Annotations.Merge(p.annos)
		for _, d := range p.groups {
			if c := columns[d.group]; c == nil {
				columns[d.group] = d.column
			} else if !c.Merge(d.column) {
				return nil, ErrFallback
			}
		}
	}
	r.annotate(&part.Annotations)
	for _, s := range r.list {
		c := columns[s.group]
		if !s.kept || c == nil {
			continue
		}
		if !c.Settled() {
			return nil, ErrFallback
		}
		columns[s.group] = nil // Once is enough.
		part.Set.Groups = append(part.Set.Groups, partial.GroupColumn{Labels: r.groups[s.group], Column: c})
	}
	return part, nil
}
