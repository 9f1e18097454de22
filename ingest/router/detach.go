package router

import (
	"bytes"
	"strings"

	"github.com/barograph-db/barograph/storage/frame"
)

// detach makes the frames of nodes that have not answered independent of the caller's. It is called
// under the write's lock, so that who answers finds the frame either the caller's, with Append
// there to tell of it, or its own.
func (w *write) detach() {
	var kept *frame.Frame
	for _, t := range w.targets {
		switch {
		case t.answered:
		case !w.deal.whole:
			keepRest(&t.frame)
		case kept == nil:
			w.deal.copy(&t.frame)
			keepRest(&t.frame)
			kept = &t.frame
		default: // The columns of one copy serve all: nobody writes to them.
			t.frame = *kept
		}
	}
}

// copy makes the float samples of f copies.
func (c *columns) copy(f *frame.Frame) {
	c.room(len(f.Refs), len(f.Starts) > 0)
	copy(c.refs, f.Refs)
	copy(c.times, f.Times)
	copy(c.values, f.Values)
	copy(c.starts, f.Starts)
	c.view(f, 0, len(f.Refs))
}

// keepRest copies all that is not a float sample.
func keepRest(f *frame.Frame) {
	f.Histograms = append([]frame.Histogram(nil), f.Histograms...)
	for i := range f.Histograms {
		h := &f.Histograms[i]
		if h.H != nil {
			h.H = h.H.Copy()
		}
		if h.FH != nil {
			h.FH = h.FH.Copy()
		}
	}
	f.Exemplars = append([]frame.Exemplar(nil), f.Exemplars...)
	for i := range f.Exemplars {
		f.Exemplars[i].Labels = bytes.Clone(f.Exemplars[i].Labels)
	}
	f.Metadata = append([]frame.Metadata(nil), f.Metadata...)
	for i := range f.Metadata {
		m := &f.Metadata[i]
		m.Metric, m.Type, m.Help, m.Unit =
			strings.Clone(m.Metric), strings.Clone(m.Type), strings.Clone(m.Help), strings.Clone(m.Unit)
	}
}
