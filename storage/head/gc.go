package head

import "github.com/barograph-db/barograph/storage/series"

// forgetBatch bounds how long the directory and the index are held for a batch of series.
const forgetBatch = 4096

// GC forgets the series that have no samples in the head and had none at the GC before, and returns
// their number. Their indexes are given out again under a new generation.
//
// Two looks rather than the age of the newest sample, because a backfill brings old samples to
// series that are in use, and because a new series is empty until its first sample comes.
func (h *Head) GC() int {
	h.creation.Lock()
	defer h.creation.Unlock()
	var idle []series.Ref
	for number, p := range *h.pages.Load() {
		if p == nil {
			continue
		}
		p.mu.Lock()
		for j := range uint32(pageSeries) {
			gen := p.mu.cells[j].gen
			if empty := gen != 0 && p.empty(j); empty && p.mu.idle[j] {
				idle = append(idle, series.MakeRef(uint32(number)*pageSeries+j, gen))
			} else {
				p.mu.idle[j] = empty
			}
		}
		p.mu.Unlock()
	}
	if len(idle) > 0 {
		// A selection that has found one of these indexes must not take a later series there for it.
		h.generation.Add(1)
	}
	gone := 0
	for len(idle) > 0 {
		n := min(len(idle), forgetBatch)
		gone += h.forgetLocked(idle[:n])
		idle = idle[n:]
	}
	h.freeIndexesLocked()
	h.metrics.removed.Add(float64(gone))
	return gone
}

// freeIndexesLocked finds the indexes that no series has, also those that a restart left, and puts
// them up for use, the lowest first.
func (h *Head) freeIndexesLocked() {
	h.creation.free = h.creation.free[:0]
	pages := *h.pages.Load()
	for number := len(pages) - 1; number >= 0; number-- {
		p := pages[number]
		if p == nil {
			continue
		}
		p.mu.Lock()
		for j := pageSeries - 1; j >= 0; j-- {
			n := uint32(number*pageSeries + j)
			if p.mu.cells[j].gen == 0 && n < h.creation.next {
				h.creation.free = append(h.creation.free, n)
			}
		}
		p.mu.Unlock()
	}
}
