package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/barograph-db/barograph/cluster/consensus"
	"github.com/barograph-db/barograph/cluster/gossip"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/rpc"
)

// steward is what look remembers from one time to the next.
type steward struct {
	published []byte                    // the region's fact
	strangers map[placement.NodeID]bool // nodes that are not taken in and were told of
	sound     time.Time                 // since when nobody lacks anything; zero: somebody may
}

// changeTime is how long a change may take before the members are looked at again.
const changeTime = 10 * time.Second

// look carries out what is to be done whenever something has changed, until ctx ends.
func (c *Cluster) look(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		c.act(ctx, c.refresh())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.pool.Changed():
		case <-c.group.Changed():
		case <-c.register.changed:
		case <-c.learned.news:
		}
	}
}

func (c *Cluster) act(ctx context.Context, list []gossip.Member) {
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	now := c.register.get()
	members := c.seen(list, now.placement)
	c.tell()
	c.warnOfStrangers(now.region, members)
	if now.placement == nil {
		c.found(ctx, members)
		return
	}
	if !c.group.Leading() {
		return
	}
	c.appoint(ctx, now, members)
	want := wanted{factor: c.opts.Factor, hold: c.opts.Hold, moves: c.opts.Moves, sound: c.sound(time.Now(), now.placement)}
	s, ok := decide(time.Now(), now.placement, now.region, members, want)
	if !ok || s.joins != (placement.NodeID{}) && !c.mayTakeIn(ctx, s.joins, now.region) {
		return
	}
	taken, err := c.propose(ctx, agreed{now.region, s.next})
	switch {
	case err != nil && ctx.Err() == nil:
		c.opts.Logger.Warn("The next placement could not be agreed upon", "epoch", s.next.Epoch, "err", err)
	case taken:
		c.opts.Logger.Info("The placement has changed", "epoch", s.next.Epoch, "why", s.why)
	}
}

// soundAfter is how long nobody must have told of a gap: longer than it takes to hear of one.
const soundAfter = 15 * time.Second

// sound reports whether for some time all nodes have been there, have shut out what the placement shuts out,
// and have known of nothing that anyone lacks.
func (c *Cluster) sound(now time.Time, p *placement.Placement) bool {
	follows, calm := c.follows(), len(p.Short) > 0 && len(c.Gaps()) == 0
	for i := range p.Nodes {
		id := p.Nodes[i].ID
		calm = calm && c.Alive(id) && follows[id] >= p.Fence
	}
	switch {
	case !calm:
		c.steward.sound = time.Time{}
	case c.steward.sound.IsZero():
		c.steward.sound = now
	}
	return calm && now.Sub(c.steward.sound) >= soundAfter
}

// seen puts together what gossip knows of the members. Nodes of the placement that it has not heard of
// have been away since before this node started.
func (c *Cluster) seen(list []gossip.Member, p *placement.Placement) []member {
	regions := map[placement.NodeID]placement.NodeID{}
	for _, f := range c.pool.Facts(regionFact) {
		if region, _, ok := told(f.Value); ok {
			regions[f.Node] = region
		}
	}
	members := make([]member, len(list))
	for i, m := range list {
		members[i] = member{
			Node: placement.Node{ID: m.ID, Name: m.Name, Zone: m.Zone, Weight: m.Weight},
			addr: m.RPCAddr, alive: m.State == gossip.Alive, since: m.Since,
		}
		if v := spoken(&m); rpc.Spoken.Common(v) == 0 {
			members[i].foreign = v.String() + ", software " + m.Software
		}
		members[i].region, members[i].told = regions[m.ID]
	}
	if p == nil {
		return members
	}
	for _, n := range p.Nodes {
		if !slices.ContainsFunc(list, func(m gossip.Member) bool { return m.ID == n.ID }) {
			members = append(members, member{Node: n, since: c.started})
		}
	}
	return members
}

// found founds the region, if that is this node's to do.
func (c *Cluster) found(ctx context.Context, members []member) {
	with, ok := found(c.Self(), members, c.opts.BootstrapExpect)
	if !ok {
		return
	}
	if len(c.group.Servers()) == 0 {
		addr, _ := c.address(c.Self())
		if err := c.group.Bootstrap([]consensus.Server{{ID: c.Self(), Addr: addr, Voter: true}}); err != nil {
			c.opts.Logger.Error("The region could not be founded", "err", err)
		}
		return // Until this node leads.
	}
	if !c.group.Leading() {
		return
	}
	bits, _ := placement.BitsFor(c.opts.Shards) // Options.Validate has asked before.
	first, err := placement.Found(bits, c.opts.Factor, with)
	if err == nil {
		_, err = c.propose(ctx, agreed{newUUID(), first})
	}
	if err != nil {
		c.opts.Logger.Error("The region could not be founded", "err", err)
		return
	}
	c.opts.Logger.Info("The region is founded", "nodes", len(with), "shards", c.opts.Shards)
}

// appoint makes the servers of Raft those that are to be. A node that was removed has its vote no longer
// than it takes to give it to another.
func (c *Cluster) appoint(ctx context.Context, a agreed, members []member) {
	region, now := a.region, c.group.Servers()
	var candidates []consensus.Candidate
	for _, m := range members {
		i := slices.IndexFunc(now, func(s consensus.Server) bool { return s.ID == m.ID })
		if i < 0 && !(m.alive && m.mayBeOf(region) && c.mayTakeIn(ctx, m.ID, region)) {
			continue
		}
		if _, placed := a.placement.Node(m.ID); !m.alive && !placed {
			continue
		}
		candidate := consensus.Candidate{ID: m.ID, Addr: m.addr, Zone: m.Zone, Alive: m.alive}
		if m.addr == "" {
			candidate.Addr = now[i].Addr
		}
		if !m.alive {
			candidate.DeadFor = time.Since(m.since)
		}
		candidates = append(candidates, candidate)
	}
	want := consensus.Voters(now, candidates, maxVoters, c.opts.Hold)
	if slices.Equal(now, want) {
		return
	}
	if err := c.group.SetServers(ctx, want); err != nil && ctx.Err() == nil {
		c.opts.Logger.Warn("The servers of consensus could not be changed", "want", want, "err", err)
	}
}

// mayTakeIn asks a node that is new whether it belongs to another region. What it told by gossip may be
// of an earlier life of its.
func (c *Cluster) mayTakeIn(ctx context.Context, id, region placement.NodeID) bool {
	to, ok := c.Peer(id)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answer, err := c.rpc.Call(ctx, to, regionMethod, nil)
	if err != nil || len(answer) != len(region) {
		c.opts.Logger.Warn("A node that is to be taken in does not say which region it is of", "node", id, "err", err)
		return false
	}
	own := placement.NodeID(answer)
	return own == region || own == placement.NodeID{}
}

// askTime is how long a node may take to say which region it is of.
const askTime = 2 * time.Second

// saysRegion answers mayTakeIn of another node.
func (c *Cluster) saysRegion(context.Context, rpc.Identity, []byte) ([]byte, error) {
	region := c.latest().region
	return region[:], nil
}

// warnOfStrangers tells once of each node that is not taken in: one of another region of the same name, or
// one that can't be spoken to.
func (c *Cluster) warnOfStrangers(region placement.NodeID, members []member) {
	known := func(id placement.NodeID) bool {
		if c.steward.strangers == nil {
			c.steward.strangers = map[placement.NodeID]bool{}
		}
		before := c.steward.strangers[id]
		c.steward.strangers[id] = true
		return before
	}
	for _, m := range members {
		switch {
		case m.foreign != "" && m.alive && !known(m.ID):
			c.opts.Logger.Error("A node and this one speak no common version of the protocol. "+
				"Upgrade the older one first to a release that speaks both", "node", m.Name, "id", m.ID,
				"speaks", m.foreign, "own", rpc.Spoken.String())
		case region != placement.NodeID{} && m.region != region && m.region != placement.NodeID{} && !known(m.ID):
			c.opts.Logger.Error("A node of this cluster's name belongs to another region, which was founded apart: it is not taken in. "+
				"To have it join, empty its data directory", "node", m.Name, "id", m.ID, "region", m.region, "own", region)
		}
	}
}
