package leaf

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/changes"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Holds returns nil if a node has all samples of the shards, by the placement that it knows, and that is of the
// epoch or a later one; else a *Failure that is Stale. It may wait a little for a newer placement. No set is
// all shards.
type Holds func(ctx context.Context, epoch uint64, shards *series.ShardSet) error

// Holding returns a Node that refuses what it does not hold, whatever it has of it.
func Holding(n Node, holds Holds) Node { return &holding{Node: n, holds: holds} }

type holding struct {
	Node
	holds Holds
}

func (h *holding) check(ctx context.Context, sel series.Selector) error {
	return h.holds(ctx, EpochOf(ctx), sel.Shards)
}

// Select is the node's Select.
func (h *holding) Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	if err := h.check(ctx, sel); err != nil {
		return nil, err
	}
	return h.Node.Select(ctx, sel)
}

// Partial is the node's Partial.
func (h *holding) Partial(ctx context.Context, sel series.Selector, req Request) (*Partial, error) {
	if err := h.check(ctx, sel); err != nil {
		return nil, err
	}
	return h.Node.Partial(ctx, sel, req)
}

// LabelNames is the node's LabelNames.
func (h *holding) LabelNames(ctx context.Context, sel series.Selector) ([]string, error) {
	if err := h.check(ctx, sel); err != nil {
		return nil, err
	}
	return h.Node.LabelNames(ctx, sel)
}

// LabelValues is the node's LabelValues.
func (h *holding) LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error) {
	if err := h.check(ctx, sel); err != nil {
		return nil, err
	}
	return h.Node.LabelValues(ctx, name, sel)
}

// Exemplars is the node's Exemplars.
func (h *holding) Exemplars(ctx context.Context, sel series.Selector, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	if err := h.check(ctx, sel); err != nil {
		return nil, err
	}
	return h.Node.Exemplars(ctx, sel, ms...)
}

// Cardinality is the node's Cardinality.
func (h *holding) Cardinality(ctx context.Context, sel series.Selector) (*cardinality.Counts, error) {
	if err := h.check(ctx, sel); err != nil {
		return nil, err
	}
	return h.Node.Cardinality(ctx, sel)
}

// Changes is the node's Changes, of which a node may have none.
func (h *holding) Changes(ctx context.Context, since changes.Stamp) (changes.Stamp, []changes.Span, error) {
	c, ok := h.Node.(Changer)
	if !ok {
		return changes.Stamp{}, nil, ErrUnchanging
	}
	return c.Changes(ctx, since)
}
