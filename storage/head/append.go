package head

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/barograph-db/barograph/storage/changes"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Append puts all samples of f in, and its exemplars and metadata; what is not taken is in the
// result, in order, with exemplars counted on after the histograms. Definitions of series are not
// looked at. Nothing of f is kept.
func (h *Head) Append(f *frame.Frame) []frame.Rejected {
	b := h.newBatch(f)
	if window := h.opts.OutOfOrderWindow; window >= 0 {
		if newest := h.maxTime.Load(); newest > noTime+window {
			b.oldest = newest - window
		}
	}
	order := b.byPage(f.Refs)
	b.floats(order)
	b.histograms()
	b.exemplars(h.alive)
	rejected := b.finish()
	h.metadata.put(f.Metadata)
	return rejected
}

// batch is one call of Append, or a replay, on its way through the pages: what it knows of the sample
// at hand, what it counted so far, and scratch space. Batches are used again.
type batch struct {
	head   *Head
	frame  *frame.Frame
	keep   func(t int64) bool // which samples are wanted; nil is all
	oldest int64              // late samples before this are refused
	hasty  bool               // Full chunks are left for Shrink, and their memory is used again.
	aside  bool               // What is closed is about to be flushed, and encoded then.

	// The slot of the sample at hand. start > end before the first.
	start, end int64
	here       *figure
	quick      int64 // samples that went the quick way in that slot and are not in here yet
	changes    map[int64]*figure

	maxTime  int64
	minTime  int64        // of the samples that were later than the last of their series
	inserted changes.Span // of the others, those that changed something
	tally    tally
	rejected []frame.Rejected

	order, spare []uint32
	scattered    bool   // The order does not make runs.
	sum          uint32 // Keeps reading ahead from being optimised away.
	bytes        []byte
	chunks       []chunk.Chunk
	drop         []bool
	one          [1]chunk.Chunk
	it           chunk.Iterator
	builder      chunk.Builder
}

var batches = sync.Pool{New: func() any { return &batch{changes: map[int64]*figure{}} }}

func (h *Head) newBatch(f *frame.Frame) *batch {
	b := batches.Get().(*batch)
	b.head, b.frame = h, f
	b.oldest, b.maxTime, b.minTime = math.MinInt64, noTime, math.MaxInt64
	b.inserted = changes.Span{Mint: math.MaxInt64, Maxt: math.MinInt64}
	b.start, b.end, b.scattered, b.hasty, b.aside = 0, noTime, false, false, false
	return b
}

// finish adds what the batch counted to the head's figures and gives the batch up.
func (b *batch) finish() []frame.Rejected {
	h := b.head
	b.settle()
	if len(b.changes) > 0 {
		h.slots.apply(b.changes)
		clear(b.changes)
	}
	for t := h.maxTime.Load(); b.maxTime > t && !h.maxTime.CompareAndSwap(t, b.maxTime); {
		t = h.maxTime.Load()
	}
	if h.opts.Changes != nil {
		b.tell(h.opts.Changes)
	}
	h.metrics.add(&b.tally)
	rejected := b.rejected
	slices.SortFunc(rejected, func(x, y frame.Rejected) int { return cmp.Compare(x.Index, y.Index) })
	b.tally, b.rejected, b.head, b.frame, b.keep, b.here = tally{}, nil, nil, nil, nil, nil
	b.one[0] = chunk.Chunk{}
	b.it.Reset(nil)
	clear(b.chunks[:cap(b.chunks)]) // Chunks are no scratch space: others hold their bytes.
	batches.Put(b)
	return rejected
}

// tell notes the times that the batch has changed.
func (b *batch) tell(log *changes.Log) {
	switch {
	case b.minTime > b.maxTime && b.inserted.Mint > b.inserted.Maxt:
	case b.inserted.Mint > b.inserted.Maxt:
		log.Add(changes.Span{Mint: b.minTime, Maxt: b.maxTime})
	default:
		log.Add(changes.Span{Mint: b.minTime, Maxt: b.maxTime}, b.inserted)
	}
}

func (b *batch) byPage(refs []series.Ref) []uint32 {
	b.order, b.spare, b.scattered = byPage(b.order, b.spare, refs, len(*b.head.pages.Load()))
	return b.order
}

func (b *batch) reject(index int, reason frame.Reason) {
	b.rejected = append(b.rejected, frame.Rejected{Index: index, Reason: reason})
	b.tally.rejected[reason]++
}

// floats puts the float samples at these places of the frame in. Where they are scattered over
// the pages, each meets memory that no cache holds; reading ahead lets the processor wait for many
// of them at a time.
func (b *batch) floats(order []uint32) {
	if !b.scattered {
		b.runs(order)
		return
	}
	for len(order) > 0 {
		n := min(len(order), warmed)
		b.warm(order[:n])
		b.runs(order[:n])
		order = order[n:]
	}
}

// warmed is the number of samples read ahead: enough to keep the memory busy, and little enough
// to still be in the first cache when their turn comes.
const warmed = 64

// warm reads of each sample's cell.
func (b *batch) warm(order []uint32) {
	pages := *b.head.pages.Load()
	sum := uint32(0)
	for _, i := range order {
		n := b.frame.Refs[i].Index()
		if page := n / pageSeries; int(page) < len(pages) && pages[page] != nil {
			sum += pages[page].mu.cells[n%pageSeries].gate.Load()
		}
	}
	b.sum = sum
}

// runs takes a page's lock once for each run of samples for it.
func (b *batch) runs(order []uint32) {
	refs := b.frame.Refs
	for len(order) > 0 {
		number := refs[order[0]].Index() / pageSeries
		n := 1
		for n < len(order) && refs[order[n]].Index()/pageSeries == number {
			n++
		}
		if p := b.head.page(number * pageSeries); p != nil {
			p.mu.Lock()
			b.run(p, order[:n])
			p.mu.Unlock()
		} else {
			for _, i := range order[:n] {
				b.reject(int(i), frame.UnknownRef)
			}
		}
		order = order[n:]
	}
}

// run puts float samples in whose series live in p. The branch is the quick way: all that a sample
// must be for that is checked there.
func (b *batch) run(p *page, order []uint32) {
	refs, times, values, starts := b.frame.Refs, b.frame.Times, b.frame.Values, b.frame.Starts
	for _, i := range order {
		ref, t := refs[i], times[i]
		if b.keep != nil && !b.keep(t) {
			continue
		}
		j := ref.Index() % pageSeries
		c := &p.mu.cells[j]
		a := &c.open
		if last := a.LastT(); c.gate.Load() == ref.Generation() && t > last && last >= b.start && t < b.end &&
			uint(a.Len()-1) < chunk.MaxSamples-1 && (len(starts) == 0 || starts[i] == 0) {
			a.Append(t, values[i])
			b.quick++
			b.maxTime, b.minTime = max(b.maxTime, t), min(b.minTime, t)
			continue
		}
		s := series.Sample{T: t, V: values[i]}
		if len(starts) > 0 {
			s.ST = starts[i]
		}
		if reason := b.put(p, ref, s); reason != 0 {
			b.reject(int(i), reason)
		}
	}
}

func (b *batch) histograms() {
	for i := range b.frame.Histograms {
		b.histogram(i)
	}
}

func (b *batch) histogram(i int) {
	hs := &b.frame.Histograms[i]
	if b.keep != nil && !b.keep(hs.T) {
		return
	}
	reason := frame.UnknownRef
	if p := b.head.page(hs.Ref.Index()); p != nil {
		p.mu.Lock()
		reason = b.put(p, hs.Ref, series.Sample{T: hs.T, ST: hs.ST, H: hs.H, FH: hs.FH})
		p.mu.Unlock()
	}
	if reason != 0 {
		b.reject(len(b.frame.Refs)+i, reason)
	}
}
