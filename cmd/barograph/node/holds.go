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

// lacks returns a shard of which the node has no whole replica, and of which some series are in the set, nil being
// all. The set may be of parts of shards.
func lacks(p *placement.Placement, id placement.NodeID, shards *series.ShardSet) (series.Shard, bool) {
	for s := range p.Shards {
		shard := series.Shard(s)
		whole, _ := p.Replicas(shard)
		holds := slices.ContainsFunc(whole, func(r placement.Replica) bool { return r.Node == id })
		if !holds && touches(shards, shard, p.Bits) {
			return shard, true
		}
	}
	return 0, false
}

// touches reports whether some series of a shard, one of 1<<bits, are in the set.
func touches(set *series.ShardSet, shard series.Shard, bits uint8) bool {
	if set == nil {
		return true
	}
	first := series.Fingerprint(uint64(shard) << (64 - bits)) // A shift by 64 gives 0.
	last := first | ^series.Fingerprint(0)>>bits
	for n := int(first.Shard(set.Bits)); n <= int(last.Shard(set.Bits)); n++ {
		if set.Contains(series.Shard(n)) {
			return true
		}
	}
	return false
}

func stale(epoch uint64, why string) error {
	return &leaf.Failure{Kind: uint8(querier.Internal), Elsewhere: true, Stale: true, Epoch: epoch, Text: why}
}
