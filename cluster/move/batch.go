package move

import (
	"math"
	"slices"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

// replica is one that fills since an epoch.
type replica struct {
	Shard series.Shard `json:"shard"`
	Since uint64       `json:"since"`
}

// filling returns what a node has to fill, by shard.
func filling(p *placement.Placement, self placement.NodeID) (all []replica) {
	if p == nil {
		return nil
	}
	for s := range p.Shards {
		shard := series.Shard(s)
		if _, f := p.Replicas(shard); f != nil && f.Node == self {
			all = append(all, replica{shard, f.Since})
		}
	}
	return all
}

// still returns those of the one that are in the other.
func still(batch, all []replica) (left []replica) {
	for _, r := range batch {
		if slices.Contains(all, r) {
			left = append(left, r)
		}
	}
	return left
}

// epoch is the latest in which one of the replicas began.
func epoch(batch []replica) (e uint64) {
	for _, r := range batch {
		e = max(e, r.Since)
	}
	return e
}

func shardsOf(batch []replica) []series.Shard {
	shards := make([]series.Shard, len(batch))
	for i, r := range batch {
		shards[i] = r.Shard
	}
	return shards
}

// split tells gaps that may still be delivered from what is lost.
func split(gaps []Gap) (open bool, lost []Gap) {
	for _, g := range gaps {
		if g.To == math.MaxInt64 {
			open = true
		} else {
			lost = append(lost, g)
		}
	}
	slices.SortFunc(lost, compareGaps)
	return open, slices.Compact(lost)
}

func compareGaps(a, b Gap) int { return slices.Compare([]int64{a.From, a.To}, []int64{b.From, b.To}) }

// sight is what is looked at before each step.
type sight struct {
	batch []replica // what is left of it
	shut  bool      // No write passes by this node any more.
	open  bool      // a gap that may still be delivered
	lost  []Gap
}

// step is what is to be done next.
type step int

const (
	over   step = iota // Nothing of the batch fills any more.
	anew               // The copy is worth nothing.
	waits              // Too few nodes know of it, or something is still to be delivered.
	copies             // The next stretch is to be copied.
	ends               // All is copied: the replicas are whole.
)

// decide says what is to be done for a batch whose copy has come so far. began says that it has begun:
// no write passed by this node any more then, and none will.
func decide(s *state, now sight, began, copied bool) step {
	switch {
	case len(now.batch) == 0:
		return over
	case !began && !now.shut:
		return waits
	case slices.ContainsFunc(now.lost, func(g Gap) bool { return !slices.Contains(s.Lost, g) }):
		return anew
	case !copied:
		return copies
	case now.open:
		return waits
	}
	return ends
}
