package node

import (
	"cmp"
	"math"
	"slices"
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
//	all heard, none keeps something         whole
//	one is silent, or keeps something       gap from an hour before that began, without end
//	one writes by a placement that is       the same, until it has caught up: what it acknowledges
//	shut out, or newer than the own one     may pass by this node, or this node may be no replica any more
//	one is given up or removed              lost: from an hour before, to as late as samples of its may be
//
// What was trusted when is on disk, and a node that starts doubts what it missed while it was away.
//
// A node that is given up is shut out by that (see package placement): once enough replicas refuse what it
// writes, it has acknowledged all that it ever will, and the gap has an end. It is handed over to package repair
// then: the node may have died with the only knowledge of what it kept for this one.
//
// Where enough replicas can be reached, the planner reads several of those with gaps and merges them;
// where too few can, nobody knows what was acknowledged elsewhere, and the query fails.
type doubts struct {
	mu struct {
		sync.Mutex
		doubted
		heard map[placement.NodeID]time.Time // when it was last heard by this process that nothing is lacking
		from  int64
		some  bool
		news  bool
		dirty bool // The file does not say what must outlive a restart.
	}
}

// doubted is what outlives a restart.
type doubted struct {
	// at is when it was written, in Unix ms, at which all that are not in about were trusted.
	at    int64
	about map[placement.NodeID]doubt
	lost  []stretch
}

// doubt is about one other node.
type doubt struct {
	trusted int64 // Unix ms at which it was last heard to keep nothing
	gone    bool  // It is given up, and what it may have kept is lost.
}

// stretch of time, in Unix ms; both are in it.
type stretch struct{ from, to int64 }

const (
	// doubtAfter is how long a node may be silent. It is not longer than a write waits for a replica.
	doubtAfter = time.Second
	// doubtEvery is how often that is looked at.
	doubtEvery = 200 * time.Millisecond
	// doubtBack is how late samples may be of which nobody has heard.
	doubtBack = time.Hour
	// maxLost bounds the stretches that are lost; the two that are nearest become one beyond it.
	maxLost = 64
)

// sight is what a node sees of the others.
type sight struct {
	now       time.Time
	self      placement.NodeID
	placement *placement.Placement
	heard     []stream.Heard
	// ahead is how far ahead of the clock samples may be.
	ahead time.Duration
	// shut reports whether no write that the placement shuts out can be acknowledged any more in the shards
	// of this node.
	shut func() bool
}

// look takes in what was heard of other nodes, and reports whether the gaps are others than before.
func (d *doubts) look(s sight) (changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hearLocked(s)
	from, some := int64(math.MaxInt64), false
	for i := range s.placement.Nodes {
		n := &s.placement.Nodes[i]
		if n.ID == s.self {
			continue
		}
		o, known := d.mu.about[n.ID]
		switch {
		case !known: // It is new to the region, or was trusted when this node went away.
			o.trusted = d.mu.at
		case o.gone && n.State != placement.Lost: // It is back.
			o = doubt{trusted: s.now.UnixMilli()}
			d.mu.dirty = true
		}
		heard := d.mu.heard[n.ID]
		if !heard.IsZero() {
			o.trusted = max(o.trusted, heard.UnixMilli())
		}
		if trusts := s.now.Sub(heard) < doubtAfter; !trusts && !o.gone {
			if n.State == placement.Lost && s.shut() {
				o.gone = true
				d.loseLocked(s, o)
				changed = true
			} else {
				some, from = true, min(from, o.since())
			}
		}
		d.mu.about[n.ID] = o
	}
	removed, left := d.removeLocked(s)
	if left < math.MaxInt64 {
		some, from = true, min(from, left)
	}
	d.mu.at = s.now.UnixMilli()
	changed = changed || removed || some != d.mu.some || some && from != d.mu.from
	d.mu.from, d.mu.some, d.mu.news = from, some, d.mu.news || changed
	return changed
}

// hearLocked notes which nodes have said that they keep nothing, and write as this one knows.
func (d *doubts) hearLocked(s sight) {
	if d.mu.about == nil {
		d.mu.about = map[placement.NodeID]doubt{}
	}
	if d.mu.heard == nil {
		d.mu.heard = map[placement.NodeID]time.Time{}
	}
	for _, h := range s.heard {
		switch {
		case s.now.Sub(h.At) >= doubtAfter:
		case h.Behind:
			delete(d.mu.heard, h.Node)
		case h.Epoch >= s.placement.Fence && h.Epoch <= s.placement.Epoch && h.At.After(d.mu.heard[h.Node]):
			d.mu.heard[h.Node] = h.At
		}
	}
}

// removeLocked drops the nodes that the placement has no more. Those that may still acknowledge something are
// doubted, since what is returned.
func (d *doubts) removeLocked(s sight) (lost bool, since int64) {
	since = math.MaxInt64
	for id, o := range d.mu.about {
		if _, there := s.placement.Node(id); there {
			continue
		}
		trusts := s.now.Sub(d.mu.heard[id]) < doubtAfter
		switch {
		case !o.gone && !trusts && !s.shut():
			since = min(since, o.since())
			continue
		case !o.gone && !trusts:
			d.loseLocked(s, o)
			lost = true
		}
		delete(d.mu.about, id)
		delete(d.mu.heard, id)
	}
	return lost, since
}

// since is when the doubt begins.
func (o doubt) since() int64 {
	return max(o.trusted, math.MinInt64+doubtBack.Milliseconds()) - doubtBack.Milliseconds()
}

// loseLocked notes that what a node had for this one is lost, up to the latest sample that it may have
// acknowledged.
func (d *doubts) loseLocked(s sight, o doubt) {
	d.mu.lost = append(d.mu.lost, stretch{o.since(), s.now.Add(s.ahead).UnixMilli()})
	d.mu.lost = joined(d.mu.lost, maxLost)
	d.mu.dirty = true
}

// joined makes one of stretches that touch, and of the nearest where there are more than so many.
func joined(list []stretch, most int) []stretch {
	slices.SortFunc(list, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
		} else {
			out = append(out, s)
		}
	}
	for len(out) > most {
		at := 1
		for i := 2; i < len(out); i++ {
			if out[i].from-out[i-1].to < out[at].from-out[at-1].to {
				at = i
			}
		}
		out[at-1].to = out[at].to
		out = slices.Delete(out, at, at+1)
	}
	return out
}

// news reports whether the gaps are others than when it was last asked.
func (d *doubts) news() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	news := d.mu.news
	d.mu.news = false
	return news
}

// lost are the times of which nobody can deliver any more what this node lacks.
func (d *doubts) lost() []stretch {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.mu.lost)
}

// handedOver forgets times that lost has returned: somebody else remembers them.
func (d *doubts) handedOver(list []stretch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(list) > 0 {
		d.mu.lost = slices.DeleteFunc(d.mu.lost, func(s stretch) bool { return slices.Contains(list, s) })
		d.mu.dirty = true
	}
}

// gaps are the times for which this node may lack samples: what is lost, and what may still come, which
// has no end.
func (d *doubts) gaps() []stretch {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := slices.Clone(d.mu.lost)
	if d.mu.some {
		list = append(list, stretch{d.mu.from, math.MaxInt64})
	}
	return list
}
