package ingest

import (
	"context"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Appender takes batches. Every stage of the write path is one over the next.
type Appender interface {
	// Append takes what it can of b and says what was written and what was refused. An error is
	// about the whole batch. The batch is scratch space of the stages while the call lasts; none
	// may keep any of it.
	Append(ctx context.Context, b *Batch) (Result, error)
}

// Batch is one decoded request, or a bounded piece of one. Its byte slices view the request's body.
type Batch struct {
	// Source turns runs into labels.
	Source Labeler
	// Runs are in the order of the request; their spans are views of the columns below.
	Runs []Run

	// The float samples, in columns. Starts is empty when no sample has a start timestamp, else as
	// long as the others, zero where there is none.
	Times  []int64 // milliseconds
	Values []float64
	Starts []int64 // milliseconds

	// Refs of histograms and exemplars are not set.
	Histograms []frame.Histogram
	Exemplars  []frame.Exemplar
	Metadata   []frame.Metadata

	// Rejections are what the decoder itself refused.
	Rejections Rejections
}

// Run is a stretch of samples of one series. Two runs of a batch may name the same series.
type Run struct {
	Key                           Key
	Floats, Histograms, Exemplars Span
	// Reason is not zero when the decoder found that the run can't name a series.
	Reason Reason
}

// Span is a half-open interval of a column.
type Span struct{ From, To uint32 }

// Len is the number of elements.
func (s Span) Len() int { return int(s.To - s.From) }

// empty reports whether the run holds nothing that belongs to a series.
func (r *Run) empty() bool {
	return r.Floats.From == r.Floats.To && r.Histograms.From == r.Histograms.To && r.Exemplars.From == r.Exemplars.To
}

// counts of what the run holds.
func (r *Run) counts() Counts {
	return Counts{Samples: r.Floats.Len(), Histograms: r.Histograms.Len(), Exemplars: r.Exemplars.Len()}
}

// Labeler knows the labels of a batch's runs.
type Labeler interface {
	// AppendPairs appends the labels of a run to dst, in any order, as they came. The slices are
	// views that hold as long as the batch does.
	AppendPairs(dst []series.Pair, run int) ([]series.Pair, error)
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Histograms)
	clear(b.Exemplars)
	clear(b.Metadata)
	*b = Batch{
		Runs: b.Runs[:0], Times: b.Times[:0], Values: b.Values[:0], Starts: b.Starts[:0],
		Histograms: b.Histograms[:0], Exemplars: b.Exemplars[:0], Metadata: b.Metadata[:0],
	}
}

// Samples is the number of float samples and histograms.
func (b *Batch) Samples() int { return len(b.Times) + len(b.Histograms) }

// Counts of things by kind.
type Counts struct{ Samples, Histograms, Exemplars, Metadata int }

// Add adds o.
func (c *Counts) Add(o Counts) {
	c.Samples += o.Samples
	c.Histograms += o.Histograms
	c.Exemplars += o.Exemplars
	c.Metadata += o.Metadata
}

// minus returns c less o.
func (c Counts) minus(o Counts) Counts {
	return Counts{
		Samples: c.Samples - o.Samples, Histograms: c.Histograms - o.Histograms,
		Exemplars: c.Exemplars - o.Exemplars, Metadata: c.Metadata - o.Metadata,
	}
}

// Total of all kinds.
func (c Counts) Total() int { return c.Samples + c.Histograms + c.Exemplars + c.Metadata }

// Result says what became of a batch.
type Result struct {
	// Written is what is stored now.
	Written Counts
	// Deduplicated is what was left out because an elected sender of the same series is stored.
	Deduplicated Counts
	// Rejections is what is not, and why.
	Rejections Rejections
}
