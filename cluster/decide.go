package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
)

// member is what a node sees of another, or of itself.
type member struct {
	placement.Node
	addr  string // of its RPC; none if it has not been heard of
	alive bool
	// since when it has been so.
	since time.Time
	// told says that it has told of its region: a node that is only just heard of may belong to one.
	told bool
	// foreign is what it speaks, if that is no version of the protocol that this node speaks.
	foreign string
	// region that it says it belongs to; zero if none.
	region placement.NodeID
}

// mayBeOf reports whether the node belongs to the region, or to none and can be taken in.
func (m *member) mayBeOf(region placement.NodeID) bool {
	return m.told && m.foreign == "" && (m.region == region || m.region == placement.NodeID{})
}

// found reports whether the node is the one to found a region now, and with whom. Nobody founds
// before so many members are there; zero leaves it to others for ever.
func found(self placement.NodeID, members []member, expect int) ([]placement.Node, bool) {
	var with []placement.Node
	for _, m := range members {
		if m.region != (placement.NodeID{}) {
			return nil, false // There is one: its leader takes the others in.
		}
		if m.alive && m.foreign == "" {
			if !m.told {
				return nil, false
			}
			with = append(with, m.Node)
		}
	}
	if expect == 0 || len(with) < expect {
		return nil, false
	}
	first := slices.MinFunc(with, func(a, b placement.Node) int { return a.ID.Compare(b.ID) })
	return with, first.ID == self
}

// wanted is what the placement is to become.
type wanted struct {
	// factor is the number of replicas of each shard; zero leaves it as it is.
	factor int
	// hold is how long a dead node keeps its place.
	hold time.Duration
	// moves is how many a node may take part in at a time.
	moves int
	// sound says that no node lacks anything that was acknowledged.
	sound bool
}

// step is the next placement, and why.
type step struct {
	next *placement.Placement
	why  string
	// joins is the node that is new; zero if none is.
	joins placement.NodeID
}

// decide returns the next step from the placement in force, false if there is none to take. Nodes
// of other regions are not looked at.
func decide(now time.Time, p *placement.Placement, region placement.NodeID, members []member, want wanted) (step, bool) {
	try := func(next *placement.Placement, err error, format string, args ...any) (step, bool) {
		if err != nil || next == p { // What can't be done now is tried again when something changes.
			return step{}, false
		}
		return step{next: next, why: fmt.Sprintf(format, args...)}, true
	}
	for i := range members {
		m := &members[i]
		known, here := p.Node(m.ID)
		switch {
		case m.alive && m.mayBeOf(region) && (!here || known.State != placement.Draining):
			next, err := p.Join(m.Node)
			if s, ok := try(next, err, "node %s has joined, is back, or is another than it was", m.Name); ok {
				if !here {
					s.joins = m.ID
				}
				return s, true
			}
		case !m.alive && here && known.State != placement.Lost && now.Sub(m.since) >= want.hold:
			next, err := p.Lose(m.ID)
			if s, ok := try(next, err, "node %s has been away for %s", m.Name, now.Sub(m.since).Round(time.Second)); ok {
				return s, true
			}
		}
	}
	if want.factor > 0 {
		next, err := p.SetFactor(want.factor)
		if s, ok := try(next, err, "the replication factor is to be %d", want.factor); ok {
			return s, true
		}
	}
	if want.sound {
		if s, ok := try(p.Sound(), nil, "no node lacks anything"); ok {
			return s, true
		}
	}
	var down []placement.NodeID
	for _, m := range members {
		if !m.alive {
			down = append(down, m.ID)
		}
	}
	return try(p.Next(want.moves, down...), nil, "moves begin or are given up")
}
