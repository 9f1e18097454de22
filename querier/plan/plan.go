package plan

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

// Node names a node.
type Node struct {
	ID   placement.NodeID
	Name string
	Zone string
}

// String is the node's name, or its ID if it has none.
func (n Node) String() string {
	if n.Name == "" {
		return n.ID.String()
	}
	return n.Name
}

// Query is what is to be read.
type Query struct {
	Matchers []*labels.Matcher
	// Mint and Maxt are inclusive, in milliseconds.
	Mint, Maxt int64
}

// Plan says who reads what. Parts and what is missing are together the query.
type Plan struct {
	Query
	Epoch uint64
	// Self is the node that makes the plan.
	Self  Node
	Parts []Part
	// Missing is what can't be read in whole.
	Missing []Missing

	layout *layout
}

// Part is what one node reads.
type Part struct {
	Node       Node
	Shards     *series.ShardSet // nil is all of them
	Mint, Maxt int64
	// Merged says that others read the same, and only all of them together may have every sample.
	// Parts that are not merged are disjoint in shards or times.
	Merged bool
}

// Missing is a stretch for which there are not enough replicas.
type Missing struct {
	Shards     *series.ShardSet
	Mint, Maxt int64
	// Why there are not enough.
	Why string
}

// Make lays q over the view.
func Make(q Query, v View) Plan {
	p := Plan{Query: q, Epoch: v.Epoch, Self: v.Self, layout: v.layout}
	switch {
	case q.Mint > q.Maxt:
	case v.layout == nil:
		p.Parts = []Part{{Node: v.Self, Mint: q.Mint, Maxt: q.Maxt}}
	default:
		p.Parts, p.Missing = v.layout.query(q.Mint, q.Maxt)
	}
	return p
}

// Over returns the plan with the nodes of another view to ask Instead.
func (p Plan) Over(v View) Plan {
	p.Epoch, p.layout = v.Epoch, v.layout
	return p
}

// Alone reports whether there is no node but this one.
func (p *Plan) Alone() bool { return p.layout == nil }

// Whole reports whether the part has all samples of its series, which no other part has any of.
func (p *Plan) Whole(part Part) bool {
	return !part.Merged && part.Mint == p.Mint && part.Maxt == p.Maxt
}

// Split returns the parts that are whole, as a plan with all that is missing, and the rest as another.
func (p Plan) Split() (whole, rest Plan) {
	whole, rest = p, p
	whole.Parts, rest.Parts, rest.Missing = nil, nil, nil
	for _, part := range p.Parts {
		if p.Whole(part) {
			whole.Parts = append(whole.Parts, part)
		} else {
			rest.Parts = append(rest.Parts, part)
		}
	}
	return whole, rest
}

// Once returns parts with every shard in one of them, for what must not be read twice. They are of a
// plan for a moment, so that there are none but whole and merged ones.
func Once(parts []Part) []Part {
	var out []Part
	var seen *series.ShardSet
	for _, part := range parts {
		if part.Shards != nil {
			if seen == nil {
				seen = &series.ShardSet{Bits: part.Shards.Bits}
			}
			if part.Shards = part.Shards.Without(seen); part.Shards == nil {
				continue
			}
		}
		part.Merged = false
		out = append(out, part)
	}
	return out
}

// Instead lays a part of the plan over nodes other than these. What it returns has as many samples as
// the part unless something is missing.
func (p *Plan) Instead(part Part, without []Node) ([]Part, []Missing) {
	if p.layout == nil {
		return nil, []Missing{{Shards: part.Shards, Mint: part.Mint, Maxt: part.Maxt, Why: "there is no other node"}}
	}
	return p.layout.lay(part.Mint, part.Maxt, part.Shards, without)
}

// Ordered returns the parts as people want them: by node, this one first, then by time.
func (p *Plan) Ordered() []Part { return slices.SortedStableFunc(slices.Values(p.Parts), p.before) }

func (p *Plan) before(a, b Part) int {
	return cmp.Or(compareNodes(p.Self, a.Node, b.Node), cmp.Compare(a.Mint, b.Mint), cmp.Compare(a.Maxt, b.Maxt))
}

func compareNodes(self, a, b Node) int {
	switch {
	case a == b:
		return 0
	case a == self:
		return -1
	case b == self:
		return 1
	}
	return a.ID.Compare(b.ID)
}
