package frame

import (
	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/storage/series"
)

// Frame is a batch of samples in columns. Its slices belong to whoever filled it. The label bytes of
// a decoded frame are views into what it was decoded from or into the frame's own memory: they are
// gone with the next Decode or Reset.
type Frame struct {
	// Sender and Seq number the frames of a stream; both are 0 for a node's own.
	Sender, Seq uint64

	// Series defines references that this frame or a later one uses.
	Series []SeriesDef

	// The float samples: sample i is (Refs[i], Times[i], Values[i]). Starts is empty when no sample
	// of the frame has a start timestamp, else as long as the others.
	Refs   []series.Ref
	Times  []int64 // milliseconds
	Values []float64
	Starts []int64 // milliseconds; 0 is unknown

	Histograms []Histogram
	Exemplars  []Exemplar
	Metadata   []Metadata

	body []byte // Decompressed, of a decoded frame.
}

// SeriesDef says which labels a reference stands for.
type SeriesDef struct {
	Ref    series.Ref
	Labels series.Labels
}

// Histogram is one native histogram sample: H for integer counts, FH for float counts.
type Histogram struct {
	Ref   series.Ref
	T, ST int64
	H     *histogram.Histogram
	FH    *histogram.FloatHistogram
}

// Exemplar belongs to the series Ref. Labels are its own (a trace id and the like).
type Exemplar struct {
	Ref    series.Ref
	T      int64 // milliseconds; 0 is none given
	V      float64
	Labels series.Labels
}

// Metadata describes a metric name (of the whole family, without suffixes).
type Metadata struct {
	Metric, Type, Help, Unit string
}

// Rejected names a sample that was not taken. Index counts the float samples first, then the
// histograms.
type Rejected struct {
	Index  int
	Reason Reason
}

// Reason says why a sample was not taken.
type Reason uint8

// The reasons.
const (
	UnknownRef Reason = iota + 1 // the reference is not, or no longer, in the head: look it up anew
	TooOld                       // before the out-of-order window or the retention
	TooNew                       // too far in the future
	BadSample                    // a histogram that contradicts itself
)

// Reset empties the frame and keeps its memory.
func (f *Frame) Reset() {
	clear(f.Histograms)
	clear(f.Series)
	clear(f.Exemplars)
	clear(f.Metadata)
	*f = Frame{
		Series: f.Series[:0], Refs: f.Refs[:0], Times: f.Times[:0], Values: f.Values[:0],
		Starts: f.Starts[:0], Histograms: f.Histograms[:0], Exemplars: f.Exemplars[:0],
		Metadata: f.Metadata[:0], body: f.body[:0],
	}
}

// Samples is the number of samples of all kinds.
func (f *Frame) Samples() int { return len(f.Refs) + len(f.Histograms) }
