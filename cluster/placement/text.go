package placement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/barograph-db/barograph/storage/series"
)

// String is the placement as text: a line for each node, then one for each run of shards that are on
// the same nodes. A replica that fills is marked with +, a shard that is short with -.
//
//	epoch 42, fence 41, 8 shards, replication factor 2
//	a zone=z1 weight=1 active holds=5 filling=0
//	b zone=z2 weight=1 draining holds=6 filling=0
//	c zone=z2 weight=1 active holds=6 filling=1
//	0-4 a b
//	5 b c
//	6-7 b c +a(b)
func (p *Placement) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d, fence %d, %d shards, replication factor %d\n", p.Epoch, p.Fence, len(p.Shards), p.Factor)
	nodes := slices.Clone(p.Nodes)
	slices.SortStableFunc(nodes, func(x, y Node) int { return strings.Compare(x.Name, y.Name) })
	for _, n := range nodes {
		all, filling := p.Holding(n.ID)
		fmt.Fprintf(&b, "%s zone=%s weight=%d %s holds=%d filling=%d\n", n.label(), n.Zone, n.Weight, n.State, all, filling)
	}
	for from := 0; from < len(p.Shards); {
		text, to := p.line(series.Shard(from)), from+1
		for to < len(p.Shards) && p.line(series.Shard(to)) == text {
			to++
		}
		if to-from > 1 {
			fmt.Fprintf(&b, "%d-%d%s\n", from, to-1, text)
		} else {
			fmt.Fprintf(&b, "%d%s\n", from, text)
		}
		from = to
	}
	return b.String()
}

func (n *Node) label() string {
	if n.Name != "" {
		return n.Name
	}
	return n.ID.String()
}

func (p *Placement) label(id NodeID) string {
	if i, ok := p.node(id); ok {
		return p.Nodes[i].label()
	}
	return id.String()
}

// line is the replicas of a shard.
func (p *Placement) line(s series.Shard) string {
	var b strings.Builder
	for _, r := range p.Shards[s] {
		b.WriteByte(' ')
		if r.Filling {
			b.WriteByte('+')
		}
		b.WriteString(p.label(r.Node))
		if r.For != (NodeID{}) {
			fmt.Fprintf(&b, "(%s)", p.label(r.For))
		}
	}
	if n := p.Short[s]; n > 0 {
		fmt.Fprintf(&b, " -%d", n)
	}
	return b.String()
}
