package head

import (
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// enter makes t's slot the one at hand.
func (b *batch) enter(t int64) {
	if b.start <= t && t < b.end {
		return
	}
	b.settle()
	slot := b.head.opts.SlotMillis
	b.start = floorSlot(t, slot)
	b.end = b.start + slot
	if b.end < b.start {
		b.end = 1<<63 - 1
	}
	b.here = b.figure(b.start)
}

// settle counts the samples that went the quick way since the slot was entered.
func (b *batch) settle() {
	if b.quick > 0 {
		b.here.samples += b.quick
		b.tally.floats += b.quick
		b.quick = 0
	}
}

// figure is the change to a slot's figure.
func (b *batch) figure(start int64) *figure {
	f := b.changes[start]
	if f == nil {
		f = newFigure()
		b.changes[start] = f
	}
	return f
}

// put is the long way of any sample. p is locked.
func (b *batch) put(p *page, ref series.Ref, s series.Sample) frame.Reason {
	j := ref.Index() % pageSeries
	if gen := p.mu.cells[j].gen; gen != ref.Generation() || gen == 0 {
		return frame.UnknownRef
	}
	b.enter(s.T)
	var reason frame.Reason
	if s.T > p.lastT(j) {
		reason = b.inOrder(p, j, s)
	} else {
		reason = b.late(p, j, s)
	}
	if reason == 0 {
		b.maxTime = max(b.maxTime, s.T)
	}
	return reason
}

// plain reports whether an XOR chunk can hold the sample.
func plain(s series.Sample) bool { return s.H == nil && s.FH == nil && s.ST == 0 }

// inOrder appends a sample to the open chunk, beginning another where the sample needs one.
func (b *batch) inOrder(p *page, j uint32, s series.Sample) frame.Reason {
	a, st := &p.mu.cells[j].open, &p.mu.state[j]
	if _, last, ok := p.openRange(j); ok && last < b.start || a.Len() >= chunk.MaxSamples ||
		a.Len() > 0 && !plain(s) {
		b.closeOpen(p, j)
	}
	if builder := st.builder(); plain(s) && builder == nil {
		a.Append(s.T, s.V)
	} else {
		if builder == nil {
			builder = st.needBuilder()
		}
		if err := builder.Append(s); err != nil {
			return frame.BadSample
		}
		b.pushTaken(p, j)
	}
	st.lastT = s.T
	b.minTime = min(b.minTime, s.T)
	p.setGate(j)
	b.here.samples++
	b.here.minT = min(b.here.minT, s.T)
	b.tally.count(s)
	return 0
}

func (st *state) needBuilder() *chunk.Builder {
	sd := st.needSide()
	if sd.builder == nil {
		sd.builder = &chunk.Builder{}
	}
	return sd.builder
}

// pushTaken adds what the builder closed by itself.
func (b *batch) pushTaken(p *page, j uint32) {
	st := &p.mu.state[j]
	if st.side == nil || st.side.builder == nil {
		return
	}
	b.chunks = st.side.builder.Take(b.chunks[:0])
	for _, c := range b.chunks {
		b.push(p, j, c)
	}
}

// closeOpen closes the open chunk, of whichever kind.
func (b *batch) closeOpen(p *page, j uint32) {
	a, st := &p.mu.cells[j].open, &p.mu.state[j]
	if a.Len() > 0 {
		var c chunk.Chunk
		c, b.bytes = a.Snapshot(b.bytes[:0])
		b.push(p, j, c)
		st.lastT = a.LastT()
		if b.hasty {
			a.Reset()
		} else {
			*a = chunk.XORAppender{}
		}
	}
	if builder := st.builder(); builder != nil {
		b.chunks = builder.Close(b.chunks[:0])
		for _, c := range b.chunks {
			b.push(p, j, c)
		}
	}
	p.setGate(j)
}

// push adds a copy of a closed chunk to a series. A full one stays for long enough that it is worth
// being made smaller; what is closed early is about to be flushed, or late samples go on in it.
func (b *batch) push(p *page, j uint32, c chunk.Chunk) {
	if c.Samples >= chunk.MaxSamples && !b.aside {
		if b.hasty {
			p.mu.large = true
		} else {
			c = chunk.Shrink(c)
		}
	}
	p.addClosed(j, c)
	b.figure(floorSlot(c.MinT, b.head.opts.SlotMillis)).bytes += int64(len(c.Data))
	b.tally.closed++
}
