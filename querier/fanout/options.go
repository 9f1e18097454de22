package fanout

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
)

// Options of a Fanout. Reach is needed.
type Options struct {
	// Reach returns a way to ask the node; an error when there is none.
	Reach func(plan.Node) (leaf.Node, error)
	// CatchUp learns the placement of an epoch, or a later one, from a node that knows it, and returns the view
	// of it, within a bounded time. nil learns none.
	CatchUp func(ctx context.Context, from plan.Node, epoch uint64) (plan.View, error)
	// MinHedge and MaxHedge bound how long a node may be silent before others are asked beside it.
	// Defaults 20 ms and 500 ms.
	MinHedge, MaxHedge time.Duration

	Registerer prometheus.Registerer // May be nil.
}

// EnsureDefaults sets what is not set.
func (o *Options) EnsureDefaults() {
	if o.MinHedge == 0 {
		o.MinHedge = 20 * time.Millisecond
	}
	if o.MaxHedge == 0 {
		o.MaxHedge = 500 * time.Millisecond
	}
}
