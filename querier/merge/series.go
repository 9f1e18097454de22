package merge

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/barograph-db/barograph/storage/chunk"
)

// Options say how a set is to be given.
type Options struct {
	// Mint and Maxt are inclusive, in milliseconds. Samples outside are left out.
	Mint, Maxt int64
	// WholeChunks keeps chunks that reach beyond Mint and Maxt as they are. It goes for
	// NewChunkSeriesSet.
	WholeChunks bool
	// Sorted asks for the order of labels.Compare. All series are held for it.
	Sorted bool
	// Hold is called with each series before it is handed out; an error of it ends the set. It may
	// be nil.
	Hold func(chunk.Series) error
}

// NewSeriesSet returns the set's series with iterators over their samples. They stop, with the
// context's error, soon after ctx has ended. The caller closes set after the last use of what
// came from it.
func NewSeriesSet(ctx context.Context, set chunk.SeriesSet, opts Options) promstorage.SeriesSet {
	return &seriesSet{reader: newReader(set, opts), ctx: ctx}
}

type seriesSet struct {
	*reader
	ctx context.Context
}

func (s *seriesSet) At() promstorage.Series {
	return &sampleSeries{ctx: s.ctx, entry: s.cur, mint: s.opts.Mint, maxt: s.opts.Maxt}
}

type sampleSeries struct {
	entry
	ctx        context.Context
	mint, maxt int64
}

// Labels of the series.
func (s *sampleSeries) Labels() labels.Labels { return s.labels }

// Iterator over the samples of the series; it is reused where it can be.
func (s *sampleSeries) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it, ok := reuse.(*iterator)
	if !ok {
		it = &iterator{}
	}
	it.reset(s)
	return it
}

// entry is a series with its labels in the form of Prometheus' libraries.
type entry struct {
	labels labels.Labels
	chunks []chunk.Chunk
}

// reader draws entries from a set, in its order or sorted by labels. It is the common part of
// both kinds of sets.
type reader struct {
	set     chunk.SeriesSet
	opts    Options
	builder labels.ScratchBuilder
	cur     entry
	sorted  []entry // what is left of a sorted set
	drained bool
	err     error
}

func newReader(set chunk.SeriesSet, opts Options) *reader {
	return &reader{set: set, opts: opts, builder: labels.NewScratchBuilder(16)}
}

// Next moves to the next series.
func (r *reader) Next() bool {
	if !r.opts.Sorted {
		return r.draw()
	}
	if !r.drained {
		r.drained = true
		for r.draw() {
			r.sorted = append(r.sorted, r.cur)
		}
		slices.SortFunc(r.sorted, func(a, b entry) int { return labels.Compare(a.labels, b.labels) })
	}
	if r.err != nil || len(r.sorted) == 0 {
		return false
	}
	r.cur, r.sorted = r.sorted[0], r.sorted[1:]
	return true
}

func (r *reader) draw() bool {
	if r.err != nil || !r.set.Next() {
		return false
	}
	s := r.set.At()
	if r.opts.Hold != nil {
		if r.err = r.opts.Hold(s); r.err != nil {
			return false
		}
	}
	r.cur = entry{labels: Labels(&r.builder, s.Labels), chunks: s.Chunks}
	return true
}

// Err returns what ended the set early.
func (r *reader) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.set.Err()
}

// Warnings are none.
func (r *reader) Warnings() annotations.Annotations { return nil }
