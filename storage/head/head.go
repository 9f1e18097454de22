package head

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/series"
)

// noTime is the time of what does not exist: before every sample.
const noTime = math.MinInt64

// Head holds the newest samples. See the package.
type Head struct {
	opts    Options
	metrics *metrics

	index     *index.Mem
	directory directory
	// pages by number; a page is never moved or removed. Only who holds creation replaces the list.
	pages atomic.Pointer[[]*page]

	creation struct {
		sync.Mutex
		next uint32                     // the first index that was never used
		free []uint32                   // indexes to use again
		seen map[series.Fingerprint]int // of the series at hand: the place of the first with it
	}
	// generation is that of the next series to be created.
	generation atomic.Uint32

	slots     slots
	maxTime   atomic.Int64
	exemplars exemplars
	metadata  metadata

	flushing sync.Mutex // held from StartFlush to the flush's end
}

// New returns an empty head. It panics over options that Validate refuses.
func New(opts Options) *Head {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		panic("head: " + err.Error())
	}
	h := &Head{opts: opts, index: index.NewMem()}
	h.pages.Store(&[]*page{})
	h.creation.seen = map[series.Fingerprint]int{}
	h.generation.Store(1)
	h.maxTime.Store(noTime)
	h.slots.init(opts.SlotMillis)
	h.exemplars.init(opts.MaxExemplars)
	h.metadata.init(opts.MaxMetadata)
	h.metrics = newMetrics(opts.Registerer, h)
	h.metadata.evicted = h.metrics.metadataEvicted.Inc
	return h
}

// page returns the page of an index, nil if there is none.
func (h *Head) page(index uint32) *page {
	if pages := *h.pages.Load(); int(index/pageSeries) < len(pages) {
		return pages[index/pageSeries]
	}
	return nil
}

// Active is the number of series.
func (h *Head) Active() int { return h.directory.len() }

// MaxTime is the newest timestamp ever appended; ok is false before the first.
func (h *Head) MaxTime() (t int64, ok bool) {
	t = h.maxTime.Load()
	return t, t != noTime
}

// OldestSample is the oldest timestamp in the head, apart from what is being flushed;
// math.MaxInt64 if there is none. It may be somewhat older than that sample, by less than a slot.
func (h *Head) OldestSample() int64 { return h.slots.oldest() }

// BytesBefore is about the number of bytes of samples held in slots that end at t or before, apart
// from open chunks and what is being flushed.
func (h *Head) BytesBefore(t int64) int64 { return h.slots.bytesBefore(t) }

// Stats tells what is in the head.
type Stats struct {
	Series  int
	Chunks  int64 // closed ones
	Samples int64 // without those being flushed
	// MinTime and MaxTime of the samples; MinTime is above MaxTime when there are none.
	MinTime, MaxTime int64
}

// Stats tells what is in the head.
func (h *Head) Stats() Stats {
	return Stats{
		Series: h.Active(), Chunks: h.metrics.closed.Load(), Samples: h.slots.samples(),
		MinTime: h.OldestSample(), MaxTime: h.maxTime.Load(),
	}
}

// IndexStats tells what is in the index, with the limit largest figures of each kind.
func (h *Head) IndexStats(limit int) index.Stats { return h.index.Stats(limit) }

// LabelNames returns the label names, in order, of the series that match. Of the selector the
// matchers and Take count.
func (h *Head) LabelNames(sel series.Selector) ([]string, error) {
	return index.LabelNames(h.index, sel.Take, sel.Matchers...)
}

// LabelValues is LabelNames for the values of a label.
func (h *Head) LabelValues(name string, sel series.Selector) ([]string, error) {
	return index.LabelValues(h.index, sel.Take, name, sel.Matchers...)
}

// matching returns the index as a source that asks take now and then whether to go on.
func (h *Head) matching(take func(int64) error) index.Source {
	if take == nil {
		return h.index
	}
	return index.Guard(h.index, func() error { return take(0) })
}

// floorSlot is the start of the slot of t. Slots are aligned to the epoch on both sides of it.
func floorSlot(t, slot int64) int64 {
	r := t % slot
	if r < 0 {
		r += slot
	}
	if t < noTime+r {
		return noTime
	}
	return t - r
}
