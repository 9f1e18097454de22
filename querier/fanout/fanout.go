package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// maxAtOnce is how many nodes are asked at a time. Asking is waiting, so it is not bound to cores.
const maxAtOnce = 32

// Fanout asks nodes.
type Fanout struct {
	// Reach returns a way to ask the node; an error when there is none.
	Reach func(plan.Node) (leaf.Store, error)
}

// Outcome is what became of one part of a plan.
type Outcome[T any] struct {
	Part  plan.Part
	Value T
	Err   error
}

// Select runs the plan; sel's times and shards are replaced by those of each part. There is one set
// for each part, and the caller closes them all.
func (f *Fanout) Select(ctx context.Context, p plan.Plan, sel series.Selector) ([]chunk.SeriesSet, error) {
	out := each(ctx, f, p, sel, func(ctx context.Context, s leaf.Store, sel series.Selector) (chunk.SeriesSet, error) {
		return s.Select(ctx, sel)
	})
	sets, err := settle(out)
	if err != nil {
		// Nobody may be given a part of the answer.
		for _, o := range out {
			if o.Err == nil {
				_ = o.Value.Close() // The error that counts is the one being returned.
			}
		}
		return nil, err
	}
	return sets, nil
}

// LabelNames runs the plan for label names; the result is sorted.
func (f *Fanout) LabelNames(ctx context.Context, p plan.Plan, sel series.Selector) ([]string, error) {
	return union(settle(each(ctx, f, p, sel, func(ctx context.Context, s leaf.Store, sel series.Selector) ([]string, error) {
		return s.LabelNames(ctx, sel)
	})))
}

// LabelValues runs the plan for the values of one label; the result is sorted.
func (f *Fanout) LabelValues(ctx context.Context, p plan.Plan, name string, sel series.Selector) ([]string, error) {
	return union(settle(each(ctx, f, p, sel, func(ctx context.Context, s leaf.Store, sel series.Selector) ([]string, error) {
		return s.LabelValues(ctx, name, sel)
	})))
}

type ask[T any] func(context.Context, leaf.Store, series.Selector) (T, error)

// each asks for every part and returns the outcomes in the order of the parts.
func each[T any](ctx context.Context, f *Fanout, p plan.Plan, sel series.Selector, do ask[T]) []Outcome[T] {
	out := make([]Outcome[T], len(p.Parts))
	one := func(ctx context.Context, i int) {
		o := &out[i]
		o.Part = p.Parts[i]
		store, err := f.Reach(o.Part.Node)
		if err != nil {
			o.Err = err
			return
		}
		s := sel
		s.Mint, s.Maxt, s.Shards = o.Part.Mint, o.Part.Maxt, o.Part.Shards
		o.Value, o.Err = do(ctx, store, s)
	}
	if len(out) == 1 {
		one(ctx, 0)
		return out
	}
	var g errgroup.Group
	g.SetLimit(maxAtOnce)
	for i := range out {
		g.Go(func() error {
			one(ctx, i)
			return nil
		})
	}
	_ = g.Wait() // The errors are in the outcomes.
	return out
}

// settle decides what the outcomes are together: all values, or an error that says which shards
// are missing and why.
func settle[T any](out []Outcome[T]) ([]T, error) {
	values := make([]T, 0, len(out))
	var missing []error
	for _, o := range out {
		switch {
		case o.Err == nil:
			values = append(values, o.Value)
		case len(out) == 1:
			return nil, o.Err // There is no doubt who it was.
		default:
			missing = append(missing, fmt.Errorf("%s: %w", o.Part, o.Err))
		}
	}
	return values, errors.Join(missing...)
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
