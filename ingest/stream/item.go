package stream

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/barograph-db/barograph/storage/frame"
)

// Done is told what became of a frame: which samples were refused, by their place in the frame and in
// its order, or why nothing is known to have been taken. It is called from a goroutine of the sender,
// perhaps before Send returns, and must not block. What was refused is the callee's to keep.
type Done = func(rejected []frame.Rejected, err error)

// A call is a frame that was handed to Send.
type call struct {
	done     Done
	left     int // items not settled
	rejected []frame.Rejected
	err      error
}

// finish tells the caller.
func (c *call) finish() {
	if c.err != nil {
		c.done(nil, c.err)
		return
	}
	slices.SortFunc(c.rejected, func(a, b frame.Rejected) int { return a.Index - b.Index })
	c.done(c.rejected, nil)
}

// An item is a pending frame: what was handed to Send, or a part of it, in memory of its own. The
// writer of the stream it was taken for changes the frame while it is busy, else who holds the lock
// does.
type item struct {
	seq   uint64
	call  *call
	frame frame.Frame
	// origin is the place of each sample in the caller's frame; nil is the same place.
	origin []uint32
	size   int
	due    time.Time

	stream *outgoing // the one that it was taken for; nil while it waits
	busy   bool      // The stream's writer has it.
	gone   bool      // It is settled.
	tries  int
	again  bool // The peer asks for its series to be defined anew.
}

var items = sync.Pool{New: func() any { return new(item) }}

// maxPooled bounds the samples of a frame whose memory is used again.
const maxPooled = 32 << 10

// recycle gives the memory up; nobody else may have the item.
func (it *item) recycle() {
	f := &it.frame
	if cap(f.Refs) > maxPooled || cap(f.Histograms)+cap(f.Exemplars)+cap(f.Metadata) > maxPooled/16 {
		return
	}
	f.Reset()
	*it = item{frame: *f}
	items.Put(it)
}

// newItem copies a part of f.
func newItem(f *frame.Frame, p part, whole bool) *item {
	it := items.Get().(*item)
	to := &it.frame
	to.Refs = append(to.Refs[:0], f.Refs[p.floats.from:p.floats.to]...)
	to.Times = append(to.Times[:0], f.Times[p.floats.from:p.floats.to]...)
	to.Values = append(to.Values[:0], f.Values[p.floats.from:p.floats.to]...)
	if len(f.Starts) > 0 {
		to.Starts = append(to.Starts[:0], f.Starts[p.floats.from:p.floats.to]...)
	}
	for _, h := range f.Histograms[p.histograms.from:p.histograms.to] {
		if h.H != nil {
			h.H = h.H.Copy()
		}
		if h.FH != nil {
			h.FH = h.FH.Copy()
		}
		to.Histograms = append(to.Histograms, h)
	}
	for _, e := range f.Exemplars[p.exemplars.from:p.exemplars.to] {
		e.Labels = slices.Clone(e.Labels)
		to.Exemplars = append(to.Exemplars, e)
	}
	for _, m := range f.Metadata[p.metadata.from:p.metadata.to] {
		to.Metadata = append(to.Metadata, frame.Metadata{
			Metric: strings.Clone(m.Metric), Type: strings.Clone(m.Type),
			Help: strings.Clone(m.Help), Unit: strings.Clone(m.Unit),
		})
	}
	it.size = size(to)
	if !whole {
		it.origin = p.origin(f)
	}
	return it
}

// from is the place of an element in the caller's frame.
func (it *item) from(place uint32) int {
	if it.origin != nil {
		return int(it.origin[place])
	}
	return int(place)
}

// elements is the number of things in f that can be refused.
func elements(f *frame.Frame) int { return f.Samples() + len(f.Exemplars) }

// reject notes that the caller's sample was refused.
func (it *item) reject(place uint32, reason frame.Reason) {
	it.call.rejected = append(it.call.rejected, frame.Rejected{Index: it.from(place), Reason: reason})
}

// narrow leaves the samples at these places, which rise, and all metadata.
func (it *item) narrow(places []uint32) {
	f := &it.frame
	origin := make([]uint32, len(places))
	floats, histograms, exemplars := 0, 0, 0
	for k, place := range places {
		origin[k] = uint32(it.from(place))
		at := int(place)
		switch {
		case at < len(f.Refs):
			f.Refs[floats], f.Times[floats], f.Values[floats] = f.Refs[at], f.Times[at], f.Values[at]
			if len(f.Starts) > 0 {
				f.Starts[floats] = f.Starts[at]
			}
			floats++
		case at < f.Samples():
			f.Histograms[histograms] = f.Histograms[at-len(f.Refs)]
			histograms++
		default:
			f.Exemplars[exemplars] = f.Exemplars[at-f.Samples()]
			exemplars++
		}
	}
	if len(f.Starts) > 0 {
		f.Starts = f.Starts[:floats]
	}
	f.Refs, f.Times, f.Values = f.Refs[:floats], f.Times[:floats], f.Values[:floats]
	f.Histograms, f.Exemplars = f.Histograms[:histograms], f.Exemplars[:exemplars]
	it.origin = origin
}

// answer takes what the peer refused, counted in the order in which it decoded the frame. It
// returns false where samples are left, of series that the peer does not know.
func (it *item) answer(rejected []frame.Rejected) (settled bool) {
	if len(rejected) == 0 {
		return true
	}
	order := frame.Order(it.frame.Refs)
	var unknown []uint32
	for _, r := range rejected {
		place := uint32(r.Index)
		if r.Index < len(order) {
			place = order[r.Index]
		}
		if r.Reason == frame.UnknownRef {
			unknown = append(unknown, place)
		} else {
			it.reject(place, r.Reason)
		}
	}
	if len(unknown) == 0 {
		return true
	}
	slices.Sort(unknown)
	it.narrow(unknown)
	it.frame.Metadata = it.frame.Metadata[:0]
	it.again = true
	return false
}
