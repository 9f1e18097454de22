package placement

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"github.com/barograph-db/barograph/storage/series"
)

// Limits of what a placement may hold, which bound what a decoder allocates.
const (
	MaxBits   = 14 // 16,384 shards
	MaxFactor = 16
	MaxNodes  = 4096
	maxName   = 256 // bytes of a node's name or zone
)

// Placement says which nodes hold each shard. It is not changed once it is made: steps return
// another one, and may share parts with it.
type Placement struct {
	Epoch  uint64
	Bits   uint8       // There are 1<<Bits shards.
	Factor int         // How many replicas a shard is to have, if there are as many nodes.
	Nodes  []Node      // By ID.
	Shards [][]Replica // By shard. Whole replicas by ID, then the one that fills.
	// Fence is the latest epoch in which a shard was given another set of replicas to be written to than
	// writers before it knew. A node that knows it takes no more writes by placements from before.
	Fence uint64
	// Short says of shards by how many fewer whole replicas than a quorum may have an acknowledged sample;
	// nil if there are none.
	Short map[series.Shard]uint8
}

// Replica is a node's part in a shard.
type Replica struct {
	Node    NodeID
	Filling bool
	// For is whose place a filling replica takes; zero if it is one more.
	For NodeID
	// Since is the epoch in which a filling replica began. A node may not be told of every epoch, and
	// would take what it copied before for what it has to copy now.
	Since uint64
}

// Replicas of a shard, which the caller may not change: those that are whole, and the one that
// fills, if there is one.
func (p *Placement) Replicas(s series.Shard) (whole []Replica, filling *Replica) {
	all := p.Shards[s]
	if n := len(all); n > 0 && all[n-1].Filling {
		return all[:n-1], &all[n-1]
	}
	return all, nil
}

// Holds reports whether the node has a part in the shard.
func (p *Placement) Holds(s series.Shard, id NodeID) bool {
	return slices.ContainsFunc(p.Shards[s], func(r Replica) bool { return r.Node == id })
}

// Quorum is how many whole replicas of the shard must have a sample before it is acknowledged.
func (p *Placement) Quorum(s series.Shard) int {
	whole, _ := p.Replicas(s)
	return QuorumOf(len(whole))
}

// QuorumOf is how many of so many whole replicas are a quorum.
func QuorumOf(whole int) int { return whole/2 + 1 }

// Held is how many whole replicas of the shard have each sample that was acknowledged, at least: a
// quorum, unless replicas were given up since.
func (p *Placement) Held(s series.Shard) int { return p.Quorum(s) - int(p.Short[s]) }

// Enough is how many whole replicas of the shard have together all that was acknowledged, whichever
// they are and whatever each of them lacks.
func (p *Placement) Enough(s series.Shard) int {
	whole, _ := p.Replicas(s)
	return len(whole) - p.Held(s) + 1
}

// placeable is the number of nodes that may hold replicas for good.
func (p *Placement) placeable() int {
	n := 0
	for i := range p.Nodes {
		if p.Nodes[i].State == Active {
			n++
		}
	}
	return n
}

// wanted is how many replicas each shard is to have with the nodes there are.
func (p *Placement) wanted() int { return min(p.Factor, p.placeable()) }

// Validate returns an error that names what cannot be in a placement.
func (p *Placement) Validate() error {
	if err := p.validateFrame(); err != nil {
		return err
	}
	for s := range p.Shards {
		if err := p.validateShard(series.Shard(s)); err != nil {
			return fmt.Errorf("shard %d: %w", s, err)
		}
	}
	for s, n := range p.Short {
		if int(s) >= len(p.Shards) || n == 0 || int(n) >= p.Quorum(s) {
			return fmt.Errorf("shard %d is short of %d acknowledgements", s, n)
		}
	}
	return nil
}

// validateFrame validates all but the replicas.
func (p *Placement) validateFrame() error {
	if p.Bits > MaxBits || len(p.Shards) != 1<<p.Bits {
		return fmt.Errorf("%d shards for %d bits", len(p.Shards), p.Bits)
	}
	if p.Factor < 1 || p.Factor > MaxFactor {
		return fmt.Errorf("replication factor %d is not in 1 to %d", p.Factor, MaxFactor)
	}
	if p.Fence > p.Epoch {
		return fmt.Errorf("writes before epoch %d are refused, which is to come", p.Fence)
	}
	if len(p.Nodes) == 0 || len(p.Nodes) > MaxNodes {
		return fmt.Errorf("%d nodes are not in 1 to %d", len(p.Nodes), MaxNodes)
	}
	for i := range p.Nodes {
		if err := p.Nodes[i].validate(); err != nil {
			return err
		}
		if i > 0 && p.Nodes[i-1].ID.Compare(p.Nodes[i].ID) >= 0 {
			return errors.New("nodes out of order")
		}
	}
	return nil
}

func (n *Node) validate() error {
	switch {
	case n.ID == NodeID{}:
		return errors.New("node without ID")
	case n.Weight < 1 || n.Weight > maxWeight:
		return fmt.Errorf("node %s: weight %d is not in 1 to %d", n.ID, n.Weight, maxWeight)
	case n.State > Lost:
		return fmt.Errorf("node %s: %s", n.ID, n.State)
	case len(n.Name) > maxName || len(n.Zone) > maxName:
		return fmt.Errorf("node %s: name or zone is longer than %d bytes", n.ID, maxName)
	}
	return nil
}

func (p *Placement) validateShard(s series.Shard) error {
	whole, filling := p.Replicas(s)
	if len(whole) == 0 {
		return errors.New("no whole replica")
	}
	if len(whole) > MaxFactor {
		return fmt.Errorf("%d replicas", len(whole))
	}
	for i, r := range whole {
		switch _, known := p.node(r.Node); {
		case !known:
			return fmt.Errorf("replica on the unknown node %s", r.Node)
		case r.Filling || r.For != NodeID{} || r.Since != 0:
			return errors.New("more than one replica fills")
		case i > 0 && whole[i-1].Node.Compare(r.Node) >= 0:
			return errors.New("replicas out of order")
		}
	}
	if filling == nil {
		return nil
	}
	isWhole := func(id NodeID) bool {
		return slices.ContainsFunc(whole, func(r Replica) bool { return r.Node == id })
	}
	if _, known := p.node(filling.Node); !known || isWhole(filling.Node) {
		return fmt.Errorf("node %s cannot fill", filling.Node)
	}
	if filling.Since > p.Epoch {
		return fmt.Errorf("node %s fills since epoch %d, which is to come", filling.Node, filling.Since)
	}
	if filling.For != (NodeID{}) && !isWhole(filling.For) {
		return fmt.Errorf("a replica fills for %s, which has none", filling.For)
	}
	return nil
}

// step returns a copy to change, of the next epoch. Replicas of a shard are shared until setShard.
func (p *Placement) step() *Placement {
	next := *p
	next.Epoch++
	next.Nodes = slices.Clone(p.Nodes)
	next.Shards = slices.Clone(p.Shards)
	next.Short = maps.Clone(p.Short)
	return &next
}

// hold notes how many whole replicas of a shard have what was acknowledged before its replicas changed.
// One that has more than a quorum of them is as good as any, and what nobody has was never there.
func (p *Placement) hold(s series.Shard, held int) {
	quorum := p.Quorum(s)
	short := quorum - max(1, min(held, quorum))
	if delete(p.Short, s); short > 0 {
		if p.Short == nil {
			p.Short = map[series.Shard]uint8{}
		}
		p.Short[s] = uint8(short)
	}
	if len(p.Short) == 0 {
		p.Short = nil
	}
}

// setShard gives a shard these replicas, in order.
func (p *Placement) setShard(s series.Shard, whole []NodeID, filling *Replica) {
	slices.SortFunc(whole, NodeID.Compare)
	all := make([]Replica, 0, len(whole)+1)
	for _, id := range whole {
		all = append(all, Replica{Node: id})
	}
	if filling != nil {
		all = append(all, *filling)
	}
	p.Shards[s] = all
}

// wholeIDs returns the nodes with whole replicas but one.
func (p *Placement) wholeIDs(s series.Shard, without NodeID) []NodeID {
	whole, _ := p.Replicas(s)
	ids := make([]NodeID, 0, len(whole)+1)
	for _, r := range whole {
		if r.Node != without {
			ids = append(ids, r.Node)
		}
	}
	return ids
}

// BitsFor is the Bits of a number of shards, which must be a power of two.
func BitsFor(shards int) (uint8, error) {
	if shards < 1 || shards > 1<<MaxBits || shards&(shards-1) != 0 {
		return 0, fmt.Errorf("%d shards: must be a power of two up to %d", shards, 1<<MaxBits)
	}
	return uint8(bits.TrailingZeros(uint(shards))), nil
}
