package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/cluster/consensus"
	"github.com/barograph-db/barograph/cluster/gossip"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/rpc"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	raftDir       = "raft"
	raftKind      = "raft"
	proposeMethod = "cluster.propose"
	regionMethod  = "cluster.region"
	placementName = "placement" // of the state
	regionFact    = "region"
	// maxVoters is how many nodes vote at most.
	maxVoters = 5
	// lookEvery is how often the members are looked at though nothing has changed: time passes.
	lookEvery = time.Second
)

// Cluster is this node's part in its cluster.
type Cluster struct {
	opts     Options
	rpc      *rpc.Transport
	pool     *gossip.Pool
	group    *consensus.Group
	register *register
	learned  learned
	steward  steward
	started  time.Time
	catchUps *prometheus.CounterVec

	mu struct {
		sync.Mutex
		changed chan struct{} // closed at the next change
		members map[placement.NodeID]gossip.Member
	}
}

// New opens what the node knows of its region and prepares its parts; it starts nothing. Methods of
// RPC are to be registered before Run.
func New(opts Options) (*Cluster, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	c := &Cluster{opts: opts, register: newRegister(), catchUps: newCatchUps(opts.Registerer)}
	opts.Registerer.MustRegister(newCollector(c))
	c.mu.changed = make(chan struct{})
	calls := rpc.Options{
		Identity: rpc.Identity{
			Cluster: opts.Name, Name: opts.Node.Name, Region: opts.Region, Software: opts.Software, Node: opts.Node.ID,
		},
		Listen: opts.RPCAddress, Network: opts.Network, Logger: opts.Logger, Registerer: opts.Registerer,
	}
	var keys [][]byte
	if opts.Trust != nil {
		keys = opts.Trust.GossipKeys()
		if opts.Trust.TLS() {
			calls.ServerTLS, calls.ClientTLS = opts.Trust.ServerTLS, opts.Trust.ClientTLS
		}
	}
	var err error
	if c.rpc, err = rpc.New(calls); err != nil {
		return nil, err
	}
	_, port, _ := splitAddress(opts.RPCAddress) // Validate has split it before.
	if c.pool, err = gossip.New(gossip.Options{
		Cluster: opts.Name, Node: opts.Node.ID, Name: opts.Node.Name, Zone: opts.Node.Zone, Region: opts.Region,
		Software: opts.Software, Weight: opts.Node.Weight,
		Protocol: rpc.Spoken.Highest, LowestProtocol: rpc.Spoken.Lowest,
		RPCAddr: net.JoinHostPort(opts.AdvertiseHost, strconv.Itoa(port)),
		Listen:  opts.GossipAddress, Advertise: opts.AdvertiseHost, Join: opts.Join, Keys: keys,
		Network: opts.Network, Logger: opts.Logger, Registerer: opts.Registerer,
	}); err != nil {
		return nil, err
	}
	if err = c.openLearned(); err != nil {
		return nil, err
	}
	listener, dial := c.rpc.Raw(raftKind)
	if c.group, err = consensus.Open(consensus.Options{
		ID: opts.Node.ID, Dir: opts.FS.PathJoin(opts.Dir, raftDir), FS: opts.FS,
		States:   c.states(),
		Listener: listener,
		Dial: func(ctx context.Context, s consensus.Server) (net.Conn, error) {
			return dial(ctx, rpc.Peer{ID: s.ID, Addr: s.Addr})
		},
		Address: c.address,
		Forward: c.forward,
		// What the voters agree on is rare and in no hurry, writes and queries don't wait for a leader,
		// and heartbeats are what an idle cluster sends most of.
		HeartbeatTimeout: 2 * time.Second, CommitInterval: 500 * time.Millisecond,
		MaxCommandBytes: maxCommand,
		Logger:          opts.Logger, Registerer: opts.Registerer,
	}); err != nil {
		return nil, err
	}
	c.rpc.Handle(rpc.Method{Name: proposeMethod, MaxMessage: maxCommand + 1<<10}, rpc.Unary(c.forwarded))
	c.rpc.Handle(rpc.Method{Name: regionMethod, MaxMessage: 1 << 10}, rpc.Unary(c.saysRegion))
	c.rpc.Handle(rpc.Method{Name: placementMethod, MaxMessage: maxAgreed}, rpc.Unary(c.saysPlacement))
	c.tell() // Before anybody can hear of this node.
	return c, nil
}

// states are those that the region agrees on.
func (c *Cluster) states() map[string]consensus.State {
	all := map[string]consensus.State{placementName: c.register}
	maps.Copy(all, c.opts.States)
	return all
}

// Propose has a command applied to one of Options.States on all nodes, and returns the result. It waits
// for a leader as long as ctx lasts; after an error the command may be applied all the same, unless it
// is consensus.ErrNoLeader.
func (c *Cluster) Propose(ctx context.Context, state string, command []byte) (result []byte, err error) {
	return c.group.Propose(ctx, state, command)
}

// spoken are the versions of the protocol that a member speaks.
func spoken(m *gossip.Member) rpc.Versions {
	return rpc.Versions{Lowest: m.LowestProtocol, Highest: m.Protocol}
}

// maxCommand bounds what is agreed upon at once, in bytes.
const maxCommand = 8 << 20

// RPC is the way to other nodes, and where methods are registered that others may call.
func (c *Cluster) RPC() *rpc.Transport { return c.rpc }

// ReloadKeys puts the keys of gossip in force that Options.Trust has now. Certificates need no call.
func (c *Cluster) ReloadKeys() error {
	if c.opts.Trust == nil {
		return nil
	}
	return c.pool.SetKeys(c.opts.Trust.GossipKeys())
}

// Gossip is where nodes say things of themselves.
func (c *Cluster) Gossip() *gossip.Pool { return c.pool }

// Self is this node's ID.
func (c *Cluster) Self() placement.NodeID { return c.opts.Node.ID }

// Placement is the one in force as far as this node knows, nil before there is one.
func (c *Cluster) Placement() *placement.Placement { return c.latest().placement }

// Leader of the region's voters, as far as this node knows.
func (c *Cluster) Leader() (placement.NodeID, bool) {
	s, ok := c.group.Leader()
	return s.ID, ok
}

// Alive reports whether the node answers, as far as gossip knows.
func (c *Cluster) Alive(id placement.NodeID) bool {
	if id == c.Self() {
		return true
	}
	m, ok := c.member(id)
	return ok && m.State == gossip.Alive
}

// Peer is how to reach a node.
func (c *Cluster) Peer(id placement.NodeID) (rpc.Peer, bool) {
	m, ok := c.member(id)
	return rpc.Peer{ID: id, Addr: m.RPCAddr}, ok
}

func (c *Cluster) member(id placement.NodeID) (gossip.Member, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.mu.members[id]
	return m, ok
}

func (c *Cluster) address(id placement.NodeID) (string, bool) {
	m, ok := c.member(id)
	return m.RPCAddr, ok
}

// Changed returns a channel that is closed when members, what they say, or the placement have
// changed since the call.
func (c *Cluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.changed
}

// refresh takes over what gossip knows, and tells those who wait.
func (c *Cluster) refresh() []gossip.Member {
	members := c.pool.Members()
	byID := make(map[placement.NodeID]gossip.Member, len(members))
	for _, m := range members {
		byID[m.ID] = m
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.members = byID
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
	return members
}

// Wait returns once there is a placement in which the node is.
func (c *Cluster) Wait(ctx context.Context) error {
	for {
		changed := c.Changed()
		if p := c.Placement(); p != nil {
			if _, ok := p.Node(c.Self()); ok {
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Run takes part in the cluster until ctx ends, or one of the parts fails. Then the others are told,
// leadership is handed over, and the connections end, in this order.
func (c *Cluster) Run(ctx context.Context) error {
	c.started = time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	calls := c.start(ctx, cancel, c.rpc.Run)
	votes := c.start(ctx, cancel, c.group.Run)
	words := c.start(ctx, cancel, c.pool.Run)
	looks := c.start(ctx, cancel, c.look)

	<-ctx.Done()
	cause := context.Cause(ctx)
	leaving, done := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer done()
	err := looks.end()
	if errors.Is(cause, context.Canceled) {
		if leave := c.pool.Leave(leaving); leave != nil {
			c.opts.Logger.Warn("The others could not be told that this node leaves", "err", leave)
		}
	}
	err = errors.Join(err, votes.end(), words.end(), calls.end(), c.group.Close())
	return err
}

const leaveTimeout = 5 * time.Second

// part is something that runs until it is ended.
type part struct {
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// start runs a part in a context that outlives ctx; if it fails, everything ends.
func (c *Cluster) start(ctx context.Context, fail context.CancelCauseFunc, run func(context.Context) error) *part {
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		if p.err = run(own); p.err != nil || own.Err() == nil {
			fail(errors.Join(p.err, errEnded))
		}
	}()
	return p
}

var errEnded = errors.New("a part of the cluster has ended")

func (p *part) end() error {
	p.stop()
	<-p.done
	return p.err
}

// forward hands a proposal to the leader.
func (c *Cluster) forward(ctx context.Context, to consensus.Server, request []byte) ([]byte, error) {
	addr, ok := c.address(to.ID)
	if !ok {
		addr = to.Addr
	}
	stream, err := c.rpc.Open(ctx, rpc.Peer{ID: to.ID, Addr: addr}, proposeMethod)
	if err != nil { // Nothing was sent.
		return nil, fmt.Errorf("%w: %w", consensus.ErrNoLeader, err)
	}
	defer stream.Close()
	if err := errors.Join(stream.Send(request), stream.CloseSend()); err != nil {
		return nil, err
	}
	return stream.Recv(nil)
}

func (c *Cluster) forwarded(ctx context.Context, _ rpc.Identity, request []byte) ([]byte, error) {
	answer, err := c.group.Forwarded(ctx, request)
	if err != nil {
		return nil, &rpc.Error{Code: rpc.Invalid, Text: err.Error()}
	}
	return answer, nil
}

// Drain has a node, given by its ID or name, hand over all it holds.
func (c *Cluster) Drain(ctx context.Context, node string) error {
	return c.change(ctx, func(p *placement.Placement) (*placement.Placement, error) {
		n, err := findNode(p, node)
		if err != nil {
			return nil, err
		}
		return p.Drain(n.ID)
	})
}

// Remove forgets a node that is gone. With force it does so though it has the only replica of some
// shards.
func (c *Cluster) Remove(ctx context.Context, node string, force bool) error {
	return c.change(ctx, func(p *placement.Placement) (*placement.Placement, error) {
		n, err := findNode(p, node)
		if err != nil {
			return nil, err
		}
		if c.Alive(n.ID) {
			return nil, ErrAlive
		}
		return p.Remove(n.ID, force)
	})
}

// Filled has it agreed upon that this node's replicas of shards are whole, those of them that still fill.
// When it returns without an error this node knows it.
func (c *Cluster) Filled(ctx context.Context, shards []series.Shard) error {
	var epoch uint64
	err := c.change(ctx, func(p *placement.Placement) (*placement.Placement, error) {
		filling := slices.DeleteFunc(slices.Clone(shards), func(s series.Shard) bool {
			_, r := p.Replicas(s)
			return r == nil || r.Node != c.Self()
		})
		if len(filling) == 0 {
			return p, nil
		}
		next, err := p.Filled(c.Self(), filling...)
		if err == nil {
			epoch = next.Epoch
		}
		return next, err
	})
	for err == nil {
		changed := c.Changed()
		if c.Placement().Epoch >= epoch {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return err
}

// change has a step taken, again if others were faster.
func (c *Cluster) change(ctx context.Context, step func(*placement.Placement) (*placement.Placement, error)) error {
	for {
		changed, now := c.Changed(), c.register.get()
		if now.placement == nil {
			return ErrNoRegion
		}
		next, err := step(now.placement)
		if err != nil || next == now.placement {
			return err
		}
		taken, err := c.propose(ctx, agreed{now.region, next})
		if err != nil || taken {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// propose reports whether the placement is in force now.
func (c *Cluster) propose(ctx context.Context, a agreed) (taken bool, err error) {
	result, err := c.group.Propose(ctx, placementName, a.encode())
	if err != nil {
		return false, fmt.Errorf("propose epoch %d: %w", a.placement.Epoch, err)
	}
	return slices.Equal(result, []byte{answerTaken}), nil
}

// Status is what this node knows of the region.
func (c *Cluster) Status() Status {
	a := c.latest()
	s := Status{Cluster: c.opts.Name, Region: c.opts.Region, Self: c.Self().String()}
	if leader, ok := c.group.Leader(); ok {
		s.Leader = leader.ID.String()
	}
	nodes := map[placement.NodeID]*NodeStatus{}
	for _, m := range c.pool.Members() {
		nodes[m.ID] = &NodeStatus{
			Name: m.Name, Zone: m.Zone, Address: m.RPCAddr, Software: m.Software, Weight: m.Weight,
			Health: m.State.String(), Since: m.Since, State: "outside",
			Protocol: m.Protocol, LowestProtocol: m.LowestProtocol, Incompatible: rpc.Spoken.Common(spoken(&m)) == 0,
		}
	}
	if a.placement != nil {
		s.RegionID = a.region.String()
		s.count(a.placement, c.Alive)
		for _, n := range a.placement.Nodes {
			if nodes[n.ID] == nil {
				nodes[n.ID] = &NodeStatus{Name: n.Name, Zone: n.Zone, Weight: n.Weight, Health: "unknown"}
			}
			nodes[n.ID].State = n.State.String()
			nodes[n.ID].Replicas, nodes[n.ID].Filling = a.placement.Holding(n.ID)
		}
		c.addMoves(a.placement, nodes)
	}
	for _, server := range c.group.Servers() {
		if n := nodes[server.ID]; n != nil {
			n.Voter = server.Voter
		}
	}
	for id, n := range nodes {
		n.ID = id.String()
		s.Nodes = append(s.Nodes, *n)
	}
	slices.SortFunc(s.Nodes, func(a, b NodeStatus) int {
		if a.Name != b.Name {
			return slices.Compare([]string{a.Name}, []string{b.Name})
		}
		return slices.Compare([]string{a.ID}, []string{b.ID})
	})
	return s
}
