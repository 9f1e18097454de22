package head

import (
	"math"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Flush is samples on their way out of the head. They are in it until Done.
type Flush struct{ head *Head }

// StartFlush takes all samples before a time aside, in order and late ones: open chunks that have
// some are closed, and chunks that straddle it are split. It waits for the end of a flush that is
// under way. Done or Abort must follow.
func (h *Head) StartFlush(before int64) *Flush {
	h.flushing.Lock()
	b := h.newBatch(&frame.Frame{})
	defer b.finish()
	for _, p := range *h.pages.Load() {
		if p == nil {
			continue
		}
		p.mu.Lock()
		for j := range uint32(pageSeries) {
			if p.mu.cells[j].gen != 0 && !p.empty(j) {
				b.setAside(p, j, before)
			}
		}
		p.mu.Unlock()
	}
	return &Flush{head: h}
}

func (b *batch) setAside(p *page, j uint32, before int64) {
	st := &p.mu.state[j]
	if first, _, ok := p.openRange(j); ok && first < before {
		b.closeOpen(p, j)
	}
	late, n := st.late(), 0
	for n < len(late) && late[n].T < before {
		n++
	}
	if n > 0 {
		b.spill(p, j, n)
	}
	if st.side != nil && len(st.side.late) == 0 {
		st.side.late = nil
		if st.builder() == nil {
			st.side = nil
		}
	}
	for at := &st.closed; *at != nil; at = &(*at).next {
		c := *at
		if c.minT < before && c.maxT() >= before {
			b.split(at, before)
			c = *at
		}
		if c.maxT() < before {
			c.flushing = true
			b.count(c, -1)
		}
	}
}

// count adds a closed chunk to its slot's figure, or takes it away.
func (b *batch) count(c *closed, sign int64) {
	f := b.figure(floorSlot(c.minT, b.head.opts.SlotMillis))
	f.samples += sign * int64(c.samples)
	f.bytes += sign * int64(len(c.data))
	if sign > 0 {
		f.minT = min(f.minT, c.minT)
	}
}

// split replaces a chunk by those of its samples before a time and those from it on. One that
// can't be read is left whole: the flush reports it.
func (b *batch) split(at **closed, before int64) {
	whole := *at
	var early, rest chunk.Builder
	b.one[0] = whole.chunk()
	b.it.Reset(b.one[:])
	for b.it.Next() != chunkenc.ValNone {
		to := &early
		if b.it.AtT() >= before {
			to = &rest
		}
		if err := to.Append(b.it.Sample()); err != nil {
			return
		}
	}
	if b.it.Err() != nil {
		return
	}
	b.count(whole, -1)
	b.tally.closed--
	next := whole.next
	for _, c := range append(early.Close(nil), rest.Close(nil)...) {
		next = newClosed(c, next)
		b.count(next, 1)
		b.tally.closed++
	}
	*at = next
}

// Series calls fn for each series of the shards, nil for all, with samples aside, its chunks by
// their start, each within one slot. They are fn's to keep. An error of fn ends it and is returned.
func (f *Flush) Series(shards *series.ShardSet, fn func(chunk.Series) error) error {
	g := gather{head: f.head, sel: series.Selector{Mint: math.MinInt64, Maxt: math.MaxInt64, Shards: shards}}
	for number, p := range *f.head.pages.Load() {
		if p == nil {
			continue
		}
		g.found = g.found[:0]
		g.flushed(p, uint32(number)*pageSeries)
		for _, s := range g.found {
			if err := fn(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// flushed collects what is aside of the page that begins at an index.
func (g *gather) flushed(p *page, first uint32) {
	labels := g.head.index.Read()
	defer labels.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for j := range uint32(pageSeries) {
		st := &p.mu.state[j]
		if st.closed == nil || !g.sel.Shards.Has(st.fp) {
			continue
		}
		var chunks []chunk.Chunk
		for c := st.closed; c != nil; c = c.next {
			if c.flushing {
				chunks = append(chunks, c.chunk())
			}
		}
		if len(chunks) == 0 {
			continue
		}
		sortByMinT(chunks)
		g.room(512)
		from := len(g.arena)
		g.arena = labels.AppendLabels(g.arena, first+j)
		g.found = append(g.found, chunk.Series{
			Fingerprint: st.fp, Labels: g.arena[from:len(g.arena):len(g.arena)], Chunks: chunks,
		})
	}
}

// Done drops what was aside.
func (f *Flush) Done() { f.end((*batch).dropAside) }

// Abort leaves everything to a later flush.
func (f *Flush) Abort() { f.end((*batch).putBack) }

func (f *Flush) end(each func(*batch, *state)) {
	b := f.head.newBatch(&frame.Frame{})
	for _, p := range *f.head.pages.Load() {
		if p == nil {
			continue
		}
		p.mu.Lock()
		for j := range p.mu.state {
			if st := &p.mu.state[j]; st.closed != nil {
				each(b, st)
			}
		}
		p.mu.Unlock()
	}
	b.finish()
	f.head.flushing.Unlock()
}

func (b *batch) dropAside(st *state) {
	for at := &st.closed; *at != nil; {
		if (*at).flushing {
			*at = (*at).next
			b.tally.closed--
		} else {
			at = &(*at).next
		}
	}
}

func (b *batch) putBack(st *state) {
	for c := st.closed; c != nil; c = c.next {
		if c.flushing {
			c.flushing = false
			b.count(c, 1)
		}
	}
}
