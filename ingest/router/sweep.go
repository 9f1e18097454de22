package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/barograph-db/barograph/storage/series"
)

// grain is that in which the last use of a series is noted, in epochs.
const grain = time.Minute

func epochOf(now time.Time) uint32 { return uint32(now.Unix() / int64(grain/time.Second)) }

// sweep forgets what is idle.
type sweep struct {
	last atomic.Uint32 // the epoch of the last one
	mu   struct {
		sync.Mutex
		next int // the page that comes next
		gone []uint32
	}
}

// maxGone bounds what one sweep forgets, more or less, as a request waits for it: some 20 ms.
const maxGone = 1 << 17

// forget lets go of series that were idle for long, in some of the pages: in a quarter of the idle
// time it has been through all, unless there are very many to forget. It does so once in an epoch,
// and returns how many it forgot.
func (t *table) forget(now uint32) int {
	w := &t.sweep
	if last := w.last.Load(); last == now || !w.last.CompareAndSwap(last, now) || !w.mu.TryLock() {
		return 0
	}
	defer w.mu.Unlock()
	pages, oldest := *t.pages.Load(), now-min(t.idle, now)
	parts := max(int(t.idle/4), 1)
	w.mu.gone = w.mu.gone[:0]
	for range (len(pages) + parts - 1) / parts {
		if len(w.mu.gone) >= maxGone {
			break
		}
		number := w.mu.next % len(pages)
		w.mu.next = number + 1
		for j := range pages[number].cells {
			if c := &pages[number].cells[j]; c.gen.Load() != 0 && c.used.Load() < oldest {
				t.forgetCell(uint32(number*pageSeries+j), oldest)
			}
		}
	}
	gone := len(w.mu.gone)
	if gone == 0 {
		return 0
	}
	f := &t.free
	f.Lock()
	defer f.Unlock()
	f.generation++ // What gets one of these indexes has a generation that none before it had.
	f.indexes = append(f.indexes, w.mu.gone...)
	t.count.Add(-int64(gone))
	return gone
}

// forgetCell forgets the series at an index unless it was used meanwhile.
func (t *table) forgetCell(index, oldest uint32) {
	p, c := t.cell(series.Ref(index))
	fp := series.Fingerprint(c.fp.Load()) // Only a sweep, of which there is one, changes whose it is.
	s := t.stripeOf(fp)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	gen := c.gen.Load()
	c.gen.Store(0)
	if c.used.Load() >= oldest {
		c.gen.Store(gen) // Who has seen the zero looks the series up anew and gets the same reference.
		return
	}
	p.dropLocked(index % pageSeries)
	s.removeLocked(fp, index)
	t.sweep.mu.gone = append(t.sweep.mu.gone, index)
}
