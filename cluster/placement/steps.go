package placement

import (
	"errors"
	"fmt"
	"slices"

	"github.com/barograph-db/barograph/storage/series"
)

// The errors of steps that callers tell apart.
var (
	ErrUnknownNode = errors.New("no such node")
	ErrLastReplica = errors.New("the node has the only replica of a shard")
)

// Found returns the first placement of a region. Nothing was written yet, so all replicas are whole.
func Found(bits uint8, factor int, nodes []Node) (*Placement, error) {
	p := &Placement{Epoch: 1, Bits: bits, Factor: factor, Nodes: slices.Clone(nodes)}
	if bits > MaxBits {
		return nil, fmt.Errorf("found a region: %d bits of shards, more than %d", bits, MaxBits)
	}
	slices.SortFunc(p.Nodes, func(a, b Node) int { return a.ID.Compare(b.ID) })
	p.Shards = make([][]Replica, 1<<bits)
	if err := p.validateFrame(); err != nil {
		return nil, fmt.Errorf("found a region: %w", err)
	}
	for s, ids := range p.Target() {
		p.setShard(series.Shard(s), ids, nil)
	}
	if err := p.Validate(); err != nil { // No node is active.
		return nil, fmt.Errorf("found a region: %w", err)
	}
	return p, nil
}

// Join returns the placement with a node that is new, or is back, or has another name, zone or
// weight. It is the same one if nothing changes.
func (p *Placement) Join(n Node) (*Placement, error) {
	n.State = Active
	if err := n.validate(); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	i, known := p.node(n.ID)
	if known && p.Nodes[i] == n {
		return p, nil
	}
	if !known && len(p.Nodes) == MaxNodes {
		return nil, fmt.Errorf("join: there are %d nodes, which is the most there can be", MaxNodes)
	}
	next := p.step()
	if known {
		next.Nodes[i] = n
	} else {
		next.Nodes = slices.Insert(next.Nodes, i, n)
	}
	return next, nil
}

// Drain returns the placement in which a node is to hand over all it holds.
func (p *Placement) Drain(id NodeID) (*Placement, error) { return p.setState(id, Draining) }

// Lose returns the placement in which others are to take over what a node holds that has been away
// for long. Nobody waits any more for what it may have to tell, so it is shut out until it has heard of it.
func (p *Placement) Lose(id NodeID) (*Placement, error) { return p.setState(id, Lost) }

func (p *Placement) setState(id NodeID, s State) (*Placement, error) {
	i, known := p.node(id)
	if !known {
		return nil, fmt.Errorf("%w: %s", ErrUnknownNode, id)
	}
	if p.Nodes[i].State == s {
		return p, nil
	}
	next := p.step()
	if next.Nodes[i].State = s; s == Lost {
		next.Fence = next.Epoch
	}
	return next, nil
}

// SetFactor returns the placement in which each shard is to have so many replicas.
func (p *Placement) SetFactor(factor int) (*Placement, error) {
	if factor < 1 || factor > MaxFactor {
		return nil, fmt.Errorf("replication factor %d is not in 1 to %d", factor, MaxFactor)
	}
	if factor == p.Factor {
		return p, nil
	}
	next := p.step()
	next.Factor = factor
	return next, nil
}

// Remove returns the placement without a node and with whatever it held. Shards of which it has the
// only whole replica make it ErrLastReplica; with force these begin anew, without the data, on other
// nodes.
func (p *Placement) Remove(id NodeID, force bool) (*Placement, error) {
	i, known := p.node(id)
	if !known {
		return nil, fmt.Errorf("%w: %s", ErrUnknownNode, id)
	}
	if len(p.Nodes) == 1 {
		return nil, fmt.Errorf("remove %s: %w", id, ErrLastReplica)
	}
	next := p.step()
	next.Fence = next.Epoch
	next.Nodes = slices.Delete(next.Nodes, i, i+1)
	var bare []series.Shard
	for s := range next.Shards {
		s := series.Shard(s)
		if !p.Holds(s, id) {
			continue
		}
		whole, filling := p.wholeIDs(s, id), p.fillingWithout(s, id)
		if len(whole) == 0 {
			bare = append(bare, s)
			delete(next.Short, s)
			continue
		}
		held := p.Held(s)
		if before, _ := p.Replicas(s); len(whole) < len(before) {
			held--
		}
		next.setShard(s, whole, filling)
		next.hold(s, held)
	}
	if len(bare) > 0 {
		if !force {
			return nil, fmt.Errorf("remove %s: %w: %d shards, of which %d is the first", id, ErrLastReplica, len(bare), bare[0])
		}
		target := next.Target()
		for _, s := range bare {
			ids := target[s]
			if len(ids) == 0 { // Nobody is active.
				ids = []NodeID{next.Nodes[int(s)%len(next.Nodes)].ID}
			}
			next.setShard(s, ids, nil)
		}
	}
	return next, nil
}

// fillingWithout is what fills the shard when a node is gone, nil if that was the node.
func (p *Placement) fillingWithout(s series.Shard, id NodeID) *Replica {
	_, filling := p.Replicas(s)
	if filling == nil || filling.Node == id {
		return nil
	}
	left := *filling
	if left.For == id {
		left.For = NodeID{}
	}
	return &left
}

// Filled returns the placement in which the node's replicas of these shards are whole and take the
// places that they were to take.
func (p *Placement) Filled(id NodeID, shards ...series.Shard) (*Placement, error) {
	next := p.step()
	for _, s := range shards {
		if int(s) >= len(p.Shards) {
			return nil, fmt.Errorf("there is no shard %d", s)
		}
		_, filling := next.Replicas(s)
		if filling == nil || filling.Node != id {
			return nil, fmt.Errorf("shard %d: %s does not fill in epoch %d", s, id, p.Epoch)
		}
		held := next.Held(s)
		if (filling.For == NodeID{}) {
			held++
		}
		next.setShard(s, append(p.wholeIDs(s, filling.For), id), nil)
		next.hold(s, held)
	}
	return next, nil
}

// Sound returns the placement in which no shard is short of replicas that have what was acknowledged. It
// is for when none of them lacks anything.
func (p *Placement) Sound() *Placement {
	if len(p.Short) == 0 {
		return p
	}
	next := p.step()
	next.Short = nil
	return next
}

// Holding counts the replicas of a node, and those of them that fill.
func (p *Placement) Holding(id NodeID) (all, filling int) {
	for _, replicas := range p.Shards {
		for _, r := range replicas {
			if r.Node == id {
				all++
				if r.Filling {
					filling++
				}
			}
		}
	}
	return all, filling
}
