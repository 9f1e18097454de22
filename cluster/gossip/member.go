package gossip

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/barograph-db/barograph/cluster/placement"
)

// State is what is known of whether a member lives.
type State uint8

// The states of a member.
const (
	Alive     State = iota // answers, or is suspected for less than it takes to be sure
	Dead                   // did not answer
	Left                   // said that it leaves
	numStates = iota
)

func (s State) String() string {
	switch s {
	case Alive:
		return "alive"
	case Dead:
		return "dead"
	case Left:
		return "left"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Member is a node of the cluster.
type Member struct {
	ID                           placement.NodeID
	Name, Zone, Region, Software string
	RPCAddr, GossipAddr          string // HOST:PORT
	Weight                       uint32
	Protocol, LowestProtocol     uint8
	State                        State
	Since                        time.Time // When this node learned of its state.
	Started                      time.Time // When its process began, by its own clock.
}

// Bounds of members.
const (
	maxMembers     = 4096 // As many as a placement may have.
	maxClusterName = 64
	keepLeft       = time.Hour // How long members that left are shown.
)

// parseMember reads what a node says of itself.
func parseMember(n *memberlist.Node) (Member, error) {
	id, err := placement.ParseNodeID(n.Name)
	if err != nil {
		return Member{}, err
	}
	meta, err := decodeMetadata(n.Meta)
	if err != nil {
		return Member{}, fmt.Errorf("metadata of node %v: %w", id, err)
	}
	return Member{
		ID: id, Name: meta.name, Zone: meta.zone, Region: meta.region, Software: meta.software,
		RPCAddr: meta.rpcAddr, GossipAddr: addrOf(n).String(),
		Weight: meta.weight, Protocol: meta.protocol, LowestProtocol: meta.lowest, Started: time.UnixMilli(int64(meta.started)),
	}, nil
}

func addrOf(n *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port)
}

// Members returns the nodes of the cluster, this one included while the pool runs, sorted by ID;
// also those that left or died, until they are forgotten.
func (p *Pool) Members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Member, 0, len(p.mu.members))
	for _, m := range p.mu.members {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Member) int { return a.ID.Compare(b.ID) })
	return list
}

// setMember takes in what memberlist says of a node: that it lives, has changed, or is gone.
func (p *Pool) setMember(n *memberlist.Node, gone bool) {
	m, err := parseMember(n)
	if err != nil {
		return // Not a member: admit has refused it.
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if gone {
		m.State = Dead
		if p.hasLeftLocked(m) {
			m.State = Left
		}
	}
	p.putMemberLocked(m)
}

// putMemberLocked replaces what is known of a member.
func (p *Pool) putMemberLocked(m Member) {
	last, known := p.mu.members[m.ID]
	if known && last.State == m.State {
		m.Since = last.Since
	} else {
		m.Since = time.Now()
		p.log.Info("member", "state", m.State.String(), "node", m.ID.String(), "name", m.Name, "address", m.GossipAddr)
	}
	p.mu.members[m.ID] = m
	delete(p.mu.unmet, m.ID)
	if m.State == Left {
		p.mu.facts.leave(m.ID)
	}
	p.countLocked()
	p.notify()
}

// leavingKey is the fact by which a node tells that it leaves; the value names the life of the node
// that ends. memberlist tells nobody whether one that is gone has left, and the order in which its
// messages and facts arrive is any.
const leavingKey = "gossip/leaving"

func leavingValue(started time.Time) string { return strconv.FormatInt(started.UnixMilli(), 10) }

func (p *Pool) hasLeftLocked(m Member) bool {
	f, ok := p.mu.facts.get(m.ID, leavingKey)
	return ok && string(f.Value) == leavingValue(m.Started)
}

// admit refuses nodes that are none of ours or too many.
func (p *Pool) admit(n *memberlist.Node) error {
	m, err := parseMember(n)
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if _, known := p.mu.members[m.ID]; known || len(p.mu.members) < maxMembers {
			return nil
		}
		err = fmt.Errorf("there are %d members already", maxMembers)
	}
	p.metrics.strangers.Inc()
	return err
}

// forgetGone drops members that have been gone for long, with their facts.
func (p *Pool) forgetGone(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, m := range p.mu.members {
		gone := now.Sub(m.Since)
		if m.State == Dead && gone > p.opts.ForgetDead || m.State == Left && gone > keepLeft {
			delete(p.mu.members, id)
			p.mu.facts.forget(id)
			p.countLocked()
			p.notify()
		}
	}
	for id, since := range p.mu.unmet {
		if now.Sub(since) > p.opts.ForgetDead {
			delete(p.mu.unmet, id)
			p.mu.facts.forget(id)
		}
	}
}

// countLocked brings the figures of members up to date.
func (p *Pool) countLocked() {
	var count [numStates]int
	for _, m := range p.mu.members {
		count[m.State]++
	}
	for s, n := range count {
		p.metrics.members[s].Set(float64(n))
	}
	p.alive.Store(int64(count[Alive]))
	p.metrics.facts.Set(float64(p.mu.facts.bytes))
}
