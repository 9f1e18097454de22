package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/storage/series"
)

type askerKey struct{}

// askedBy returns a context for what another node asks.
func askedBy(ctx context.Context, node placement.NodeID) context.Context {
	return context.WithValue(ctx, askerKey{}, node)
}

// holds refuses shards that are not whole here by the placement that this node knows. That may be older than
// the asker's, who then is the one to learn it from.
func (r *region) holds(ctx context.Context, epoch uint64, shards *series.ShardSet) error {
	p := r.cluster.Placement()
	if p == nil || p.Epoch < epoch {
		if from, ok := ctx.Value(askerKey{}).(placement.NodeID); ok {
			_ = r.cluster.CatchUp(ctx, from, epoch) // What this node knows then says whether it did.
		}
		if p = r.cluster.Placement(); p == nil {
			return stale(0, "the node has no place in a region")
		}
	}
	if p.Epoch < epoch {
		return stale(p.Epoch, fmt.Sprintf("the node knows epoch %d, not %d", p.Epoch, epoch))
	}
	if s, ok := lacks(p, r.cluster.Self(), shards); ok {
		return stale(p.Epoch, fmt.Sprintf("the node does not hold shard %d in epoch %d", s, p.Epoch))
	}
	return nil
}

// lacks returns a shard of the set, nil being all, of which the node has no whole replica. Of a set of another
// number of shards than there are, it has none.
func lacks(p *placement.Placement, id placement.NodeID, shards *series.ShardSet) (series.Shard, bool) {
	for s := range p.Shards {
		shard := series.Shard(s)
		if shards != nil && shards.Bits == p.Bits && !shards.Contains(shard) {
			continue
		}
		whole, _ := p.Replicas(shard)
		holds := slices.ContainsFunc(whole, func(r placement.Replica) bool { return r.Node == id })
		if !holds || shards != nil && shards.Bits != p.Bits {
			return shard, true
		}
	}
	return 0, false
}

func stale(epoch uint64, why string) error {
	return &leaf.Failure{Kind: uint8(querier.Internal), Elsewhere: true, Stale: true, Epoch: epoch, Text: why}
}
