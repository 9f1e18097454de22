package querier

import (
	"context"
	"errors"
	"fmt"

	"github.com/barograph-db/barograph/querier/fanout"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/merge"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// CopyFrom is Copy from one node, whatever it lacks.
func (e *Engine) CopyFrom(ctx context.Context, n plan.Node, shards *series.ShardSet, mint, maxt int64) (chunk.SeriesSet, error) {
	node, err := e.reach(n)
	if err != nil {
		return nil, fmt.Errorf("copy from %s: %w", n, err)
	}
	set, err := node.Select(ctx, series.Selector{Mint: mint, Maxt: maxt, Shards: shards})
	if err != nil {
		return nil, fmt.Errorf("copy from %s: %w", n, err)
	}
	return set, nil
}

// Copy returns every series of some shards, as the nodes have them that hold the shards whole. It is
// no query: nobody waits for it, so that each node is asked once and for itself (no other is asked
// beside one that is slow), and it counts towards no limit of this node, which passes the series on as
// they come. The nodes that are asked hold what they read for it to their own.
func (e *Engine) Copy(ctx context.Context, shards *series.ShardSet, mint, maxt int64) (chunk.SeriesSet, error) {
	p := plan.Make(plan.Query{Mint: mint, Maxt: maxt}, e.view())
	parts, missing := p.Instead(plan.Part{Shards: shards, Mint: mint, Maxt: maxt}, nil)
	if len(missing) > 0 {
		return nil, &fanout.MissingError{Missing: missing}
	}
	ctx = leaf.At(ctx, p.Epoch)
	var sets []chunk.SeriesSet
	for _, part := range parts {
		node, err := e.reach(part.Node)
		if err == nil {
			var set chunk.SeriesSet
			if set, err = node.Select(ctx, series.Selector{Mint: part.Mint, Maxt: part.Maxt, Shards: part.Shards}); err == nil {
				sets = append(sets, set)
			}
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("copy from %s: %w", part.Node, err), merge.Sets(sets).Close())
		}
	}
	return merge.Sets(sets), nil
}
