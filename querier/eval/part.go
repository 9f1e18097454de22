package eval

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// Part is what an aggregation has come to over some of its series, such as those of one node.
type Part struct {
	Set         *partial.Set
	Annotations annotations.Annotations
	// Read, Samples and NewSamples are as in a Result.
	Read                int
	Samples, NewSamples int64
	// Points is how many values the series had, for Params.MaxSamples, and Bytes what their chunks took.
	Points, Bytes int64
	// Dropped is what the labels that a function drops, such as the name, are of all series; with Differ
	// they are not the same, with nil there are none.
	Dropped series.Labels
	Differ  bool
	// Steps are the statistics of each step, with Params.PerStep.
	Steps Statistics
	// Overlap is how much time the workers took beyond that of one, being several at a time.
	Overlap time.Duration
}

// Aggregation is what x is of the query, if it aggregates; else nil.
func (x *Expr) Aggregation() parser.Expr {
	if x.op == 0 {
		return nil
	}
	return x.at
}

// Aggregates reports whether the expression is an aggregation of series that it reads, and so can be
// computed in parts.
func (x *Expr) Aggregates() bool { return x.op != 0 && x.selector != nil }

// quantileSteps is up to how many steps a part of a quantile is smaller than what it is of: it has a
// value for each series and step.
const quantileSteps = 32

// Request returns what other nodes need to compute their parts: the expression's encoding. It returns
// false where they can't, or where the parts would be no smaller than the series.
func (x *Expr) Request(p Params) ([]byte, bool) {
	g := p.Grid
	if !x.Aggregates() || g.Validate() != nil || x.op == partial.Quantile && g.Steps > quantileSteps {
		return nil, false
	}
	if _, ok := x.aggregate(g); !ok {
		return nil, false
	}
	return x.Append(nil)
}

// Validate returns an error for times with which no part can be computed.
func (g Grid) Validate() error {
	switch {
	case g.Steps < 1 || g.Steps > partial.MaxSteps:
		return fmt.Errorf("%d steps", g.Steps)
	case !near(g.Start) || g.Step < 1 || g.Step > farthest/int64(g.Steps):
		return fmt.Errorf("%d steps of %d ms from %d", g.Steps, g.Step, g.Start)
	}
	return nil
}

// Part evaluates an aggregation over the set as far as it goes without other series. The part refers
// to labels of the set until it is encoded or finished.
func (x *Expr) Part(ctx context.Context, set chunk.SeriesSet, p Params) (*Part, error) {
	r, err := x.start(&p, func() (*inputs, error) { return x.gather(set, &p) })
	if err != nil {
		return nil, err
	}
	return r.part(ctx)
}

// Finish merges parts, of which there is one at least, the series of each after those of the one before, and
// returns the result. It ends with ErrFallback where parts don't know enough. The parts are not to be
// used any more.
func (x *Expr) Finish(params Params, parts ...*Part) (*Result, error) {
	res := &Result{Grid: params.Grid}
	if params.PerStep {
		res.steps = newStatistics(params.Grid.Steps)
	}
	sets, points := make([]*partial.Set, len(parts)), int64(0)
	for i, p := range parts {
		sets[i] = p.Set
		res.Annotations.Merge(p.Annotations)
		res.Read += p.Read
		res.Samples += p.Samples
		res.NewSamples += p.NewSamples
		points += p.Points
		if !params.PerStep {
			continue
		}
		if len(p.Steps.Samples) != params.Grid.Steps {
			return nil, ErrFallback
		}
		res.steps.add(p.Steps)
	}
	switch {
	case points > int64(params.MaxSamples):
		return nil, ErrTooManySamples
	case mayBeTwins(parts):
		return nil, ErrFallback
	}
	set, ok := partial.Merge(sets...)
	if !ok || set.Op != x.op || set.Steps != params.Grid.Steps {
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
	if params.Points {
		res.draw()
	}
	return res, nil
}

// mayBeTwins reports whether series of several parts may differ by nothing but labels that are dropped.
func mayBeTwins(parts []*Part) bool {
	var first *Part
	for _, p := range parts {
		switch {
		case p.Dropped == nil:
		case first == nil:
			first = p
		case first.Differ || p.Differ || string(first.Dropped) != string(p.Dropped):
			return true
		}
	}
	return false
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
		Samples: r.samples.Load(), NewSamples: r.reads.Load(), Points: r.points.Load(), Bytes: r.bytes,
		Dropped: r.dropped, Differ: r.differ, Overlap: time.Duration(r.overlap.Load()),
	}
	columns := make([]*partial.Column, len(r.groups))
	if r.params.PerStep {
		part.Steps = r.perStep()
	}
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
		part.Set.Groups = append(part.Set.Groups, partial.GroupColumn{
			Labels: r.groups[s.group], First: s.labels.Fingerprint(), Column: c,
		})
	}
	return part, nil
}
