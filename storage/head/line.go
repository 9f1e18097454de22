package head

import (
	"math"

	"github.com/barograph-db/barograph/storage/series"
)

// DrawLine notes which series have nothing at or after a time: once what is before it was flushed,
// all that these have came later than the line. The caller cuts the log first, so that what comes
// later is in the log from the cut on. There is one line at a time.
func (h *Head) DrawLine(before int64) {
	for _, p := range *h.pages.Load() {
		if p == nil {
			continue
		}
		p.mu.Lock()
		for j := range uint32(pageSeries) {
			p.mu.behind[j] = p.mu.cells[j].gen != 0 && p.nothingFrom(j, before)
		}
		p.mu.Unlock()
	}
}

// nothingFrom reports whether the series has no sample at or after a time.
func (p *page) nothingFrom(j uint32, t int64) bool {
	if _, last, ok := p.openRange(j); ok && last >= t {
		return false
	}
	if late := p.mu.state[j].late(); len(late) > 0 && late[len(late)-1].T >= t {
		return false
	}
	for c := range p.closed(j) {
		if c.maxT() >= t {
			return false
		}
	}
	return true
}

// CheckpointFromLine is Checkpoint after the flush of all that is before the line, for a log that is
// kept from the line on: what that has anyway is left out.
func (h *Head) CheckpointFromLine(emit func(record []byte) error) error {
	return h.checkpoint(emit, true)
}

// entryAtLine is the entry of a series that has nothing from before the line. Its last timestamp is
// ahead of all that the log will bring, so that this is in order again.
func (p *page) entryAtLine(ref series.Ref) entry {
	j := ref.Index() % pageSeries
	oldest := int64(math.MaxInt64)
	if first, _, ok := p.openRange(j); ok {
		oldest = first
	}
	for c := range p.closed(j) {
		oldest = min(oldest, c.minT())
	}
	e := entry{ref: ref, lastT: p.lastT(j)}
	if e.lastT >= oldest {
		e.lastT = max(oldest, noTime+1) - 1
	}
	return e
}
