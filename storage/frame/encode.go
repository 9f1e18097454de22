package frame

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/storage/series"
)

const (
	version = 1
	flagS2  = 1 << 0
	header  = 2

	// minCompress is the size of body from which compression is tried.
	minCompress = 64

	// maxScratch is the largest body whose memory is kept for the next frame.
	maxScratch = 4 << 20
)

// scratch holds bodies that wait for compression.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// AppendEncode appends the frame's bytes to dst.
func AppendEncode(dst []byte, f *Frame) []byte {
	buf := scratch.Get().(*[]byte)
	body := appendBody((*buf)[:0], f)
	defer func() {
		if *buf = body; cap(body) <= maxScratch {
			scratch.Put(buf)
		}
	}()
	start := len(dst)
	dst = append(dst, version, 0)
	if len(body) >= minCompress {
		dst = slices.Grow(dst, s2.MaxEncodedLen(len(body)))
		at := len(dst)
		if block := s2.Encode(dst[at:cap(dst)], body); len(block) < len(body) {
			dst[start+1] = flagS2
			return dst[:at+len(block)]
		}
	}
	return append(dst, body...)
}

func appendBody(b []byte, f *Frame) []byte {
	b = binary.AppendUvarint(b, f.Sender)
	b = binary.AppendUvarint(b, f.Seq)
	b = appendSeries(b, f.Series)
	b = appendFloats(b, f)
	b = appendHistograms(b, f.Histograms)
	b = appendExemplars(b, f.Exemplars)
	b = binary.AppendUvarint(b, uint64(len(f.Metadata)))
	for _, m := range f.Metadata {
		b = appendBytes(b, m.Metric)
		b = appendBytes(b, m.Type)
		b = appendBytes(b, m.Help)
		b = appendBytes(b, m.Unit)
	}
	return b
}

func appendSeries(b []byte, defs []SeriesDef) []byte {
	b = binary.AppendUvarint(b, uint64(len(defs)))
	var last series.Ref
	for _, d := range defs {
		b = appendDelta(b, int64(d.Ref-last))
		last = d.Ref
	}
	for _, d := range defs {
		b = appendBytes(b, d.Labels)
	}
	return b
}

func appendFloats(b []byte, f *Frame) []byte {
	b = binary.AppendUvarint(b, uint64(len(f.Refs)))
	if len(f.Refs) == 0 {
		return b
	}
	b = slices.Grow(b, 16*len(f.Refs))
	b = appendDeltas(b, f.Refs)
	b = appendDeltas(b, f.Times[:len(f.Refs)])
	b = appendValues(b, f.Values[:len(f.Refs)])
	if len(f.Starts) == 0 {
		return append(b, 0)
	}
	b = append(b, 1)
	return appendDeltas(b, f.Starts[:len(f.Refs)])
}

// appendDeltas appends a column as differences. Where references and times come in order these are
// long runs of one byte, which cost next to nothing once compressed.
func appendDeltas[T ~int64 | ~uint64](b []byte, column []T) []byte {
	var last T
	for _, x := range column {
		b = appendDelta(b, int64(x-last))
		last = x
	}
	return b
}

func appendDelta(b []byte, d int64) []byte {
	if u := uint64(d)<<1 ^ uint64(d>>63); u < 0x80 {
		return append(b, byte(u))
	}
	return binary.AppendVarint(b, d)
}

// appendValues appends the classes of all values and then their bytes.
func appendValues(b []byte, values []float64) []byte {
	at := len(b)
	pos := at + (len(values)+1)/2
	b = slices.Grow(b, pos-at+8*len(values))[:pos+8*len(values)]
	classes := b[at:pos]
	clear(classes)
	for i, v := range values {
		class, word, size := classify(v)
		classes[i/2] |= class << (4 * (i & 1))
		binary.LittleEndian.PutUint64(b[pos:pos+8], word) // What is beyond size, the next one covers.
		pos += size
	}
	return b[:pos]
}

func appendBytes[S ~string | ~[]byte](b []byte, s S) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func appendExemplars(b []byte, es []Exemplar) []byte {
	b = binary.AppendUvarint(b, uint64(len(es)))
	if len(es) == 0 {
		return b
	}
	var ref series.Ref
	for _, e := range es {
		b = appendDelta(b, int64(e.Ref-ref))
		ref = e.Ref
	}
	var t int64
	for _, e := range es {
		b = appendDelta(b, e.T-t)
		t = e.T
	}
	values := make([]float64, len(es))
	for i, e := range es {
		values[i] = e.V
	}
	b = appendValues(b, values)
	for _, e := range es {
		b = appendBytes(b, e.Labels)
	}
	return b
}

func appendHistograms(b []byte, hs []Histogram) []byte {
	b = binary.AppendUvarint(b, uint64(len(hs)))
	var ref series.Ref
	for i := range hs {
		b = appendDelta(b, int64(hs[i].Ref-ref))
		ref = hs[i].Ref
	}
	var t int64
	for i := range hs {
		b = appendDelta(b, hs[i].T-t)
		t = hs[i].T
	}
	var st int64
	for i := range hs {
		b = appendDelta(b, hs[i].ST-st)
		st = hs[i].ST
	}
	for i := range hs {
		if hs[i].FH != nil {
			b = appendFloatHistogram(b, hs[i].FH)
		} else {
			b = appendHistogram(b, hs[i].H)
		}
	}
	return b
}

const (
	flagFloat = 1 << 0
	hintShift = 1
	hintMask  = 3
)

func appendHistogram(b []byte, h *histogram.Histogram) []byte {
	b = append(b, byte(h.CounterResetHint)<<hintShift)
	b = binary.AppendVarint(b, int64(h.Schema))
	b = appendFloat(b, h.ZeroThreshold)
	b = appendFloat(b, h.Sum)
	b = binary.AppendUvarint(b, h.Count)
	b = binary.AppendUvarint(b, h.ZeroCount)
	b = appendSide(b, h.PositiveSpans, h.PositiveBuckets, binary.AppendVarint)
	b = appendSide(b, h.NegativeSpans, h.NegativeBuckets, binary.AppendVarint)
	return appendBounds(b, h.CustomValues)
}

func appendFloatHistogram(b []byte, h *histogram.FloatHistogram) []byte {
	b = append(b, flagFloat|byte(h.CounterResetHint)<<hintShift)
	b = binary.AppendVarint(b, int64(h.Schema))
	b = appendFloat(b, h.ZeroThreshold)
	b = appendFloat(b, h.Sum)
	b = appendFloat(b, h.Count)
	b = appendFloat(b, h.ZeroCount)
	b = appendSide(b, h.PositiveSpans, h.PositiveBuckets, appendFloat)
	b = appendSide(b, h.NegativeSpans, h.NegativeBuckets, appendFloat)
	return appendBounds(b, h.CustomValues)
}

func appendSide[T any](
	b []byte, spans []histogram.Span, buckets []T, appendBucket func([]byte, T) []byte,
) []byte {
	b = binary.AppendUvarint(b, uint64(len(spans)))
	for _, s := range spans {
		b = binary.AppendVarint(b, int64(s.Offset))
		b = binary.AppendUvarint(b, uint64(s.Length))
	}
	b = binary.AppendUvarint(b, uint64(len(buckets)))
	for _, x := range buckets {
		b = appendBucket(b, x)
	}
	return b
}

func appendBounds(b []byte, bounds []float64) []byte {
	b = binary.AppendUvarint(b, uint64(len(bounds)))
	for _, v := range bounds {
		b = appendFloat(b, v)
	}
	return b
}
