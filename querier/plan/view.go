package plan

import (
	"math"
	"slices"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

// View is what the planner sees of the nodes at some moment. It is never changed, and may be used
// for any number of queries.
type View struct {
	Epoch uint64
	Self  Node
	// layout is nil if there is no other node.
	layout *layout
	stamp  uint64
}

// Single is the view of a node that is alone.
func Single(self Node) View { return View{Self: self} }

// Nodes are those that can be asked.
func (v View) Nodes() []Node {
	if v.layout == nil {
		return []Node{v.Self}
	}
	var nodes []Node
	for i, n := range v.layout.placement.Nodes {
		if v.layout.alive[i] {
			nodes = append(nodes, Node{ID: n.ID, Name: n.Name, Zone: n.Zone})
		}
	}
	return nodes
}

// Cluster is what is known of the nodes.
type Cluster struct {
	// Placement is valid.
	Placement *placement.Placement
	Self      placement.NodeID
	// Alive says of each node of the placement whether it can be asked.
	Alive func(placement.NodeID) bool
	// Gaps are of any nodes, in any order.
	Gaps []Gap
}

// Gap is a stretch of time for which a replica lacks samples.
type Gap struct {
	Node   placement.NodeID
	Shards *series.ShardSet // nil is all of them
	// Mint and Maxt are inclusive, in milliseconds.
	Mint, Maxt int64
	// Forgot says that it had some of them when they were acknowledged.
	Forgot bool
}

// NewView returns the view of a node of a cluster.
func NewView(c Cluster) View {
	l := &layout{
		placement: c.Placement, self: -1,
		alive: make([]bool, len(c.Placement.Nodes)),
		gaps:  make([][]Gap, len(c.Placement.Nodes)),
		place: make(map[placement.NodeID]int, len(c.Placement.Nodes)),
	}
	v := View{Epoch: c.Placement.Epoch, Self: Node{ID: c.Self}, layout: l}
	for i, n := range c.Placement.Nodes {
		l.place[n.ID] = i
		l.alive[i] = n.ID == c.Self || c.Alive(n.ID)
		if n.ID == c.Self {
			v.Self, l.self = Node{ID: n.ID, Name: n.Name, Zone: n.Zone}, i
		}
	}
	l.whole = make([][]int32, len(c.Placement.Shards))
	for s := range l.whole {
		whole, _ := c.Placement.Replicas(series.Shard(s))
		for _, r := range whole {
			l.whole[s] = append(l.whole[s], int32(l.place[r.Node]))
		}
	}
	l.parts, l.missing = l.lay(math.MinInt64, math.MaxInt64, nil, nil) // There are no gaps yet.
	for _, g := range c.Gaps {
		if i, ok := l.place[g.Node]; ok && g.Mint <= g.Maxt {
			l.gaps[i] = append(l.gaps[i], g)
			l.anyGap = l.anyGap.with(g.Mint, g.Maxt)
		}
	}
	v.stamp = stampOf(v.Epoch, l)
	return v
}

// span is from the first of some times to the last.
type span struct {
	mint, maxt int64
	some       bool
}

func (s span) with(mint, maxt int64) span {
	if !s.some {
		return span{mint, maxt, true}
	}
	return span{min(s.mint, mint), max(s.maxt, maxt), true}
}

func (s span) overlaps(mint, maxt int64) bool { return s.some && s.mint <= maxt && mint <= s.maxt }

// layout knows which nodes there are to read each shard from. Nodes are by their places in the
// placement.
type layout struct {
	placement *placement.Placement
	self      int // -1: has no part in the placement
	alive     []bool
	gaps      [][]Gap
	place     map[placement.NodeID]int
	whole     [][]int32 // By shard: the nodes of its whole replicas.
	anyGap    span
	// parts and missing are what is read where there are no gaps, which is nearly always.
	parts   []Part
	missing []Missing
}

// query lays out all shards.
func (l *layout) query(mint, maxt int64) ([]Part, []Missing) {
	if l.anyGap.overlaps(mint, maxt) {
		return l.lay(mint, maxt, nil, nil)
	}
	parts, missing := slices.Clone(l.parts), slices.Clone(l.missing)
	for i := range parts {
		parts[i].Mint, parts[i].Maxt = mint, maxt
	}
	for i := range missing {
		missing[i].Mint, missing[i].Maxt = mint, maxt
	}
	return parts, missing
}
