package merge

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/barograph-db/barograph/storage/chunk"
)

// NewChunkSeriesSet returns the set's series with iterators over their chunks: by start, without
// overlap, in the encodings of tsdb/chunkenc. Chunks in one of these that need no change are handed
// on as they lie; others are encoded anew when their turn comes. The caller closes set after the last use of what came from it.
func NewChunkSeriesSet(set chunk.SeriesSet, opts Options) promstorage.ChunkSeriesSet {
	return &chunkSeriesSet{newReader(set, opts)}
}

type chunkSeriesSet struct{ *reader }

func (s *chunkSeriesSet) At() promstorage.ChunkSeries {
	return &chunkSeries{entry: s.cur, opts: &s.opts}
}

type chunkSeries struct {
	entry
	opts *Options
}

// Labels of the series.
func (s *chunkSeries) Labels() labels.Labels { return s.labels }

// Iterator over the chunks of the series.
func (s *chunkSeries) Iterator(chunks.Iterator) chunks.Iterator {
	it := &chunkIterator{}
	it.left, it.err = s.opts.fit(s.chunks)
	return it
}

// fit makes chunks into such that don't overlap and, unless they are wanted whole, lie within the
// times. Most are kept as they are.
func (o *Options) fit(cs []chunk.Chunk) ([]chunk.Chunk, error) {
	var outside []chunk.Interval
	if !o.WholeChunks && o.Mint > math.MinInt64 {
		outside = append(outside, chunk.Interval{MinT: math.MinInt64, MaxT: o.Mint - 1})
	}
	if !o.WholeChunks && o.Maxt < math.MaxInt64 {
		outside = append(outside, chunk.Interval{MinT: o.Maxt + 1, MaxT: math.MaxInt64})
	}
	cs, err := chunk.Without(cs, outside)
	if err != nil {
		return nil, err
	}
	return chunk.Compact(make([]chunk.Chunk, 0, len(cs)), cs)
}

type chunkIterator struct {
	left  []chunk.Chunk
	ready []chunk.Chunk // In Prometheus' encodings, before those left.
	cur   chunks.Meta
	err   error
}

// Next moves to the next chunk.
func (it *chunkIterator) Next() bool {
	if it.err != nil || len(it.ready) == 0 && len(it.left) == 0 {
		return false
	}
	if len(it.ready) == 0 {
		it.ready, it.err = chunk.ToLibrary(it.left[0])
		if it.left = it.left[1:]; it.err != nil {
			return false
		}
	}
	it.cur, it.err = toMeta(it.ready[0])
	it.ready = it.ready[1:]
	return it.err == nil
}

// At returns the chunk.
func (it *chunkIterator) At() chunks.Meta { return it.cur }

// Err returns what ended the iteration early.
func (it *chunkIterator) Err() error { return it.err }

// encodings are Prometheus' numbers for ours.
var encodings = [...]chunkenc.Encoding{
	chunk.XOR:              chunkenc.EncXOR,
	chunk.XOR2:             chunkenc.EncXOR2,
	chunk.Histogram:        chunkenc.EncHistogram,
	chunk.FloatHistogram:   chunkenc.EncFloatHistogram,
	chunk.HistogramST:      chunkenc.EncHistogramST,
	chunk.FloatHistogramST: chunkenc.EncFloatHistogramST,
}

func toMeta(c chunk.Chunk) (chunks.Meta, error) {
	if int(c.Enc) >= len(encodings) || encodings[c.Enc] == chunkenc.EncNone {
		return chunks.Meta{}, fmt.Errorf("chunk has encoding %d, which Prometheus does not know", c.Enc)
	}
	data, err := chunkenc.FromData(encodings[c.Enc], c.Data)
	if err != nil {
		return chunks.Meta{}, err
	}
	return chunks.Meta{MinTime: c.MinT, MaxTime: c.MaxT, Chunk: data}, nil
}
