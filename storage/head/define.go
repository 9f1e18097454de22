package head

import (
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// define makes series under exactly these references, as a log or checkpoint says. What is known
// already is passed over, and so is a definition older than what the head has: the series that it
// names was forgotten afterwards, when all its samples were flushed.
func (h *Head) define(defs []frame.SeriesDef) error {
	if len(defs) == 0 {
		return nil
	}
	h.creation.Lock()
	defer h.creation.Unlock()
	var (
		// fresh are to be published together: their indexes ascend, their fingerprints differ.
		fresh  = make([]frame.SeriesDef, 0, len(defs))
		prints = make([]series.Fingerprint, 0, len(defs))
		seen   = h.creation.seen
		made   int
	)
	publish := func() {
		h.publishLocked(fresh, prints)
		made += len(fresh)
		fresh, prints = fresh[:0], prints[:0]
		clear(seen)
	}
	defer h.clearSeenLocked()
	defer func() { h.metrics.created.Add(float64(made)) }()
	for _, d := range defs {
		if d.Ref.Generation() == 0 || d.Ref.Index() >= maxSeries {
			return fmt.Errorf("define series %#x: not a reference", uint64(d.Ref))
		}
		if err := d.Labels.Validate(); err != nil {
			return fmt.Errorf("define series %#x: %w", uint64(d.Ref), err)
		}
		fp := d.Labels.Fingerprint()
		_, known := seen[fp]
		if last := len(fresh) - 1; known || last >= 0 && d.Ref.Index() <= fresh[last].Ref.Index() {
			publish() // What d is, may depend on one before it.
		}
		wanted, err := h.makeRoomLocked(d, fp)
		if err != nil {
			return err
		}
		if wanted {
			fresh = append(fresh, d)
			prints = append(prints, fp)
			seen[fp] = len(fresh) - 1
		}
	}
	publish()
	return nil
}

// makeRoomLocked prepares for a definition and says whether it is still to be published.
func (h *Head) makeRoomLocked(d frame.SeriesDef, fp series.Fingerprint) (wanted bool, err error) {
	n, gen := d.Ref.Index(), d.Ref.Generation()
	h.creation.next = max(h.creation.next, n+1)
	h.generation.Store(max(h.generation.Load(), gen))

	var known [1]series.Ref
	h.find(known[:], []series.Labels{d.Labels}, []series.Fingerprint{fp})
	if known[0] != 0 && known[0].Generation() >= gen {
		return false, nil
	}
	if there := h.generationAt(n); there >= gen {
		if there == gen {
			return false, fmt.Errorf("define series %#x as %s: it is another", uint64(d.Ref), d.Labels)
		}
		return false, nil
	} else if there != 0 && known[0] != series.MakeRef(n, there) {
		if err := h.evictLocked(series.MakeRef(n, there)); err != nil {
			return false, err
		}
	}
	if known[0] != 0 {
		h.renameLocked(known[0], d)
		return false, nil
	}
	return true, nil
}

// generationAt is the generation of the series at an index, zero if there is none.
func (h *Head) generationAt(n uint32) uint32 {
	p := h.page(n)
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.cells[n%pageSeries].gen
}

// evictLocked clears an index for a newer series. The old one was forgotten before the newer was
// made, so that it has no samples as a rule; where the log brought some again, it moves.
func (h *Head) evictLocked(ref series.Ref) error {
	if h.forgetLocked([]series.Ref{ref}) > 0 {
		return nil
	}
	labels := h.index.Read()
	ls := labels.AppendLabels(nil, ref.Index())
	labels.Close()
	n, err := h.takeIndexLocked()
	if err != nil {
		return err
	}
	h.renameLocked(ref, frame.SeriesDef{Ref: series.MakeRef(n, 1), Labels: ls})
	return nil
}

// renameLocked moves a series to another reference. Nothing else may be under way in the head.
func (h *Head) renameLocked(ref series.Ref, d frame.SeriesDef) {
	var (
		old state
		was chunk.XORAppender
	)
	p, j := h.page(ref.Index()), ref.Index()%pageSeries
	h.directory.mu.Lock()
	p.mu.Lock()
	old, was = p.mu.state[j], p.mu.cells[j].open
	chunks := p.takeClosed(j)
	p.clear(j)
	p.mu.Unlock()
	h.directory.removeLocked(old.fp, ref.Index())
	h.directory.mu.Unlock()
	h.index.Remove(roaring.BitmapOf(ref.Index()))

	h.publishLocked([]frame.SeriesDef{d}, []series.Fingerprint{old.fp})
	p, j = h.page(d.Ref.Index()), d.Ref.Index()%pageSeries
	p.mu.Lock()
	st := &p.mu.state[j]
	st.lastT, st.side = old.lastT, old.side
	for _, c := range chunks {
		p.addClosed(j, c.chunk())
	}
	p.mu.cells[j].open = was
	p.setGate(j)
	p.mu.Unlock()
}
