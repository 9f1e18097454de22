package series

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
)

// Resolve returns the one of two samples for the same series and timestamp that is kept: the
// greater one by CompareValues' order.
func Resolve(a, b Sample) Sample {
	if CompareValues(a, b) >= 0 {
		return a
	}
	return b
}

// CompareValues orders the samples that one timestamp may have: a value above a stale marker, then
// float < histogram < float histogram, then floats by their bits, and histograms by what they
// count, then the start timestamp. It is 0 for samples that are the same to every reader.
//
// What a chunk does not keep of a histogram has no say (see package chunk), so that the order is
// the same before and after encoding.
func CompareValues(a, b Sample) int {
	stale := a.Stale()
	if stale != b.Stale() {
		if stale {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(a.Kind(), b.Kind()); c != 0 {
		return c
	}
	c := 0
	switch {
	case stale && a.Kind() != Float: // Only the marker is kept of them.
	case a.H != nil:
		c = bytes.Compare(histogramBytes(a.H), histogramBytes(b.H))
	case a.FH != nil:
		c = bytes.Compare(floatHistogramBytes(a.FH), floatHistogramBytes(b.FH))
	default:
		c = cmp.Compare(math.Float64bits(a.V), math.Float64bits(b.V))
	}
	if c != 0 {
		return c
	}
	return cmp.Compare(a.ST, b.ST)
}

// histogramBytes lays out what a histogram says: equal for equal ones, whatever empty buckets are
// spelled out.
func histogramBytes(h *histogram.Histogram) []byte {
	b := layoutBytes(h.CounterResetHint, h.Schema, h.ZeroThreshold, h.CustomValues)
	b = appendWord(b, h.Count)
	b = appendWord(b, h.ZeroCount)
	b = appendWord(b, math.Float64bits(h.Sum))
	b = appendCounts(b, h.PositiveSpans, counts(h.PositiveBuckets))
	return appendCounts(b, h.NegativeSpans, counts(h.NegativeBuckets))
}

func floatHistogramBytes(h *histogram.FloatHistogram) []byte {
	b := layoutBytes(h.CounterResetHint, h.Schema, h.ZeroThreshold, h.CustomValues)
	b = appendWord(b, math.Float64bits(h.Count))
	b = appendWord(b, math.Float64bits(h.ZeroCount))
	b = appendWord(b, math.Float64bits(h.Sum))
	b = appendCounts(b, h.PositiveSpans, floatCounts(h.PositiveBuckets))
	return appendCounts(b, h.NegativeSpans, floatCounts(h.NegativeBuckets))
}

func layoutBytes(
	hint histogram.CounterResetHint, schema int32, threshold float64, bounds []float64,
) []byte {
	b := make([]byte, 1, 256)
	if hint == histogram.GaugeType {
		b[0] = 1
	}
	b = appendWord(b, uint64(schema))
	b = appendWord(b, math.Float64bits(threshold+0)) // Adding 0 makes 0 of -0.
	b = appendWord(b, uint64(len(bounds)))
	for _, bound := range bounds {
		b = appendWord(b, math.Float64bits(bound+0))
	}
	return b
}

// counts are the absolute counts of buckets that are given as differences, as words.
func counts(deltas []int64) []uint64 {
	words := make([]uint64, len(deltas))
	sum := int64(0)
	for i, d := range deltas {
		sum += d
		words[i] = uint64(sum)
	}
	return words
}

func floatCounts(buckets []float64) []uint64 {
	words := make([]uint64, len(buckets))
	for i, c := range buckets {
		if c != 0 { // -0 is none either.
			words[i] = math.Float64bits(c)
		}
	}
	return words
}

// appendCounts appends the index and count of each bucket that has one, after their number.
func appendCounts(b []byte, spans []histogram.Span, counts []uint64) []byte {
	head := len(b)
	b = appendWord(b, 0)
	n, index := uint64(0), int64(0)
	for _, span := range spans {
		index += int64(span.Offset)
		for range min(int(span.Length), len(counts)) {
			if counts[0] != 0 {
				b = appendWord(b, uint64(index))
				b = appendWord(b, counts[0])
				n++
			}
			counts = counts[1:]
			index++
		}
	}
	binary.BigEndian.PutUint64(b[head:], n)
	return b
}

func appendWord(b []byte, x uint64) []byte { return binary.BigEndian.AppendUint64(b, x) }
