package stream

import (
	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/storage/frame"
)

// A span is a range of places; to is exclusive.
type span struct{ from, to int }

// A part is what one item has of a frame.
type part struct{ floats, histograms, exemplars, metadata span }

// maxPart bounds a part of a frame in bytes as they are counted here. All that has a limit at the
// receiver stays far below it so.
const maxPart = 512 << 10

// floatSize is what a float sample counts for: about the most that it takes in a frame but for odd ones.
const floatSize = 16

// cut divides f into parts of about maxPart bytes.
func cut(f *frame.Frame) []part {
	c := cutting{room: maxPart}
	for rest := len(f.Refs); rest > 0; {
		n := min(rest, c.room/floatSize)
		if n > 0 {
			c.part.floats.to += n
			c.room -= n * floatSize
			rest -= n
		}
		if rest > 0 {
			c.next()
		}
	}
	for i := range f.Histograms {
		c.take(histogramSize(&f.Histograms[i]))
		c.part.histograms.to++
	}
	for i := range f.Exemplars {
		c.take(exemplarSize(&f.Exemplars[i]))
		c.part.exemplars.to++
	}
	for i := range f.Metadata {
		c.take(metadataSize(&f.Metadata[i]))
		c.part.metadata.to++
	}
	return append(c.parts, c.part)
}

type cutting struct {
	parts []part
	part  part
	room  int
}

func (c *cutting) take(size int) {
	if size > c.room && c.room < maxPart {
		c.next()
	}
	c.room -= size
}

// next begins another part where the one at hand ends.
func (c *cutting) next() {
	c.parts = append(c.parts, c.part)
	p := &c.part
	for _, s := range []*span{&p.floats, &p.histograms, &p.exemplars, &p.metadata} {
		s.from = s.to
	}
	c.room = maxPart
}

// origin is the place in f of each element of p.
func (p part) origin(f *frame.Frame) []uint32 {
	var places []uint32
	add := func(s span, first int) {
		for i := s.from; i < s.to; i++ {
			places = append(places, uint32(first+i))
		}
	}
	add(p.floats, 0)
	add(p.histograms, len(f.Refs))
	add(p.exemplars, f.Samples())
	return places
}

// size is about the memory that f takes.
func size(f *frame.Frame) int {
	n := 32 * len(f.Refs)
	for i := range f.Series {
		n += 32 + len(f.Series[i].Labels)
	}
	return n + restSize(f)
}

// restSize bounds the bytes that an encoded frame has beside its float samples and its definitions.
func restSize(f *frame.Frame) int {
	n := 0
	for i := range f.Histograms {
		n += histogramSize(&f.Histograms[i])
	}
	for i := range f.Exemplars {
		n += exemplarSize(&f.Exemplars[i])
	}
	for i := range f.Metadata {
		n += metadataSize(&f.Metadata[i])
	}
	return n
}

func exemplarSize(e *frame.Exemplar) int { return 40 + len(e.Labels) }

func metadataSize(m *frame.Metadata) int {
	return 40 + len(m.Metric) + len(m.Type) + len(m.Help) + len(m.Unit)
}

func histogramSize(h *frame.Histogram) int {
	if h.H != nil {
		return bucketSize(h.H.PositiveSpans, h.H.NegativeSpans,
			len(h.H.PositiveBuckets)+len(h.H.NegativeBuckets)+len(h.H.CustomValues))
	}
	if h.FH != nil {
		return bucketSize(h.FH.PositiveSpans, h.FH.NegativeSpans,
			len(h.FH.PositiveBuckets)+len(h.FH.NegativeBuckets)+len(h.FH.CustomValues))
	}
	return 0
}

func bucketSize(positive, negative []histogram.Span, numbers int) int {
	return 120 + 10*(len(positive)+len(negative)+numbers)
}
