package chunk

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
)

// layout is what the histograms of a stretch have in common: all but their numbers.
type layout struct {
	schema        int32
	zeroThreshold float64
	positive      []histogram.Span
	negative      []histogram.Span
	custom        []float64
	// The buckets that the spans name, on each side.
	positives, negatives int
}

// columns is how many numbers a histogram has beside its sum.
func (l *layout) columns() int { return 2 + l.positives + l.negatives }

func (l *layout) equal(schema int32, zero float64, positive, negative []histogram.Span, custom []float64) bool {
	return l.schema == schema && same(l.zeroThreshold, zero) &&
		slices.Equal(l.positive, positive) && slices.Equal(l.negative, negative) &&
		slices.EqualFunc(l.custom, custom, same)
}

func newLayout(schema int32, zero float64, positive, negative []histogram.Span, custom []float64) *layout {
	l := &layout{
		schema: schema, zeroThreshold: zero,
		positive: slices.Clone(positive), negative: slices.Clone(negative), custom: slices.Clone(custom),
	}
	for _, s := range positive {
		l.positives += int(s.Length)
	}
	for _, s := range negative {
		l.negatives += int(s.Length)
	}
	return l
}

func (l *layout) append(dst []byte) []byte {
	dst = binary.AppendVarint(dst, int64(l.schema))
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(l.zeroThreshold))
	for _, spans := range [2][]histogram.Span{l.positive, l.negative} {
		dst = binary.AppendUvarint(dst, uint64(len(spans)))
		for _, s := range spans {
			dst = binary.AppendVarint(dst, int64(s.Offset))
			dst = binary.AppendUvarint(dst, uint64(s.Length))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(l.custom)))
	for _, v := range l.custom {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

func cutLayout(b *[]byte) (*layout, error) {
	l := &layout{}
	schema, ok := cutVarint(b)
	if l.schema = int32(schema); !ok || int64(l.schema) != schema ||
		!histogram.IsExponentialSchema(l.schema) && !histogram.IsCustomBucketsSchema(l.schema) {
		return nil, corruptf("histogram schema %d", schema)
	}
	if len(*b) < 8 {
		return nil, corruptf("histogram layout cut short")
	}
	l.zeroThreshold = math.Float64frombits(binary.LittleEndian.Uint64(*b))
	*b = (*b)[8:]
	var err error
	if l.positive, l.positives, err = cutSpans(b); err != nil {
		return nil, err
	}
	if l.negative, l.negatives, err = cutSpans(b); err != nil {
		return nil, err
	}
	num, ok := cutUvarint(b)
	if !ok || num > uint64(len(*b)/8) {
		return nil, corruptf("%d custom bounds", num)
	}
	for range num {
		l.custom = append(l.custom, math.Float64frombits(binary.LittleEndian.Uint64(*b)))
		*b = (*b)[8:]
	}
	return l, nil
}

func cutSpans(b *[]byte) ([]histogram.Span, int, error) {
	num, ok := cutUvarint(b)
	if !ok || num > uint64(len(*b)/2) {
		return nil, 0, corruptf("%d spans", num)
	}
	if num == 0 {
		return nil, 0, nil
	}
	spans, buckets := make([]histogram.Span, num), uint64(0)
	for i := range spans {
		offset, ok := cutVarint(b)
		if !ok || int64(int32(offset)) != offset {
			return nil, 0, corruptf("span after %d", offset)
		}
		length, ok := cutUvarint(b)
		if !ok || length > maxBuckets || buckets+length > maxBuckets {
			return nil, 0, corruptf("histogram of more than %d buckets", maxBuckets)
		}
		buckets += length
		spans[i] = histogram.Span{Offset: int32(offset), Length: uint32(length)}
	}
	return spans, int(buckets), nil
}

// cutVarint takes a varint off the front of b.
func cutVarint(b *[]byte) (int64, bool) {
	x, n := binary.Varint(*b)
	if n <= 0 {
		return 0, false
	}
	*b = (*b)[n:]
	return x, true
}
