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
	b.aside = true
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
	for c := range p.closed(j) {
		if c.minT() < before && c.maxT() >= before {
			b.splitAll(p, j, before)
			break
		}
	}
	for c := range p.closed(j) {
		if c.maxT() < before {
			c.setFlushing(true)
			b.count(c.chunk(), -1)
		}
	}
}

// count adds a closed chunk to its slot's figure, or takes it away.
func (b *batch) count(c chunk.Chunk, sign int64) {
	f := b.figure(floorSlot(c.MinT, b.head.opts.SlotMillis))
	f.samples += sign * int64(c.Samples)
	f.bytes += sign * int64(len(c.Data))
	if sign > 0 {
		f.minT = min(f.minT, c.MinT)
	}
}

// splitAll splits the closed chunks of a series that straddle a time.
func (b *batch) splitAll(p *page, j uint32, before int64) {
	for _, c := range p.takeClosed(j) {
		parts := []chunk.Chunk{c.chunk()}
		if c.minT() < before && c.maxT() >= before {
			parts = b.split(parts[0], before)
		}
		for _, part := range parts {
			p.addClosed(j, part)
		}
	}
}

// split returns the chunks of a chunk's samples before a time and of those from it on. One that
// can't be read is left whole: the flush reports it.
func (b *batch) split(c chunk.Chunk, before int64) []chunk.Chunk {
	var early, rest chunk.Builder
	b.one[0] = c
	b.it.Reset(b.one[:])
	for b.it.Next() != chunkenc.ValNone {
		to := &early
		if b.it.AtT() >= before {
			to = &rest
		}
		if err := to.Append(b.it.Sample()); err != nil {
			return []chunk.Chunk{c}
		}
	}
	if b.it.Err() != nil {
		return []chunk.Chunk{c}
	}
	parts := rest.Close(early.Close(nil))
	b.count(c, -1)
	for _, part := range parts {
		b.count(part, 1)
	}
	b.tally.closed += int64(len(parts)) - 1
	return parts
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
		if st.closed == 0 || !g.sel.Shards.Has(st.fp) {
			continue
		}
		var chunks []chunk.Chunk
		for c := range p.closed(j) {
			if c.flushing() {
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

func (f *Flush) end(each func(*batch, *page)) {
	b := f.head.newBatch(&frame.Frame{})
	for _, p := range *f.head.pages.Load() {
		if p != nil {
			p.mu.Lock()
			each(b, p)
			p.mu.Unlock()
		}
	}
	b.finish()
	f.head.flushing.Unlock()
}

func (b *batch) dropAside(p *page) {
	p.keepClosed(func(c closed) bool {
		if c.flushing() {
			b.tally.closed--
		}
		return !c.flushing()
	})
}

func (b *batch) putBack(p *page) {
	for j := range uint32(pageSeries) {
		for c := range p.closed(j) {
			if c.flushing() {
				c.setFlushing(false)
				b.count(c.chunk(), 1)
			}
		}
	}
}
