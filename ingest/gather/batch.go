package gather

import (
	"slices"

	"github.com/barograph-db/barograph/storage/frame"
)

// A batch is frames that are one for the store.
type batch struct {
	frame frame.Frame
	parts []part
	bytes int
	after []func()
}

// A part is what a frame has in a batch, as numbers of elements.
type part struct {
	floats, histograms, exemplars int
	done                          Done
}

// add copies the columns of f behind those that are there.
func (b *batch) add(f *frame.Frame, bytes int, done Done) {
	to := &b.frame
	if len(f.Starts) > 0 || len(to.Starts) > 0 { // A batch has them for all or none.
		to.Starts = extend(to.Starts, len(to.Refs))
		to.Starts = extend(append(to.Starts, f.Starts...), len(to.Refs)+len(f.Refs))
	}
	to.Refs = append(to.Refs, f.Refs...)
	to.Times = append(to.Times, f.Times...)
	to.Values = append(to.Values, f.Values...)
	to.Histograms = append(to.Histograms, f.Histograms...)
	to.Exemplars = append(to.Exemplars, f.Exemplars...)
	to.Metadata = append(to.Metadata, f.Metadata...)
	b.parts = append(b.parts, part{floats: len(f.Refs), histograms: len(f.Histograms), exemplars: len(f.Exemplars), done: done})
	b.bytes += bytes
}

// extend makes s n long, with zeros.
func extend(s []int64, n int) []int64 {
	from := len(s)
	s = slices.Grow(s, n-from)[:n]
	clear(s[from:])
	return s
}

// answer tells all parts what became of them.
func (b *batch) answer(rejected []frame.Rejected, err error) {
	// Floats come first in a frame, then histograms, then exemplars; so those of a part lie apart.
	floats, histograms := 0, len(b.frame.Refs)
	exemplars := histograms + len(b.frame.Histograms)
	for i := range b.parts {
		p := &b.parts[i]
		var own []frame.Rejected
		if len(rejected) > 0 {
			own = cut(own, rejected, floats, p.floats, 0)
			own = cut(own, rejected, histograms, p.histograms, p.floats)
			own = cut(own, rejected, exemplars, p.exemplars, p.floats+p.histograms)
		}
		floats, histograms, exemplars = floats+p.floats, histograms+p.histograms, exemplars+p.exemplars
		if after := p.done(own, err); after != nil {
			b.after = append(b.after, after)
		}
	}
	for _, after := range b.after {
		after()
	}
}

// cut appends to dst the n elements from a place on that were refused, as elements of another place.
func cut(dst, rejected []frame.Rejected, from, n, to int) []frame.Rejected {
	at, _ := slices.BinarySearchFunc(rejected, from, func(r frame.Rejected, index int) int { return r.Index - index })
	for ; at < len(rejected) && rejected[at].Index < from+n; at++ {
		dst = append(dst, frame.Rejected{Index: rejected[at].Index - from + to, Reason: rejected[at].Reason})
	}
	return dst
}

// reset empties the batch, and keeps its memory if that is little.
func (b *batch) reset() {
	clear(b.parts)
	clear(b.after)
	b.parts, b.after, b.bytes = b.parts[:0], b.after[:0], 0
	if cap(b.frame.Refs) > maxKept || cap(b.frame.Histograms)+cap(b.frame.Exemplars)+cap(b.frame.Metadata) > maxKept/16 {
		b.frame = frame.Frame{}
	}
	b.frame.Reset()
}
