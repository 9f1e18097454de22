package fanout

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// maxAtOnce is how many nodes one question is put to at a time. Asking is waiting, so it is not bound
// to cores.
const maxAtOnce = 32

// Fanout asks nodes. It may be used concurrently.
type Fanout struct {
	opts    Options
	metrics *metrics
	delays  *delays
}

// New returns a Fanout.
func New(opts Options) *Fanout {
	opts.EnsureDefaults()
	return &Fanout{opts: opts, metrics: newMetrics(opts.Registerer), delays: newDelays(opts.MinHedge, opts.MaxHedge)}
}

// Select runs the plan; sel's times and shards are replaced by those of each part. There is one set
// for each part, and the caller closes them all.
func (f *Fanout) Select(ctx context.Context, p plan.Plan, sel series.Selector) ([]chunk.SeriesSet, error) {
	do := func(ctx context.Context, n leaf.Node, sel series.Selector) (chunk.SeriesSet, error) {
		set, err := n.Select(ctx, sel)
		if err != nil {
			return nil, err
		}
		return explain.Set(ctx, set), nil
	}
	if p.Alone() {
		return alone(ctx, f, &p, sel, do)
	}
	a := &asking[chunk.SeriesSet]{
		fanout: f, plan: &p, sel: sel, method: forSeries, do: do,
		mark: func(s chunk.SeriesSet, n plan.Node) chunk.SeriesSet { return nodeSet{s, n} },
		drop: func(s chunk.SeriesSet) { _ = s.Close() }, // The error that counts is another.
	}
	out, err := a.all(ctx)
	if err != nil {
		return nil, err
	}
	sets := make([]chunk.SeriesSet, 0, len(out))
	for _, o := range out {
		sets = append(sets, newPartSet(ctx, a, o))
	}
	return sets, nil
}

// Partial runs a plan, all parts of which are whole, for what an aggregation comes to over the series of
// each; ask puts it to a node. Partials are in the order of the parts.
func (f *Fanout) Partial(ctx context.Context, p plan.Plan, sel series.Selector,
	ask func(context.Context, leaf.Node, series.Selector) (*leaf.Partial, error),
) ([]*leaf.Partial, error) {
	a := &asking[*leaf.Partial]{
		fanout: f, plan: &p, sel: sel, method: forPartials, do: ask, drop: func(*leaf.Partial) {}, whole: true,
	}
	return a.values(ctx)
}

// LabelNames runs the plan for label names; the result is sorted.
func (f *Fanout) LabelNames(ctx context.Context, p plan.Plan, sel series.Selector) ([]string, error) {
	return union(lists(ctx, f, &p, sel, forNames, func(ctx context.Context, n leaf.Node, sel series.Selector) ([]string, error) {
		return n.LabelNames(ctx, sel)
	}))
}

// LabelValues runs the plan for the values of one label; the result is sorted.
func (f *Fanout) LabelValues(ctx context.Context, p plan.Plan, name string, sel series.Selector) ([]string, error) {
	return union(lists(ctx, f, &p, sel, forValues, func(ctx context.Context, n leaf.Node, sel series.Selector) ([]string, error) {
		return n.LabelValues(ctx, name, sel)
	}))
}

// Exemplars runs the plan for the exemplars of series that match all matchers of any of the sets.
func (f *Fanout) Exemplars(ctx context.Context, p plan.Plan, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	all, err := lists(ctx, f, &p, series.Selector{}, forExemplars,
		func(ctx context.Context, n leaf.Node, sel series.Selector) ([]frame.ExemplarSeries, error) {
			return n.Exemplars(ctx, sel, ms...)
		})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return joinExemplars(slices.Concat(all...)), nil
}

// Cardinality runs a plan, which is for a moment, for what the newest series have, for a ranking of as many as
// the selector's limit. One node is asked for each shard.
func (f *Fanout) Cardinality(ctx context.Context, p plan.Plan, sel series.Selector) (*cardinality.Counts, error) {
	do := func(ctx context.Context, n leaf.Node, sel series.Selector) (*cardinality.Counts, error) {
		return n.Cardinality(ctx, sel)
	}
	var all []*cardinality.Counts
	var err error
	if p.Alone() {
		all, err = alone(ctx, f, &p, sel, do)
	} else {
		p.Parts = plan.Once(p.Parts)
		a := &asking[*cardinality.Counts]{
			fanout: f, plan: &p, sel: sel, method: forCardinality, do: do, drop: func(*cardinality.Counts) {}, once: true,
		}
		all, err = a.values(ctx)
	}
	if err != nil {
		return nil, err
	}
	return cardinality.Merge(all, cardinality.Of(sel.Limit)), nil
}

// joinExemplars sorts series by their labels and gives each all exemplars once, by time.
func joinExemplars(all []frame.ExemplarSeries) []frame.ExemplarSeries {
	slices.SortStableFunc(all, func(a, b frame.ExemplarSeries) int { return series.CompareBytes(a.Labels, b.Labels) })
	out := all[:0]
	for _, s := range all {
		n := len(out)
		if n == 0 || !bytes.Equal(out[n-1].Labels, s.Labels) {
			out = append(out, s)
			continue
		}
		both := slices.Concat(out[n-1].Exemplars, s.Exemplars)
		slices.SortFunc(both, compareExemplars)
		out[n-1].Exemplars = slices.CompactFunc(both, func(a, b frame.Exemplar) bool { return compareExemplars(a, b) == 0 })
	}
	return out
}

func compareExemplars(a, b frame.Exemplar) int {
	return cmp.Or(cmp.Compare(a.T, b.T), cmp.Compare(math.Float64bits(a.V), math.Float64bits(b.V)),
		series.CompareBytes(a.Labels, b.Labels))
}

// Metadata asks all nodes of the view for what they know of metric families. It is no data: nodes that
// don't answer are left out if any does.
func (f *Fanout) Metadata(ctx context.Context, v plan.View) ([]frame.Metadata, error) {
	nodes := v.Nodes()
	found, errs := make([][]frame.Metadata, len(nodes)), make([]error, len(nodes))
	var wait sync.WaitGroup
	slots := make(chan struct{}, maxAtOnce)
	for i, n := range nodes {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var node leaf.Node
			if node, errs[i] = f.opts.Reach(n); errs[i] == nil {
				found[i], errs[i] = node.Metadata(ctx)
			}
		})
	}
	wait.Wait()
	if !slices.Contains(errs, nil) {
		return nil, errors.Join(errs...)
	}
	if len(nodes) == 1 {
		return found[0], nil
	}
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b frame.Metadata) int { // All nodes are to answer the same.
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Help, b.Help), cmp.Compare(a.Unit, b.Unit))
	})
	return slices.Compact(all), nil
}

// question is what a node is asked; the selector has the times and shards of a part.
type question[T any] func(context.Context, leaf.Node, series.Selector) (T, error)

// alone asks the only node there is.
func alone[T any](ctx context.Context, f *Fanout, p *plan.Plan, sel series.Selector, do question[T]) ([]T, error) {
	if len(p.Parts) == 0 {
		return nil, nil
	}
	part := &p.Parts[0]
	node, err := f.opts.Reach(part.Node)
	if err != nil {
		return nil, err
	}
	sel.Mint, sel.Maxt, sel.Shards = part.Mint, part.Maxt, part.Shards
	attempt := explain.ReadOf(ctx).Attempt(*part, explain.Planned)
	ask := attempt.Ask(*part)
	value, err := do(ask.Into(ctx), node, sel)
	ask.Answered(err)
	if err != nil {
		return nil, err
	}
	attempt.Taken()
	return []T{value}, nil
}

// lists asks for what is in memory once it is there.
func lists[T any](ctx context.Context, f *Fanout, p *plan.Plan, sel series.Selector, m method, do question[[]T]) ([][]T, error) {
	if p.Alone() {
		return alone(ctx, f, p, sel, do)
	}
	a := &asking[[]T]{fanout: f, plan: p, sel: sel, method: m, do: do, drop: func([]T) {}}
	return a.values(ctx)
}

// values are those of all parts, in their order, which need no node any more.
func (a *asking[T]) values(ctx context.Context) ([]T, error) {
	out, err := a.all(ctx)
	var all []T
	for _, o := range out {
		o.try.end()
		all = append(all, o.Values...)
	}
	return all, err
}

// settle decides what the outcomes are together: those that have an answer, or an error that says
// what is missing and why.
func settle[T any](ctx context.Context, out []Outcome[T]) ([]Outcome[T], error) {
	allowed := missingOf(ctx)
	missing := &MissingError{}
	var others []error
	answered := out[:0:0]
	for _, o := range out {
		var lacks *MissingError
		switch {
		case o.Err == nil && o.try == nil: // Nobody has it, which is allowed.
		case o.Err == nil:
			answered = append(answered, o)
		case !errors.As(o.Err, &lacks):
			others = append(others, fmt.Errorf("%s: %w", o.Part, o.Err))
		case !allowed.accept(o.Err):
			missing.Missing = append(missing.Missing, lacks.Missing...)
			missing.Err = errors.Join(missing.Err, lacks.Err)
		}
	}
	switch {
	case len(others) > 0:
		return answered, errors.Join(others...)
	case len(missing.Missing) > 0:
		return answered, missing
	}
	return answered, nil
}

// union joins sorted lists.
func union(lists [][]string, err error) ([]string, error) {
	if err != nil || len(lists) == 0 {
		return nil, err
	}
	if len(lists) == 1 {
		return lists[0], nil
	}
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all), nil
}
