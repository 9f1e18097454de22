package frame

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/storage/series"
)

func appendRest(b []byte, f *Frame) []byte {
	if f.Sender == 0 && f.Seq == 0 && len(f.Series)+len(f.Histograms)+len(f.Exemplars)+len(f.Metadata) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, f.Sender)
	b = binary.AppendUvarint(b, f.Seq)
	b = appendSeries(b, f.Series)
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

func appendDelta(b []byte, d int64) []byte {
	if u := uint64(d)<<1 ^ uint64(d>>63); u < 0x80 {
		return append(b, byte(u))
	}
	return binary.AppendVarint(b, d)
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
	for _, e := range es {
		b = appendFloat(b, e.V)
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
