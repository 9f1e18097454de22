package chunk

import (
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/storage/series"
)

// maxChunkBytes closes a chunk of large histograms before MaxSamples does.
const maxChunkBytes = 64 << 10

// Builder encodes samples of any kind, in ascending order of time, into chunks. It begins a new
// chunk when the kind, a histogram's schema or its counter-ness changes, at a counter reset, where
// start timestamps begin, and when one is full. The zero value is ready. It is not safe for
// concurrent use.
//
// What is read back equals what was appended except, as in Prometheus: a histogram's empty buckets
// may come and go, its counter reset hint is only kept where it says gauge, and of a stale
// histogram only the marker is.
type Builder struct {
	xor XORAppender // The open chunk of encoding XOR.

	// The open chunk of any other encoding.
	enc    Encoding
	open   chunkenc.Chunk
	app    chunkenc.Appender
	minT   int64
	maxT   int64
	gauge  bool
	closed []Chunk
}

// Len is the number of samples in the open chunk.
func (b *Builder) Len() int {
	if b.open != nil {
		return b.open.NumSamples()
	}
	return b.xor.Len()
}

// MinT is the first timestamp of the open chunk.
func (b *Builder) MinT() int64 {
	if b.open != nil {
		return b.minT
	}
	return b.xor.MinT()
}

// LastT is the last timestamp of the open chunk.
func (b *Builder) LastT() int64 {
	if b.open != nil {
		return b.maxT
	}
	return b.xor.LastT()
}

// Allocated is the number of bytes that the open chunk and the closed ones hold.
func (b *Builder) Allocated() int {
	n := b.xor.Allocated()
	if b.open != nil {
		n += cap(b.open.Bytes())
	}
	for _, c := range b.closed {
		n += len(c.Data)
	}
	return n
}

// Append encodes one sample. An error means that the sample contradicts itself; it was not taken
// and the builder is as before. The sample is not kept or changed.
func (b *Builder) Append(s series.Sample) error {
	kind := s.Kind()
	if err := checkSample(s); err != nil {
		return err
	}
	if n := b.Len(); n >= MaxSamples ||
		n > 0 && b.open != nil && len(b.open.Bytes()) >= maxChunkBytes {
		b.cut()
	}
	enc := b.pick(kind, s.ST != 0)
	if enc == XOR {
		if b.open != nil {
			b.cut()
		}
		b.xor.Append(s.T, s.V)
		return nil
	}
	if b.xor.Len() > 0 || b.open != nil && b.enc != enc {
		b.cut()
	}
	if b.open == nil {
		if err := b.begin(enc, s.T); err != nil {
			return err
		}
	}
	b.appendOther(s)
	return nil
}

// pick is the encoding for a sample, which is the open chunk's if that can hold it: a sample
// without a start timestamp fits among others that have one.
func (b *Builder) pick(kind series.Kind, withST bool) Encoding {
	plain, st := XOR, XOR2
	switch kind {
	case series.Histogram:
		plain, st = Histogram, HistogramST
	case series.FloatHistogram:
		plain, st = FloatHistogram, FloatHistogramST
	}
	if withST || b.open != nil && b.enc == st {
		return st
	}
	return plain
}

func (b *Builder) begin(enc Encoding, t int64) error {
	open, err := chunkenc.NewEmptyChunk(enc.Library())
	if err != nil {
		return fmt.Errorf("begin a chunk: %w", err)
	}
	app, err := open.Appender()
	if err != nil {
		return fmt.Errorf("begin a chunk: %w", err)
	}
	b.enc, b.open, b.app, b.minT, b.gauge = enc, open, app, t, false
	return nil
}

// appendOther hands the sample to the library, which answers with another chunk when it had to
// recode the open one or could not go on in it.
func (b *Builder) appendOther(s series.Sample) {
	var next chunkenc.Chunk
	var recoded bool
	var err error
	app := b.app
	stale := s.Stale()
	switch {
	case s.H != nil:
		h := *s.H // The library replaces fields of what it is given.
		if stale {
			h = histogram.Histogram{Sum: s.H.Sum, CounterResetHint: b.staleHint()}
		}
		next, recoded, app, err = b.app.AppendHistogram(nil, s.ST, s.T, &h, false)
		b.gauge = h.CounterResetHint == histogram.GaugeType
	case s.FH != nil:
		h := *s.FH
		if stale {
			h = histogram.FloatHistogram{Sum: s.FH.Sum, CounterResetHint: b.staleHint()}
		}
		next, recoded, app, err = b.app.AppendFloatHistogram(nil, s.ST, s.T, &h, false)
		b.gauge = h.CounterResetHint == histogram.GaugeType
	default:
		b.app.Append(s.ST, s.T, s.V)
	}
	if err != nil { // Only appending that may not begin a new chunk can fail.
		panic(fmt.Errorf("chunk: append: %w", err))
	}
	if next != nil && !recoded {
		enc := b.enc
		gauge := b.gauge
		b.cut()
		b.enc, b.minT, b.gauge = enc, s.T, gauge
	}
	if next != nil {
		b.open = next
	}
	b.app, b.maxT = app, s.T
}

// setHeader sets what the open chunk, which has one histogram, says of how it began.
func (b *Builder) setHeader(header byte) {
	at, data := resetHeaderAt(b.enc), b.open.Bytes()
	data[at] = data[at]&^chunkenc.CounterResetHeaderMask | header
	b.gauge = header == byte(chunkenc.GaugeType)
}

// staleHint lets a stale marker stay in the open chunk, whether that has gauges or counters.
func (b *Builder) staleHint() histogram.CounterResetHint {
	if b.gauge && b.Len() > 0 {
		return histogram.GaugeType
	}
	return histogram.UnknownCounterReset
}

// Open appends a copy of the open chunk's bytes to dst and returns it with the chunk that views
// them. The chunk has no samples where there is no open one.
func (b *Builder) Open(dst []byte) (Chunk, []byte) {
	if b.open == nil {
		if b.xor.Len() == 0 {
			return Chunk{}, dst
		}
		return b.xor.Snapshot(dst)
	}
	start := len(dst)
	dst = append(dst, b.open.Bytes()...)
	return b.chunk(dst[start:len(dst):len(dst)]), dst
}

func (b *Builder) chunk(data []byte) Chunk {
	return Chunk{
		Enc: b.enc, Samples: b.open.NumSamples(), MinT: b.minT, MaxT: b.maxT, Data: data,
	}
}

// Resume makes the builder, which must be empty, go on where c ended. The bytes are copied.
func (b *Builder) Resume(c Chunk) error {
	if c.Enc == XOR {
		return b.xor.Resume(c)
	}
	it := NewIterator([]Chunk{c})
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		if err := b.Append(it.Sample()); err != nil {
			return err
		}
	}
	return it.Err()
}

// cut closes the open chunk.
func (b *Builder) cut() {
	switch {
	case b.open != nil:
		data := b.open.Bytes()
		if cap(data)-len(data) >= 16 {
			data = append(make([]byte, 0, len(data)), data...)
		}
		b.closed = append(b.closed, b.chunk(data))
		b.open, b.app = nil, nil
	case b.xor.Len() > 0:
		b.closed = append(b.closed, b.xor.Close())
	}
}

// Take appends the closed chunks, those not taken before, to dst.
func (b *Builder) Take(dst []Chunk) []Chunk {
	dst = append(dst, b.closed...)
	clear(b.closed)
	b.closed = b.closed[:0]
	return dst
}

// Close closes the open chunk as well, appends all to dst, and leaves the builder empty.
func (b *Builder) Close(dst []Chunk) []Chunk {
	b.cut()
	return b.Take(dst)
}

// checkSample refuses histograms that the library would panic over: those whose spans and buckets
// do not agree. Whether counts add up is not looked at.
func checkSample(s series.Sample) error {
	switch {
	case s.H != nil && !value.IsStaleNaN(s.H.Sum):
		return checkHistogram(s.H.Schema, s.H.PositiveSpans, s.H.NegativeSpans,
			len(s.H.PositiveBuckets), len(s.H.NegativeBuckets))
	case s.FH != nil && !value.IsStaleNaN(s.FH.Sum):
		return checkHistogram(s.FH.Schema, s.FH.PositiveSpans, s.FH.NegativeSpans,
			len(s.FH.PositiveBuckets), len(s.FH.NegativeBuckets))
	}
	return nil
}

func checkHistogram(schema int32, positive, negative []histogram.Span, p, n int) error {
	if !histogram.IsExponentialSchema(schema) && !histogram.IsCustomBucketsSchema(schema) {
		return histogram.InvalidSchemaError(schema)
	}
	for _, side := range [2]struct {
		spans   []histogram.Span
		buckets int
	}{{positive, p}, {negative, n}} {
		var sum, index int64
		for i, span := range side.spans {
			if i > 0 && span.Offset < 0 {
				return histogram.ErrHistogramSpanNegativeOffset
			}
			sum += int64(span.Length)
			index += int64(span.Offset) + int64(span.Length)
		}
		if sum != int64(side.buckets) {
			return histogram.ErrHistogramSpansBucketsMismatch
		}
		if sum > maxBuckets || index > 1<<31-1 {
			return fmt.Errorf("histogram of %d buckets up to index %d", sum, index)
		}
	}
	return nil
}
