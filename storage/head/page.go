package head

import (
	"sync"
	"sync/atomic"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

const pageSeries = 256

// page holds the series of 256 neighbouring indexes. What an append touches lies together and by
// itself, so that frames in order of arrival walk memory in order.
type page struct {
	mu struct {
		sync.Mutex
		cells [pageSeries]cell
		state [pageSeries]state
		idle  [pageSeries]bool // had no samples at the last GC
		// behind: all that the series has is before the line, or came later than it was drawn.
		behind [pageSeries]bool
		slabs  slabs
		large  bool // There are full chunks that Shrink has not seen.
	}
}

// cell is what the quick way of a sample needs of a series. gen, and fp in state, change only under
// the directory's lock as well, so that either lock is enough to read them.
type cell struct {
	// gate is gen if the series' next plain float goes to open, zero if not. It is atomic because it
	// is read ahead, without the lock and without a look at the value: see batch.warm.
	gate atomic.Uint32
	gen  uint32 // zero: no series lives here
	open chunk.XORAppender
}

// state is what a series has beside its open chunk.
type state struct {
	fp     series.Fingerprint
	lastT  int64 // of the newest sample in order, unless open has a newer one; noTime before it
	side   *side
	closed place // the newest closed chunk; see page.closed
}

// side is what only some series have. Of builder and the page's open chunk at most one has
// samples.
type side struct {
	builder *chunk.Builder  // the open chunk of anything but plain floats
	late    []series.Sample // by time, one for each timestamp
}

// lastT is the time of the newest sample in order.
func (p *page) lastT(j uint32) int64 {
	if a := &p.mu.cells[j].open; a.Len() > 0 {
		return a.LastT()
	}
	return p.mu.state[j].lastT
}

// builder is the builder with an open chunk, nil if there is none.
func (st *state) builder() *chunk.Builder {
	if st.side == nil || st.side.builder == nil || st.side.builder.Len() == 0 {
		return nil
	}
	return st.side.builder
}

// late are the late samples not in a chunk yet.
func (st *state) late() []series.Sample {
	if st.side == nil {
		return nil
	}
	return st.side.late
}

func (st *state) needSide() *side {
	if st.side == nil {
		st.side = &side{}
	}
	return st.side
}

// openRange is the time range of the open chunk, of whichever kind.
func (p *page) openRange(j uint32) (mint, maxt int64, ok bool) {
	if a := &p.mu.cells[j].open; a.Len() > 0 {
		return a.MinT(), a.LastT(), true
	}
	if b := p.mu.state[j].builder(); b != nil {
		return b.MinT(), b.LastT(), true
	}
	return 0, 0, false
}

// snapshot appends a copy of the open chunk's bytes to dst and returns the chunk that views them.
func (p *page) snapshot(j uint32, dst []byte) (chunk.Chunk, []byte) {
	if a := &p.mu.cells[j].open; a.Len() > 0 {
		return a.Snapshot(dst)
	}
	if b := p.mu.state[j].builder(); b != nil {
		return b.Open(dst)
	}
	return chunk.Chunk{}, dst
}

// empty reports whether the series has no samples at all.
func (p *page) empty(j uint32) bool {
	st := &p.mu.state[j]
	return p.mu.cells[j].open.Len() == 0 && st.closed == 0 && st.builder() == nil && len(st.late()) == 0
}

// setGate opens or shuts the quick way for the series, as its state asks.
func (p *page) setGate(j uint32) {
	c, gate := &p.mu.cells[j], uint32(0)
	if p.mu.state[j].builder() == nil {
		gate = c.gen
	}
	if c.gate.Load() != gate {
		c.gate.Store(gate)
	}
}

// clear takes the series out of its place.
func (p *page) clear(j uint32) {
	p.mu.state[j] = state{}
	p.mu.idle[j], p.mu.behind[j] = false, false
	p.mu.cells[j].gen, p.mu.cells[j].open = 0, chunk.XORAppender{}
	p.setGate(j)
}
