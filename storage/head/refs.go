package head

import (
	"errors"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/series"
)

// maxSeries bounds the indexes that a head gives out or takes from a log.
const maxSeries = 1 << 28

// errSeries says that a head can't number any more series.
var errSeries = errors.New("head has no index left for another series")

// Find appends to dst the reference of each label set, zero where the head does not have it.
func (h *Head) Find(dst []series.Ref, sets []series.Labels) []series.Ref {
	fps := make([]series.Fingerprint, len(sets))
	for i, ls := range sets {
		fps[i] = ls.Fingerprint()
	}
	from := len(dst)
	dst = append(dst, make([]series.Ref, len(sets))...)
	h.find(dst[from:], sets, fps)
	return dst
}

// find fills in the references that are zero, where the series is there, and returns how many
// still are.
func (h *Head) find(refs []series.Ref, sets []series.Labels, fps []series.Fingerprint) (missing int) {
	h.directory.mu.RLock()
	defer h.directory.mu.RUnlock()
	labels := h.index.Read()
	defer labels.Close()
	for i := range refs {
		if refs[i] != 0 {
			continue
		}
		if refs[i] = h.findLocked(labels, sets[i], fps[i]); refs[i] == 0 {
			missing++
		}
	}
	return missing
}

func (h *Head) findLocked(labels index.Reader, ls series.Labels, fp series.Fingerprint) series.Ref {
	var gen uint32
	n, ok := h.directory.findLocked(fp, func(n uint32) bool {
		p, j := h.page(n), n%pageSeries
		gen = p.mu.cells[j].gen
		return p.mu.state[j].fp == fp && labels.Equal(n, ls)
	})
	if !ok {
		return 0
	}
	return series.MakeRef(n, gen)
}

// Refs appends to dst the reference of each label set, creating the series that are missing. log
// is called once, before they are visible to others, with their definitions; an error of it
// creates nothing and is returned. Nothing of sets is kept. Who has some that are likely to be there
// already asks Find first, which takes no turn.
func (h *Head) Refs(dst []series.Ref, sets []series.Labels, log func([]frame.SeriesDef) error) ([]series.Ref, error) {
	fps := make([]series.Fingerprint, len(sets))
	for i, ls := range sets {
		fps[i] = ls.Fingerprint()
	}
	from := len(dst)
	dst = append(dst, make([]series.Ref, len(sets))...)
	refs := dst[from:]
	h.creation.Lock()
	defer h.creation.Unlock()
	missing := h.find(refs, sets, fps)
	if missing == 0 {
		return dst, nil
	}
	defs, prints, err := h.numberLocked(refs, sets, fps, missing)
	if err == nil {
		err = log(defs)
	}
	if err != nil {
		h.unnumberLocked(defs)
		return dst[:from], err
	}
	h.publishLocked(defs, prints)
	h.metrics.created.Add(float64(len(defs)))
	return dst, nil
}

// numberLocked gives the missing series references; a set that comes twice gets one. It returns the
// definitions, and the fingerprint of each.
func (h *Head) numberLocked(refs []series.Ref, sets []series.Labels, fps []series.Fingerprint,
	missing int,
) (defs []frame.SeriesDef, prints []series.Fingerprint, err error) {
	defs, prints = make([]frame.SeriesDef, 0, missing), make([]series.Fingerprint, 0, missing)
	seen := h.creation.seen
	defer h.clearSeenLocked()
	gen := h.generation.Load()
	for i := range refs {
		if refs[i] != 0 {
			continue
		}
		at, ok := seen[fps[i]]
		for ; ok && at < len(defs); at++ { // One step, unless fingerprints collide.
			if string(defs[at].Labels) == string(sets[i]) {
				refs[i] = defs[at].Ref
				break
			}
		}
		if refs[i] != 0 {
			continue
		}
		n, err := h.takeIndexLocked()
		if err != nil {
			return defs, prints, err
		}
		refs[i] = series.MakeRef(n, gen)
		if !ok {
			seen[fps[i]] = len(defs)
		}
		defs = append(defs, frame.SeriesDef{Ref: refs[i], Labels: sets[i]})
		prints = append(prints, fps[i])
	}
	return defs, prints, nil
}

// maxSeen bounds the memory that is kept for the next series to be created.
const maxSeen = 1 << 14

func (h *Head) clearSeenLocked() {
	if len(h.creation.seen) > maxSeen {
		h.creation.seen = map[series.Fingerprint]int{}
	}
	clear(h.creation.seen)
}

func (h *Head) takeIndexLocked() (uint32, error) {
	c := &h.creation
	if last := len(c.free) - 1; last >= 0 {
		n := c.free[last]
		c.free = c.free[:last]
		return n, nil
	}
	if c.next >= maxSeries {
		return 0, errSeries
	}
	c.next++
	return c.next - 1, nil
}

// unnumberLocked takes numbers back. Their definitions may be in the log nevertheless, so that the
// numbers must not come again under this generation.
func (h *Head) unnumberLocked(defs []frame.SeriesDef) {
	if len(defs) == 0 {
		return
	}
	h.generation.Add(1)
	for _, d := range defs {
		h.creation.free = append(h.creation.free, d.Ref.Index())
	}
}

// publishBatch bounds how long readers of the index wait for a batch of new series.
const publishBatch = 1024

// publishLocked makes series visible, each with its fingerprint. The index has them first: who finds one there whose page
// does not have it passes over it.
func (h *Head) publishLocked(defs []frame.SeriesDef, prints []series.Fingerprint) {
	entries := make([]index.Entry, 0, min(len(defs), publishBatch))
	for len(defs) > 0 {
		n := min(len(defs), publishBatch)
		entries = entries[:0]
		for _, d := range defs[:n] {
			entries = append(entries, index.Entry{ID: d.Ref.Index(), Labels: d.Labels})
			h.needPageLocked(d.Ref.Index())
		}
		h.index.Add(entries...)
		h.directory.mu.Lock()
		for i, d := range defs[:n] {
			fp := prints[i]
			p, j := h.page(d.Ref.Index()), d.Ref.Index()%pageSeries
			p.mu.Lock()
			p.mu.state[j] = state{fp: fp, lastT: noTime}
			p.mu.cells[j].gen = d.Ref.Generation()
			p.setGate(j)
			p.mu.Unlock()
			h.directory.insertLocked(fp, d.Ref.Index())
		}
		h.directory.mu.Unlock()
		defs, prints = defs[n:], prints[n:]
	}
}

// needPageLocked makes the page of an index. Readers have shorter lists: what is appended behind
// their ends does not concern them.
func (h *Head) needPageLocked(n uint32) {
	pages, at := *h.pages.Load(), int(n/pageSeries)
	switch {
	case at < len(pages) && pages[at] != nil:
		return
	case at < len(pages):
		pages = slices.Clone(pages)
	default:
		pages = append(pages, make([]*page, at+1-len(pages))...)
	}
	pages[at] = &page{}
	h.pages.Store(&pages)
}

// forgetLocked takes series without samples out, if they are still the ones meant.
func (h *Head) forgetLocked(refs []series.Ref) (gone int) {
	ids := roaring.New()
	h.directory.mu.Lock()
	for _, ref := range refs {
		p, j := h.page(ref.Index()), ref.Index()%pageSeries
		p.mu.Lock()
		if p.mu.cells[j].gen == ref.Generation() && p.empty(j) {
			h.directory.removeLocked(p.mu.state[j].fp, ref.Index())
			p.clear(j)
			ids.Add(ref.Index())
		}
		p.mu.Unlock()
	}
	h.directory.mu.Unlock()
	h.index.Remove(ids)
	return int(ids.GetCardinality())
}
