package queriertest

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/leaf/wire"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/series"
)

// Cluster is some engines, each over a store of its own, that ask each other over streams in memory.
type Cluster struct {
	Engines   []*querier.Engine
	placement *placement.Placement
	gaps      []plan.Gap
	networks  []*Network
	killed    []atomic.Bool
	dead      []bool
}

const clusterBits = 4

// NewCluster makes a node for each store. Each shard has replicas on so many of them, which the stores
// must know: see Holds. The engines have Options but for the cluster.
func NewCluster(tb testing.TB, stores []leaf.Store, replicas int, opts querier.Options) *Cluster {
	p := &placement.Placement{Epoch: 1, Bits: clusterBits, Factor: replicas}
	for i := range stores {
		p.Nodes = append(p.Nodes, NewNode(i))
	}
	for s := range 1 << clusterBits {
		var on []placement.Replica
		for i := range replicas {
			on = append(on, placement.Replica{Node: nodeID((s + i) % len(stores))})
		}
		slices.SortFunc(on, func(a, b placement.Replica) int { return a.Node.Compare(b.Node) })
		p.Shards = append(p.Shards, on)
	}
	return NewPlacedCluster(tb, p, stores, opts)
}

// NewNode is the node that a placement has for a store.
func NewNode(i int) placement.Node {
	return placement.Node{ID: nodeID(i), Name: string(rune('a' + i)), Weight: 1}
}

// NewPlacedCluster is NewCluster with a placement of nodes of NewNode, which are in the order of the stores.
func NewPlacedCluster(tb testing.TB, p *placement.Placement, stores []leaf.Store, opts querier.Options) *Cluster {
	c := &Cluster{
		placement: p,
		networks:  make([]*Network, len(stores)),
		killed:    make([]atomic.Bool, len(stores)),
		dead:      make([]bool, len(stores)),
	}
	if err := c.placement.Validate(); err != nil {
		tb.Fatal(err)
	}
	for i, store := range stores {
		opts.Cluster = querier.Cluster{Self: nodeID(i), View: func() plan.View { return c.view(i) }, Reach: c.reach}
		e, err := querier.New(store, opts)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = e.Close() }) // It is closed by tests as well.
		c.Engines = append(c.Engines, e)
		c.networks[i] = &Network{Handlers: e.Server().Handlers(), Window: 4}
		tb.Cleanup(c.networks[i].Wait)
		opts.Registerer = nil // It is the first engine's.
	}
	return c
}

func nodeID(i int) placement.NodeID { return placement.NodeID{15: byte(i + 1)} }

// view is what a node sees: all nodes as if they lived, but for those that were buried.
func (c *Cluster) view(of int) plan.View {
	return plan.NewView(plan.Cluster{
		Placement: c.placement, Self: nodeID(of), Alive: func(id placement.NodeID) bool { return !c.dead[place(id)] }, Gaps: c.gaps,
	})
}

var errKilled = errors.New("connection refused")

func (c *Cluster) reach(n plan.Node) (leaf.Node, error) {
	i := place(n.ID)
	if c.killed[i].Load() {
		return nil, errKilled
	}
	return wire.NewRemote(c.networks[i].Open), nil
}

// place is the number of a node.
func place(id placement.NodeID) int { return int(id[len(id)-1]) - 1 }

// Holds reports whether a node has a replica of a series.
func (c *Cluster) Holds(node int, ls series.Labels) bool {
	return c.placement.Holds(ls.Fingerprint().Shard(c.placement.Bits), nodeID(node))
}

// Ask makes the engines ask the nodes of another cluster, which hold the same, in place of their own.
func (c *Cluster) Ask(other *Cluster) { c.networks = other.networks }

// Tap sees what a node sends, as Network.Tap does. Nobody may be asking.
func (c *Cluster) Tap(node int, tap func(n int, msg []byte) error) { c.networks[node].Tap = tap }

// Kill makes a node one that nobody can reach, which nobody has noticed.
func (c *Cluster) Kill(node int) { c.killed[node].Store(true) }

// Bury makes a node one that all know to be dead. Nobody may be asking.
func (c *Cluster) Bury(node int) { c.dead[node] = true }

// AddGap makes all nodes see a gap of a node. Nobody may be asking.
func (c *Cluster) AddGap(node int, mint, maxt int64) {
	c.gaps = append(c.gaps, plan.Gap{Node: nodeID(node), Mint: mint, Maxt: maxt})
}

// AddLoss has a node have lost, of some times, what it had acknowledged.
func (c *Cluster) AddLoss(node int, mint, maxt int64) {
	c.gaps = append(c.gaps, plan.Gap{Node: nodeID(node), Mint: mint, Maxt: maxt, Forgot: true})
}

// Wait waits until nobody answers any more.
func (c *Cluster) Wait() {
	for _, n := range c.networks {
		n.Wait()
	}
}
