package quorum

import (
	"fmt"
	"slices"
	"strings"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

// Table is what a placement says about who must acknowledge. It does not change. Nodes are numbered
// as in the placement's Nodes, groups in the order of their first shard.
type Table struct {
	placement *placement.Placement
	shards    []uint16 // by shard: its group
	groups    []group
	of        [][]uint16 // by node: the groups in which its acknowledgement counts
}

// group is a set of replicas that some shards have.
type group struct {
	nodes []uint16 // all that are written to: the whole ones, then the one that fills
	whole int      // how many of them are whole
	needs []need   // of the replicas that are whole, and of those that will be when the one that fills is
}

// need is a set of replicas of which a quorum must acknowledge.
type need struct {
	members  []member
	quorum   int
	twoZones bool // Acknowledgements must come from two zones at least.
}

// member is a replica.
type member struct{ node, zone uint16 }

func newNeed(members []member) need {
	n := need{members: members, quorum: placement.QuorumOf(len(members))}
	n.twoZones = n.quorum > 1 && slices.ContainsFunc(members, func(m member) bool { return m.zone != members[0].zone })
	return n
}

// New gathers the shards of a valid placement into groups.
func New(p *placement.Placement) *Table {
	t := &Table{placement: p, shards: make([]uint16, len(p.Shards)), of: make([][]uint16, len(p.Nodes))}
	place := make(map[placement.NodeID]uint16, len(p.Nodes))
	zones := map[string]uint16{}
	zone := make([]uint16, len(p.Nodes))
	for i := range p.Nodes {
		place[p.Nodes[i].ID] = uint16(i)
		z, ok := zones[p.Nodes[i].Zone]
		if !ok {
			z = uint16(len(zones))
			zones[p.Nodes[i].Zone] = z
		}
		zone[i] = z
	}
	known := map[string]uint16{}
	var key []byte
	for s := range p.Shards {
		key = key[:0]
		for _, r := range p.Shards[s] {
			n := place[r.Node]
			key = append(key, byte(n), byte(n>>8))
			if r.Filling { // There is none behind it.
				f := place[r.For]
				key = append(key, '+', byte(f), byte(f>>8))
				if (r.For == placement.NodeID{}) {
					key = append(key, '+')
				}
			}
		}
		g, ok := known[string(key)]
		if !ok {
			g = t.add(series.Shard(s), place, zone)
			known[string(key)] = g
		}
		t.shards[s] = g
	}
	return t
}

// add makes the group of a shard.
func (t *Table) add(s series.Shard, place map[placement.NodeID]uint16, zone []uint16) uint16 {
	number := uint16(len(t.groups))
	whole, filling := t.placement.Replicas(s)
	g := group{whole: len(whole)}
	var now, next []member
	for _, r := range whole {
		n := place[r.Node]
		g.nodes = append(g.nodes, n)
		now = append(now, member{node: n, zone: zone[n]})
		if filling != nil && r.Node != filling.For {
			next = append(next, now[len(now)-1])
		}
	}
	g.needs = append(g.needs, newNeed(now))
	if filling != nil {
		n := place[filling.Node]
		g.nodes = append(g.nodes, n)
		g.needs = append(g.needs, newNeed(append(next, member{node: n, zone: zone[n]})))
	}
	for _, n := range g.nodes {
		t.of[n] = append(t.of[n], number)
	}
	t.groups = append(t.groups, g)
	return number
}

// Groups is how many there are.
func (t *Table) Groups() int { return len(t.groups) }

// Group of a shard.
func (t *Table) Group(s series.Shard) uint16 { return t.shards[s] }

// Nodes that a group's samples are written to, those with whole replicas first. The caller may not
// change them.
func (t *Table) Nodes(group uint16) []uint16 { return t.groups[group].nodes }

// Whole is how many of a group's nodes hold whole replicas.
func (t *Table) Whole(group uint16) int { return t.groups[group].whole }

// Placement is what the table was made of.
func (t *Table) Placement() *placement.Placement { return t.placement }

// Name of a node, for people.
func (t *Table) Name(node uint16) string {
	n := &t.placement.Nodes[node]
	if n.Name != "" {
		return n.Name
	}
	return n.ID.String()
}

// String is a line for each group.
//
//	group 0 (shards 0-84): a, b, c: needs 2
//	group 1 (shards 85-255): b, c, d, e (fills): needs 2 in 2 zones, 2 of b, c, e in 2 zones
func (t *Table) String() string {
	var b strings.Builder
	for i := range t.groups {
		g := &t.groups[i]
		fmt.Fprintf(&b, "group %d (%s): ", i, t.span(uint16(i)))
		for k, n := range g.nodes {
			if k > 0 {
				b.WriteString(", ")
			}
			b.WriteString(t.Name(n))
			if k >= g.whole {
				b.WriteString(" (fills)")
			}
		}
		for k, n := range g.needs {
			if k == 0 {
				fmt.Fprintf(&b, ": needs %d", n.quorum)
			} else {
				fmt.Fprintf(&b, ", %d of %s", n.quorum, t.names(n.members))
			}
			if n.twoZones {
				b.WriteString(" in 2 zones")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (t *Table) names(members []member) string {
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = t.Name(m.node)
	}
	return strings.Join(list, ", ")
}

// maxSpans bounds how many runs of shards are named.
const maxSpans = 8

// span names the shards of a group.
func (t *Table) span(group uint16) string {
	var b strings.Builder
	b.WriteString("shards ")
	for from, spans := 0, 0; from < len(t.shards); {
		to := from
		for to < len(t.shards) && t.shards[to] == group {
			to++
		}
		if to == from {
			from++
			continue
		}
		if spans++; spans > maxSpans {
			b.WriteString(",…")
			break
		}
		if spans > 1 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, from)
		if to > from+1 {
			fmt.Fprintf(&b, "-%d", to-1)
		}
		from = to
	}
	return b.String()
}
