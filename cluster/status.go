package cluster

import (
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

// Status is what a node knows of its region. Every node may know something else.
type Status struct {
	Cluster string `json:"cluster"`
	Region  string `json:"region"`
	// RegionID is empty before the region is founded.
	RegionID string `json:"regionId"`
	// Self is the ID of the node that says so.
	Self   string `json:"self"`
	Leader string `json:"leader"`
	Epoch  uint64 `json:"epoch"`
	Shards int    `json:"shards"`
	// ReplicationFactor is how many replicas a shard is to have; there may be fewer nodes.
	ReplicationFactor int          `json:"replicationFactor"`
	Nodes             []NodeStatus `json:"nodes"`
	// Moving are the moves under way, Waiting those that have not begun.
	Moving  int `json:"moving"`
	Waiting int `json:"waiting"`
	// Thin counts the shards of which fewer replicas are alive than there are to be; Unwritable those
	// that lack a quorum, Unreadable those of which none is alive.
	Thin       int `json:"thin"`
	Unwritable int `json:"unwritable"`
	Unreadable int `json:"unreadable"`
}

// NodeStatus is one node.
type NodeStatus struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Zone     string    `json:"zone"`
	Address  string    `json:"address"` // of its RPC
	Software string    `json:"software"`
	Health   string    `json:"health"` // alive, suspect, dead, left; unknown to gossip
	Since    time.Time `json:"since"`  // of its health
	State    string    `json:"state"`  // in the placement: active, draining, lost; outside
	Voter    bool      `json:"voter"`
	Weight   uint32    `json:"weight"`
	// Protocol is the highest version of the protocol between nodes that it speaks, LowestProtocol the
	// lowest. Incompatible: the node that says so speaks none of them.
	Protocol       uint8 `json:"protocol"`
	LowestProtocol uint8 `json:"lowestProtocol"`
	Incompatible   bool  `json:"incompatible,omitempty"`
	// Replicas are those it holds; of them, Filling are not whole.
	Replicas int `json:"replicas"`
	Filling  int `json:"filling"`
	// Waiting are the moves to it that have not begun, Leaving the replicas that others are to have in
	// its place.
	Waiting int `json:"waiting"`
	Leaving int `json:"leaving"`
	// Copy is how far it is with those that it is copying, nil if there are none.
	Copy *Filling `json:"copy,omitempty"`
}

// count fills in what follows from a placement.
func (s *Status) count(p *placement.Placement, alive func(placement.NodeID) bool) {
	s.Epoch, s.Shards, s.ReplicationFactor = p.Epoch, len(p.Shards), p.Factor
	s.Moving, s.Waiting = len(p.Moves()), len(p.Left())
	for i := range p.Shards {
		shard, living := series.Shard(i), 0
		whole, _ := p.Replicas(shard)
		for _, r := range whole {
			if alive(r.Node) {
				living++
			}
		}
		if living < min(p.Factor, len(p.Nodes)) {
			s.Thin++
		}
		if living < p.Quorum(shard) {
			s.Unwritable++
		}
		if living == 0 {
			s.Unreadable++
		}
	}
}

// addMoves says of each node what moves to it and away from it.
func (c *Cluster) addMoves(p *placement.Placement, nodes map[placement.NodeID]*NodeStatus) {
	for i, moves := range [][]placement.Move{p.Moves(), p.Left()} {
		waiting := i == 1
		for _, m := range moves {
			if n := nodes[m.To]; n != nil && waiting {
				n.Waiting++
			}
			if n := nodes[m.For]; n != nil {
				n.Leaving++
			}
		}
	}
	for _, f := range c.pool.Facts(fillingFact) {
		n := nodes[f.Node]
		if n == nil || n.Filling == 0 || len(f.Value) == 0 {
			continue
		}
		if filling, err := decodeFilling(f.Value); err == nil {
			n.Copy = &filling
		}
	}
}
