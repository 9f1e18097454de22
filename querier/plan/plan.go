package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/storage/series"
)

// Node names a node.
type Node string

// View is the placement as the planner sees it: for each node the shards to read from it. The
// nodes' shards are disjoint.
type View struct {
	Epoch uint64
	Nodes []Owner
}

// Owner is a node and the shards it answers for; nil is all of them.
type Owner struct {
	Node   Node
	Shards *series.ShardSet
}

// Single is the view of a node that is alone.
func Single(node Node) View { return View{Nodes: []Owner{{Node: node}}} }

// Query is what is to be read.
type Query struct {
	Matchers []*labels.Matcher
	// Mint and Maxt are inclusive, in milliseconds.
	Mint, Maxt int64
}

// Plan says who reads what. Parts are disjoint, and together they are the query.
type Plan struct {
	Query
	Epoch uint64
	Parts []Part
}

// Part is what one node reads.
type Part struct {
	Node       Node
	Shards     *series.ShardSet // nil is all of them
	Mint, Maxt int64
}

// Make lays q over the view.
func Make(q Query, v View) Plan {
	p := Plan{Query: q, Epoch: v.Epoch}
	if q.Mint > q.Maxt {
		return p
	}
	for _, o := range v.Nodes {
		p.Parts = append(p.Parts, Part{Node: o.Node, Shards: o.Shards, Mint: q.Mint, Maxt: q.Maxt})
	}
	return p
}

// String prints the plan as in the package's example.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "select %s from %s to %s at epoch %d\n", Selector(p.Matchers), formatTime(p.Mint), formatTime(p.Maxt), p.Epoch)
	for _, part := range p.Parts {
		b.WriteString("  " + part.String())
		if part.Mint != p.Mint || part.Maxt != p.Maxt {
			fmt.Fprintf(&b, " from %s to %s", formatTime(part.Mint), formatTime(part.Maxt))
		}
		b.WriteByte('\n')
	}
	if len(p.Parts) == 0 {
		b.WriteString("  nothing to read\n")
	}
	return b.String()
}

// Selector prints matchers as {a="b", c=~"d"}.
func Selector(ms []*labels.Matcher) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range ms {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(m.String())
	}
	b.WriteByte('}')
	return b.String()
}

// String prints whose shards the part is.
func (p Part) String() string {
	return fmt.Sprintf("node %s: shards %s", p.Node, formatShards(p.Shards))
}

func formatTime(t int64) string { return time.UnixMilli(t).UTC().Format("2006-01-02T15:04:05.999Z") }

// formatShards prints runs of shards: 0-3,7 of 16.
func formatShards(s *series.ShardSet) string {
	if s == nil {
		return "all"
	}
	shards := 1 << s.Bits
	has := func(i int) bool { return i < shards && s.Has(series.Fingerprint(uint64(i)<<(64-s.Bits))) }
	var runs []string
	for i := 0; i < shards; i++ {
		if !has(i) {
			continue
		}
		from := i
		for has(i + 1) {
			i++
		}
		if from == i {
			runs = append(runs, strconv.Itoa(from))
		} else {
			runs = append(runs, fmt.Sprintf("%d-%d", from, i))
		}
	}
	if len(runs) == 0 {
		runs = append(runs, "none")
	}
	return fmt.Sprintf("%s of %d", strings.Join(runs, ","), shards)
}
