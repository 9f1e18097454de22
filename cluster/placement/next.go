package placement

import (
	"cmp"
	"slices"

	"github.com/barograph-db/barograph/storage/series"
)

// Move is a replica on its way to a node.
type Move struct {
	Shard series.Shard
	To    NodeID
	For   NodeID // whose place it takes, zero if nobody's
}

// Moves under way, by shard.
func (p *Placement) Moves() []Move {
	var moves []Move
	for s := range p.Shards {
		if _, filling := p.Replicas(series.Shard(s)); filling != nil {
			moves = append(moves, Move{Shard: series.Shard(s), To: filling.Node, For: filling.For})
		}
	}
	return moves
}

// Left are the moves that have not begun, the most urgent first: those of shards with the fewest
// whole replicas on nodes that are there.
func (p *Placement) Left() []Move {
	moves, _ := p.plan(p.Target())
	return moves
}

// Next returns the placement with as many moves under way as each node may take part in: perNode
// that fill it, and as many whose place is taken. It gives up moves that the target no longer has,
// and replicas of which there are enough without. It returns p itself when there is nothing to do.
//
// Nothing moves to nodes that are down, and what moves there is given up if it makes writes wait for
// them.
func (p *Placement) Next(perNode int, down ...NodeID) *Placement {
	target := p.Target()
	next := p.step()
	changed := next.giveUp(target, down)
	busy := map[NodeID]int{}
	count := func(m Move, n int) { busy[m.To] += n; busy[m.For] += n }
	for _, m := range next.Moves() {
		count(m, 1)
	}
	moves, spare := next.plan(target)
	for _, m := range moves {
		if busy[m.To] < perNode && (m.For == NodeID{} || busy[m.For] < perNode) && !slices.Contains(down, m.To) {
			count(m, 1)
			next.setShard(m.Shard, next.wholeIDs(m.Shard, NodeID{}), &Replica{Node: m.To, Filling: true, For: m.For, Since: next.Epoch})
			next.Fence, changed = next.Epoch, true
		}
	}
	for _, m := range spare {
		held := next.Held(m.Shard)
		next.setShard(m.Shard, next.wholeIDs(m.Shard, m.For), nil)
		next.hold(m.Shard, held-1)
		next.Fence, changed = next.Epoch, true
	}
	if !changed {
		return p
	}
	return next
}

// giveUp ends the moves to nodes that the target does not have, and those that nodes which are down hold
// writes up with.
func (p *Placement) giveUp(target [][]NodeID, down []NodeID) bool {
	changed := false
	for s := range p.Shards {
		s := series.Shard(s)
		_, filling := p.Replicas(s)
		if filling != nil && (!slices.Contains(target[s], filling.Node) || p.holdsUp(s, filling, down)) {
			p.setShard(s, p.wholeIDs(s, NodeID{}), nil)
			changed = true
		}
	}
	return changed
}

// holdsUp reports whether writes to the shard could go on but for the replica that fills: a quorum of those
// that are whole is there, and none of those that are going to be.
func (p *Placement) holdsUp(s series.Shard, filling *Replica, down []NodeID) bool {
	there := func(ids []NodeID) bool { return len(without(ids, down)) >= QuorumOf(len(ids)) }
	return slices.Contains(down, filling.Node) && there(p.wholeIDs(s, NodeID{})) &&
		!there(append(p.wholeIDs(s, filling.For), filling.Node))
}

// plan returns the next move of each shard that is not at its target and has none under way, and
// the replicas that can go without one.
func (p *Placement) plan(target [][]NodeID) (moves, spare []Move) {
	alive := make([]int, len(p.Shards))
	for s := range p.Shards {
		shard := series.Shard(s)
		whole, filling := p.Replicas(shard)
		for _, r := range whole {
			if n, _ := p.Node(r.Node); n.State != Lost {
				alive[s]++
			}
		}
		if filling != nil || len(target[s]) == 0 {
			continue
		}
		ids := p.wholeIDs(shard, NodeID{})
		missing := without(target[s], ids)
		leaving := without(ids, target[s])
		switch {
		case len(missing) > 0:
			m := Move{Shard: shard, To: missing[0]}
			if len(ids) >= len(target[s]) {
				m.To, m.For = p.pair(missing, leaving)
			}
			moves = append(moves, m)
		case len(leaving) > 0:
			if id := p.dispensable(len(ids), leaving); id != (NodeID{}) {
				spare = append(spare, Move{Shard: shard, For: id})
			}
		}
	}
	slices.SortStableFunc(moves, func(a, b Move) int { return cmp.Compare(alive[a.Shard], alive[b.Shard]) })
	return moves, spare
}

// without returns the IDs that are not among others.
func without(ids, others []NodeID) []NodeID {
	return slices.DeleteFunc(slices.Clone(ids), func(id NodeID) bool { return slices.Contains(others, id) })
}

// pair chooses who takes whose place: first those of nodes that are lost, then those that drain,
// within a zone if possible.
func (p *Placement) pair(missing, leaving []NodeID) (to, from NodeID) {
	best := -1
	for _, id := range leaving {
		old, _ := p.Node(id)
		for _, candidate := range missing {
			n, _ := p.Node(candidate)
			rank := 2 * int(old.State)
			if n.Zone == old.Zone {
				rank++
			}
			if rank > best {
				best, to, from = rank, candidate, id
			}
		}
	}
	return to, from
}

// dispensable is a replica outside the target, all of which is whole, that can be given up. Those
// of lost nodes stay as long as there are no more replicas than there are to be: the node may be
// back before others have joined, and counting it keeps the quorum what it was.
func (p *Placement) dispensable(replicas int, leaving []NodeID) NodeID {
	for _, id := range leaving {
		if n, _ := p.Node(id); n.State != Lost || replicas > p.Factor {
			return id
		}
	}
	return NodeID{}
}
