package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/series"
)

// A shard that has moved away stays on the node's disk, though nobody reads it there (holds), until the node
// is sure that it is needed no more:
//
//	epoch 57   the node has no part in the shard any more     it has samples of it in parts: a note of which
//	           all living nodes know epoch 57                 the hold time begins
//	           the hold time is over                          what the note names is dropped, nothing later
//
// It is not needed while as many nodes as the shard is to have replicas hold it whole, all of them alive and
// without a gap, and none fills. Whatever of that does not hold begins the hold time anew, as does a node
// that knows no epoch as late, which may be back with an old placement, and so write by it. If somebody
// knows a later epoch than this node, nothing is dropped at all.
//
// What came after the note was made stays: had the shard come back meanwhile, others may have written
// to this node before it knew.
type givenUp struct {
	notes map[series.Shard]note // by shard of the storage
}

// note is of a shard that the node has and is not to hold.
type note struct {
	before uint32 // see storage.Holdings
	epoch  uint64 // in which it was not to
	since  time.Time
}

const (
	// dropHold is how long a shard must not be needed.
	dropHold = 10 * time.Minute
	// dropLooks is how many looks there are in that time.
	dropLooks = 10
)

// situation is what the decision to drop looks at.
type situation struct {
	now       time.Time
	hold      time.Duration
	self      placement.NodeID
	placement *placement.Placement
	// known is the latest epoch that all living nodes know, newest that any does.
	known, newest uint64
	// sound says of a node whether it is alive and lacks nothing, as far as anybody knows.
	sound func(placement.NodeID) bool
	held  storage.Holdings
}

// drop is what may be dropped now.
type drop struct {
	shards *series.ShardSet
	before uint32
}

// decide brings the notes up to a situation, and returns what is to be dropped, if anything is. It is as much as
// was noted at one time.
func (g *givenUp) decide(s situation) (d drop, ok bool) {
	notes := map[series.Shard]note{}
	for shard := range s.held.Shards.All() {
		if !s.mayDrop(shard) {
			continue
		}
		n, known := g.notes[shard]
		if !known || s.known < n.epoch {
			n = note{before: s.held.Before, epoch: s.placement.Epoch, since: s.now}
		}
		notes[shard] = n
		if s.known < n.epoch || s.now.Sub(n.since) < s.hold {
			continue
		}
		if !ok || n.before < d.before {
			d, ok = drop{shards: &series.ShardSet{Bits: s.held.Shards.Bits}, before: n.before}, true
		}
		if n.before == d.before {
			d.shards.Add(shard)
		}
	}
	if g.notes = notes; ok {
		for shard := range d.shards.All() { // What the node has of it after this came later: see above.
			delete(notes, shard)
		}
	}
	return d, ok
}

// mayDrop reports whether the node has no part in a shard of its storage, and nobody needs what it has.
func (s *situation) mayDrop(shard series.Shard) bool {
	p := s.placement
	if p.Epoch < s.newest {
		return false
	}
	first := series.Fingerprint(uint64(shard) << (64 - s.held.Shards.Bits))
	last := first | ^series.Fingerprint(0)>>s.held.Shards.Bits
	for n := int(first.Shard(p.Bits)); n <= int(last.Shard(p.Bits)); n++ {
		whole, filling := p.Replicas(series.Shard(n))
		if filling != nil || len(whole) < p.Factor || p.Holds(series.Shard(n), s.self) ||
			slices.ContainsFunc(whole, func(r placement.Replica) bool { return !s.sound(r.Node) }) {
			return false
		}
	}
	return true
}

// holdsAll reports whether the node has a part in each shard, so that there is nothing to drop.
func holdsAll(p *placement.Placement, id placement.NodeID) bool {
	all, _ := p.Holding(id)
	return all == len(p.Shards)
}

// dropGivenUp drops what this node holds no more, until ctx ends.
func (r *region) dropGivenUp(ctx context.Context) error {
	tick := time.NewTicker(r.node.cfg.dropHold / dropLooks)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := r.lookForGivenUp(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, storage.ErrClosed) {
			r.node.logger.Error("Shards that other nodes hold could not be dropped; it is tried again", "err", err)
		}
	}
}

func (r *region) lookForGivenUp(ctx context.Context) error {
	p := r.cluster.Placement()
	if p == nil || holdsAll(p, r.cluster.Self()) {
		r.givenUp.notes = nil
		r.node.metrics.givenUp.Set(0)
		return nil
	}
	held, err := r.db.Holdings(ctx)
	if err != nil {
		return err
	}
	known, heard := r.cluster.Followed()
	if !heard {
		known = 0
	}
	lacking := map[placement.NodeID]bool{}
	for _, g := range r.cluster.Gaps() {
		lacking[g.Node] = true
	}
	d, ok := r.givenUp.decide(situation{
		now: time.Now(), hold: r.node.cfg.dropHold, self: r.cluster.Self(),
		placement: p, known: known, newest: r.cluster.Newest(),
		sound: func(id placement.NodeID) bool { return r.cluster.Alive(id) && !lacking[id] },
		held:  held,
	})
	r.node.metrics.givenUp.Set(float64(len(r.givenUp.notes)))
	if !ok || r.cluster.Placement() != p {
		return nil
	}
	if err := r.db.DropShards(ctx, d.shards, d.before); err != nil {
		return err
	}
	r.node.logger.Info("Dropped shards that other nodes hold; their space comes back by and by", "shards", d.shards.Len(), "epoch", p.Epoch)
	return nil
}
