package node

import (
	"math"
	"sync"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest/stream"
)

// A node that takes a write acknowledges it when each replica has it, or when it keeps it on disk for
// those that do not. A replica that this node can't reach learns neither of the write nor of the gap.
// But it notices that the node says nothing any more: senders beat on idle streams, and say whether
// something is kept for whom they talk to. So a replica trusts itself only for as long as it hears from
// all other nodes that they keep nothing for it. Else it has a gap, which it tells of by itself: from
// some time before it heard that last, until it hears it again.
//
//	all heard, none keeps something   whole
//	one is silent, or keeps something   gap from an hour before that began, without end
//	one was never heard since the start   gap of all times
//
// A node that the region has given up counts no more: nobody will hear whether it kept something. What
// was doubted until then is a gap with an end, until this node has been compared with the other
// replicas (package repair). Others fill in its place, and are whole only when they have no gap.
//
// Where enough replicas can be reached, the planner reads several of those with gaps and merges them;
// where too few can, nobody knows what was acknowledged elsewhere, and the query fails.
type doubts struct {
	mu struct {
		sync.Mutex
		about map[placement.NodeID]*doubt
		from  int64
		some  bool
		news  bool
		// orphaned says that a node was given up while this one doubted itself for it, since orphanedFrom.
		orphaned     bool
		orphanedFrom int64
	}
}

// doubt is about one other node.
type doubt struct {
	trusted int64 // Unix ms at which it was last heard to keep nothing
	doubted bool  // at the last look
}

// from is the time from which on this node may lack samples of the other.
func (o *doubt) from() int64 {
	return max(o.trusted, math.MinInt64+doubtBack.Milliseconds()) - doubtBack.Milliseconds()
}

const (
	// doubtAfter is how long a node may be silent. It is not longer than a write waits for a replica.
	doubtAfter = time.Second
	// doubtEvery is how often that is looked at.
	doubtEvery = 200 * time.Millisecond
	// doubtBack is how late samples may be of which nobody has heard.
	doubtBack = time.Hour
)

// look takes in what was heard of other nodes, and reports whether the gap is another than before.
func (d *doubts) look(now time.Time, self placement.NodeID, nodes []placement.Node, heard []stream.Heard) (changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.about == nil {
		d.mu.about = map[placement.NodeID]*doubt{}
	}
	last := map[placement.NodeID]int64{}
	for _, h := range heard {
		if !h.Behind && now.Sub(h.At) < doubtAfter {
			last[h.Node] = max(last[h.Node], h.At.UnixMilli())
		}
	}
	from, some := int64(math.MaxInt64), false
	about := make(map[placement.NodeID]*doubt, len(nodes))
	for _, n := range nodes {
		if n.ID == self || n.State == placement.Lost {
			continue
		}
		o := d.mu.about[n.ID]
		if o == nil {
			o = &doubt{trusted: math.MinInt64}
		}
		about[n.ID] = o
		at, trusted := last[n.ID]
		o.doubted = !trusted
		if trusted {
			o.trusted = at
			continue
		}
		some = true
		from = min(from, o.from())
	}
	for id, o := range d.mu.about {
		if about[id] == nil && o.doubted {
			if !d.mu.orphaned {
				d.mu.orphanedFrom = o.from()
			}
			d.mu.orphaned, d.mu.orphanedFrom = true, min(d.mu.orphanedFrom, o.from())
		}
	}
	changed = some != d.mu.some || some && from != d.mu.from
	d.mu.about, d.mu.from, d.mu.some, d.mu.news = about, from, some, d.mu.news || changed
	return changed
}

// news reports whether the gap is another than when it was last asked.
func (d *doubts) news() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	news := d.mu.news
	d.mu.news = false
	return news
}

// orphaned returns from when on this node may lack samples of nodes that have been given up since the
// last call, false if of none.
func (d *doubts) orphaned() (from int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	from, ok = d.mu.orphanedFrom, d.mu.orphaned
	d.mu.orphaned = false
	return from, ok
}

// gap is the time from which on this node may lack samples, false if it lacks none.
func (d *doubts) gap() (from int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.from, d.mu.some
}
