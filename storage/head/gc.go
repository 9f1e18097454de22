package head

import "github.com/barograph-db/barograph/storage/series"

// forgetBatch bounds how long the directory and the index are held for a batch of series.
const forgetBatch = 4096

// GC forgets the series that have no samples in the head and whose newest sample was before a
// time, and returns their number. Their indexes are given out again under a new generation.
func (h *Head) GC(before int64) int {
	h.creation.Lock()
	defer h.creation.Unlock()
	var idle []series.Ref
	for number, p := range *h.pages.Load() {
		if p == nil {
			continue
		}
		p.mu.Lock()
		for j := range uint32(pageSeries) {
			if gen := p.mu.cells[j].gen; gen != 0 && p.empty(j) && p.lastT(j) < before {
				idle = append(idle, series.MakeRef(uint32(number)*pageSeries+j, gen))
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
