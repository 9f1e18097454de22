package router

import (
	"slices"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// none is the group of what belongs to a series that is not known any more.
const none = ^uint16(0)

// The memory that is kept for the next write is bounded: float samples, and all else per target.
const (
	maxPooled     = 1 << 18
	maxPooledRest = 1 << 14
)

// deal is how a frame is taken apart.
type deal struct {
	groups []uint16 // of each element of the frame: floats, histograms, exemplars, metadata
	counts []uint32 // by group: floats; all zero between writes
	at     []uint32 // by node: where its next sample goes
	stale  int      // elements without a group
	whole  bool     // every target gets the frame as it is
	columns
	name []byte
}

// columns are the float samples of all targets, one target's after the other's.
type columns struct {
	refs   []series.Ref
	times  []int64
	values []float64
	starts []int64
}

func (d *deal) small() bool { return cap(d.refs) <= maxPooled && cap(d.groups) <= maxPooled }

// split takes the frame apart by nodes.
func (w *write) split() {
	f, d := w.frame, &w.deal
	t := w.routes.table
	if len(d.counts) < t.Groups() {
		d.counts = make([]uint32, t.Groups())
	}
	w.assign()
	used := w.mu.state.Used()
	if d.whole = len(used) == 1 && d.stale == 0; d.whole {
		for _, n := range t.Nodes(used[0]) {
			to := &w.target(n).frame
			*to = *f
			to.Sender, to.Seq, to.Series = 0, 0, nil
		}
	} else {
		w.layOut()
		w.dealFloats()
		w.dealRest()
	}
	for _, g := range used {
		d.counts[g] = 0
	}
}

// assign finds the group of each element, and notes that its series was used.
func (w *write) assign() {
	f, d := w.frame, &w.deal
	floats, all := len(f.Refs), f.Samples()+len(f.Exemplars)+len(f.Metadata)
	d.groups, d.stale = slices.Grow(d.groups[:0], all)[:all], 0
	pages, shift := *w.router.table.pages.Load(), w.routes.shift
	last, g := series.Ref(0), none
	for i, ref := range f.Refs {
		if ref != last {
			last, g = ref, w.groupOf(pages, shift, ref)
		}
		d.groups[i] = g
		if g == none {
			d.stale++
			continue
		}
		n := d.counts[g]
		if n == 0 {
			w.mu.state.Use(g)
		}
		d.counts[g] = n + 1
	}
	rest := d.groups[floats:floats]
	for i := range f.Histograms {
		rest = append(rest, w.groupOf(pages, shift, f.Histograms[i].Ref))
	}
	for i := range f.Exemplars {
		rest = append(rest, w.groupOf(pages, shift, f.Exemplars[i].Ref))
	}
	for i := range f.Metadata {
		d.name = series.AppendPair(d.name[:0], "__name__", f.Metadata[i].Metric)
		rest = append(rest, w.routes.group(series.Labels(d.name).Fingerprint()))
	}
	for _, g := range rest {
		if g == none {
			d.stale++
		} else {
			w.mu.state.Use(g)
		}
	}
}

// groupOf is the group of a series, none if it is not known.
func (w *write) groupOf(pages []*page, shift uint8, ref series.Ref) uint16 {
	n := ref.Index()
	if int(n/pageSeries) >= len(pages) {
		return none
	}
	c := &pages[n/pageSeries].cells[n%pageSeries]
	c.use(w.epoch)
	shard := series.Shard(c.fp.Load() >> shift)
	if !c.is(ref) {
		return none
	}
	return w.routes.table.Group(shard)
}

// layOut makes the targets and the room for their float samples.
func (w *write) layOut() {
	d, t := &w.deal, w.routes.table
	for _, g := range w.mu.state.Used() {
		for _, n := range t.Nodes(g) {
			w.target(n).floats += int(d.counts[g])
		}
	}
	total := 0
	if len(d.at) < len(w.byNode) {
		d.at = make([]uint32, len(w.byNode))
	}
	for _, t := range w.targets {
		d.at[t.node] = uint32(total)
		total += t.floats
	}
	d.room(total, len(w.frame.Starts) > 0)
	at := 0
	for _, t := range w.targets {
		d.view(&t.frame, at, at+t.floats)
		at += t.floats
	}
}

// room makes the columns n long.
func (c *columns) room(n int, starts bool) {
	c.refs = slices.Grow(c.refs[:0], n)[:n]
	c.times = slices.Grow(c.times[:0], n)[:n]
	c.values = slices.Grow(c.values[:0], n)[:n]
	c.starts = c.starts[:0]
	if starts {
		c.starts = slices.Grow(c.starts, n)[:n]
	}
}

// view makes the float samples of f those from one place to another.
func (c *columns) view(f *frame.Frame, from, to int) {
	f.Refs, f.Times, f.Values = c.refs[from:to:to], c.times[from:to:to], c.values[from:to:to]
	if f.Starts = nil; len(c.starts) > 0 {
		f.Starts = c.starts[from:to:to]
	}
}

// dealFloats copies each float sample to all that are to get it.
func (w *write) dealFloats() {
	f, d, t := w.frame, &w.deal, w.routes.table
	refs, times, values, at := d.refs, d.times, d.values, d.at
	for i, g := range d.groups[:len(f.Refs)] {
		if g == none {
			continue
		}
		for _, n := range t.Nodes(g) {
			k := at[n]
			at[n] = k + 1
			refs[k], times[k], values[k] = f.Refs[i], f.Times[i], f.Values[i]
			if len(f.Starts) > 0 {
				d.starts[k] = f.Starts[i]
			}
		}
	}
}

// dealRest copies all that is not a float sample.
func (w *write) dealRest() {
	f, t := w.frame, w.routes.table
	groups := w.deal.groups[len(f.Refs):]
	for i := range f.Histograms {
		if g := groups[i]; g != none {
			for _, n := range t.Nodes(g) {
				to := w.byNode[n]
				to.histograms = append(to.histograms, f.Histograms[i])
			}
		}
	}
	groups = groups[len(f.Histograms):]
	for i := range f.Exemplars {
		if g := groups[i]; g != none {
			for _, n := range t.Nodes(g) {
				to := w.byNode[n]
				to.exemplars = append(to.exemplars, f.Exemplars[i])
			}
		}
	}
	groups = groups[len(f.Exemplars):]
	for i := range f.Metadata {
		for _, n := range t.Nodes(groups[i]) {
			to := w.byNode[n]
			to.metadata = append(to.metadata, f.Metadata[i])
		}
	}
	for _, to := range w.targets {
		to.frame.Histograms, to.frame.Exemplars, to.frame.Metadata = to.histograms, to.exemplars, to.metadata
	}
}
