package remotewrite

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
)

// histogramScan is a Histogram message, the same in both versions, before its lists are read: what
// is single, and how long the lists are.
type histogramScan struct {
	countInt, zeroInt     uint64
	countFloat, zeroFloat float64
	float, zeroIsFloat    bool // which of each pair came last
	sum, zeroThreshold    float64
	schema                int32
	hint                  histogram.CounterResetHint
	t, st                 int64

	spans, deltas, counts [2]int // negative, positive
	custom                int
}

// The lists of a Histogram message.
const (
	negativeSpans, negativeDeltas, negativeCounts = 8, 9, 10
	positiveSpans, positiveDeltas, positiveCounts = 11, 12, 13
	customValues                                  = 16
)

// histogram reads a Histogram: once to count and once, into memory of the right size, for the
// lists. The lists of the kind that it is not (counts of an integer histogram) are not kept.
func (d *decoder) histogram(b []byte) error {
	var s histogramScan
	for i := 0; i < len(b); {
		f, end, err := next(b, i)
		if err == nil {
			err = s.field(&f)
		}
		if err == nil && f.num == 17 && d.version == v2 {
			err, s.st = f.want(varintType), int64(f.v)
		}
		if err != nil {
			return fmt.Errorf("histogram: %w", err)
		}
		i = end
	}
	most := max(s.spans[0]+s.spans[1], s.deltas[0]+s.deltas[1], s.counts[0]+s.counts[1], s.custom)
	if most > d.buckets {
		d.refused = append(d.refused, seriesRejection{
			ingest.HistogramTooLarge,
			ingest.Counts{Histograms: 1},
			fmt.Sprintf("%d buckets, spans or bounds, the limit is %d,", most, d.buckets),
		})
		return nil
	}
	if err := d.use(histogramBytes + 8*int64(s.spans[0]+s.spans[1]+s.deltas[0]+s.deltas[1]+s.counts[0]+s.counts[1]+s.custom)); err != nil {
		return err
	}
	h := frame.Histogram{T: s.t, ST: s.st}
	var err error
	if s.float {
		h.FH, err = s.floatHistogram(b)
	} else {
		h.H, err = s.intHistogram(b)
	}
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	d.batch.Histograms = append(d.batch.Histograms, h)
	return nil
}

// field takes in one field, and of lists only the length.
func (s *histogramScan) field(f *field) (err error) {
	switch f.num {
	case 1:
		err, s.countInt, s.float = f.want(varintType), f.v, false
	case 2:
		err, s.countFloat, s.float = f.want(fixed64Type), f.float(), true
	case 3:
		err, s.sum = f.want(fixed64Type), f.float()
	case 4:
		err, s.schema = f.want(varintType), zigzag32(f.v)
	case 5:
		err, s.zeroThreshold = f.want(fixed64Type), f.float()
	case 6:
		err, s.zeroInt, s.zeroIsFloat = f.want(varintType), f.v, false
	case 7:
		err, s.zeroFloat, s.zeroIsFloat = f.want(fixed64Type), f.float(), true
	case negativeSpans, positiveSpans:
		err = f.want(bytesType)
		s.spans[side(f.num)]++
	case negativeDeltas, positiveDeltas:
		err = countList(&s.deltas[side(f.num)], f, varintType)
	case negativeCounts, positiveCounts:
		err = countList(&s.counts[side(f.num)], f, fixed64Type)
	case 14:
		err = f.want(varintType)
		if s.hint = histogram.UnknownCounterReset; f.v <= uint64(histogram.GaugeType) {
			s.hint = histogram.CounterResetHint(f.v)
		}
	case 15:
		err, s.t = f.want(varintType), int64(f.v)
	case customValues:
		err = countList(&s.custom, f, fixed64Type)
	}
	return err
}

func side(num int) int {
	if num >= positiveSpans {
		return 1
	}
	return 0
}

// countList adds the elements of a packed or single field.
func countList(n *int, f *field, wire int) error {
	switch {
	case f.wire == wire:
		*n++
	case f.wire != bytesType:
		return f.want(bytesType)
	case wire == varintType:
		*n += countVarints(f.b)
	case len(f.b)%8 != 0:
		return errTruncated
	default:
		*n += len(f.b) / 8
	}
	return nil
}

// lists are the repeated fields of a message.
type lists struct {
	spans  [2][]histogram.Span
	deltas [2][]int64
	counts [2][]float64
	custom []float64
}

// lists reads the message again. Only the lists of its kind have room.
func (s *histogramScan) lists(b []byte) (l lists, err error) {
	for i := range 2 {
		l.spans[i] = sized[histogram.Span](s.spans[i])
		if s.float {
			l.counts[i] = sized[float64](s.counts[i])
		} else {
			l.deltas[i] = sized[int64](s.deltas[i])
		}
	}
	l.custom = sized[float64](s.custom)
	for i := 0; i < len(b); {
		f, end, err := next(b, i)
		if err != nil {
			return l, err
		}
		i = end
		switch f.num {
		case negativeSpans, positiveSpans:
			at := &l.spans[side(f.num)]
			var span histogram.Span
			span, err = readSpan(f.b)
			*at = append(*at, span)
		case negativeDeltas, positiveDeltas:
			if !s.float {
				err = readVarints(&l.deltas[side(f.num)], &f)
			}
		case negativeCounts, positiveCounts:
			if s.float {
				readFloats(&l.counts[side(f.num)], &f)
			}
		case customValues:
			readFloats(&l.custom, &f)
		}
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

// sized makes a slice with room, or nil for none.
func sized[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, 0, n)
}

func (s *histogramScan) intHistogram(b []byte) (*histogram.Histogram, error) {
	l, err := s.lists(b)
	h := &histogram.Histogram{
		CounterResetHint: s.hint, Schema: s.schema, ZeroThreshold: s.zeroThreshold, Count: s.countInt, Sum: s.sum,
		NegativeSpans: l.spans[0], PositiveSpans: l.spans[1],
		NegativeBuckets: l.deltas[0], PositiveBuckets: l.deltas[1], CustomValues: l.custom,
	}
	if !s.zeroIsFloat {
		h.ZeroCount = s.zeroInt
	}
	return h, err
}

func (s *histogramScan) floatHistogram(b []byte) (*histogram.FloatHistogram, error) {
	l, err := s.lists(b)
	h := &histogram.FloatHistogram{
		CounterResetHint: s.hint, Schema: s.schema, ZeroThreshold: s.zeroThreshold, Count: s.countFloat, Sum: s.sum,
		NegativeSpans: l.spans[0], PositiveSpans: l.spans[1],
		NegativeBuckets: l.counts[0], PositiveBuckets: l.counts[1], CustomValues: l.custom,
	}
	if s.zeroIsFloat {
		h.ZeroCount = s.zeroFloat
	}
	return h, err
}

func readSpan(b []byte) (s histogram.Span, err error) {
	for i := 0; i < len(b); {
		f, end, err := next(b, i)
		if err != nil {
			return s, err
		}
		i = end
		switch f.num {
		case 1:
			err, s.Offset = f.want(varintType), zigzag32(f.v)
		case 2:
			err, s.Length = f.want(varintType), uint32(f.v)
		}
		if err != nil {
			return s, fmt.Errorf("span: %w", err)
		}
	}
	return s, nil
}

func readVarints(dst *[]int64, f *field) error {
	if f.wire == varintType {
		*dst = append(*dst, zigzag(f.v))
		return nil
	}
	for i := 0; i < len(f.b); {
		v, end, err := varint(f.b, i)
		if err != nil {
			return err
		}
		*dst = append(*dst, zigzag(v))
		i = end
	}
	return nil
}

func readFloats(dst *[]float64, f *field) {
	if f.wire == fixed64Type {
		*dst = append(*dst, f.float())
		return
	}
	for b := f.b; len(b) >= 8; b = b[8:] {
		*dst = append(*dst, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
}
