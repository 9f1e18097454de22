package frame

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/storage/series"
)

// MaxBytes bounds a frame's body. It is far above what a request may bring.
const MaxBytes = 128 << 20

func (r *reader) rest(f *Frame) {
	if len(r.b) == 0 {
		return
	}
	f.Sender, f.Seq = r.uvarint(), r.uvarint()
	f.Series = r.series(f.Series)
	f.Histograms = r.histograms(f.Histograms)
	f.Exemplars = r.exemplars(f.Exemplars)
	f.Metadata = r.metadata(f.Metadata)
}

// reader cuts fields off the front of b. Once it has failed, all that follow are zero.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) fail() {
	r.b, r.failed = nil, true
}

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		x := r.b[0]
		r.b = r.b[1:]
		return uint64(x)
	}
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	x := r.b[0]
	r.b = r.b[1:]
	return x
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	x := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return math.Float64frombits(x)
}

// bytes is a view.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	x := r.b[:n:n]
	r.b = r.b[n:]
	return x
}

// count reads how many things follow of which each has at least size bytes, so that no more memory
// is asked for than the frame can fill.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

// sized returns s with n elements.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func (r *reader) series(dst []SeriesDef) []SeriesDef {
	dst = sized(dst, r.count(2))
	var ref series.Ref
	for i := range dst {
		ref += series.Ref(r.varint())
		dst[i].Ref = ref
	}
	for i := range dst {
		dst[i].Labels = r.bytes()
	}
	return dst
}

func (r *reader) exemplars(dst []Exemplar) []Exemplar {
	dst = sized(dst, r.count(11))
	if len(dst) == 0 {
		return dst
	}
	var ref series.Ref
	for i := range dst {
		ref += series.Ref(r.varint())
		dst[i].Ref = ref
	}
	var t int64
	for i := range dst {
		t += r.varint()
		dst[i].T = t
	}
	for i := range dst {
		dst[i].V, dst[i].Labels = r.float(), r.bytes()
	}
	return dst
}

func (r *reader) metadata(dst []Metadata) []Metadata {
	dst = sized(dst, r.count(4))
	for i := range dst {
		dst[i] = Metadata{
			Metric: string(r.bytes()), Type: string(r.bytes()),
			Help: string(r.bytes()), Unit: string(r.bytes()),
		}
	}
	return dst
}

// minHistogram is the size of the shortest histogram with its columns.
const minHistogram = 3 + 18 + 2 + 5

func (r *reader) histograms(dst []Histogram) []Histogram {
	dst = sized(dst, r.count(minHistogram))
	var ref series.Ref
	for i := range dst {
		ref += series.Ref(r.varint())
		dst[i] = Histogram{Ref: ref}
	}
	var t int64
	for i := range dst {
		t += r.varint()
		dst[i].T = t
	}
	var st int64
	for i := range dst {
		st += r.varint()
		dst[i].ST = st
	}
	for i := range dst {
		r.histogram(&dst[i])
		if r.failed {
			break
		}
	}
	return dst
}

func (r *reader) histogram(dst *Histogram) {
	flags := r.byte()
	if flags&^(flagFloat|hintMask<<hintShift) != 0 {
		r.fail()
		return
	}
	hint := histogram.CounterResetHint(flags >> hintShift)
	schema := r.varint()
	if schema != int64(int32(schema)) {
		r.fail()
		return
	}
	threshold, sum := r.float(), r.float()
	if flags&flagFloat != 0 {
		h := &histogram.FloatHistogram{
			CounterResetHint: hint, Schema: int32(schema), ZeroThreshold: threshold, Sum: sum,
			Count: r.float(), ZeroCount: r.float(),
		}
		h.PositiveSpans = r.spans()
		h.PositiveBuckets = r.floatColumn()
		h.NegativeSpans = r.spans()
		h.NegativeBuckets = r.floatColumn()
		h.CustomValues = r.floatColumn()
		dst.FH = h
		return
	}
	h := &histogram.Histogram{
		CounterResetHint: hint, Schema: int32(schema), ZeroThreshold: threshold, Sum: sum,
		Count: r.uvarint(), ZeroCount: r.uvarint(),
	}
	h.PositiveSpans = r.spans()
	h.PositiveBuckets = r.intColumn()
	h.NegativeSpans = r.spans()
	h.NegativeBuckets = r.intColumn()
	h.CustomValues = r.floatColumn()
	dst.H = h
}

func (r *reader) spans() []histogram.Span {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	spans := make([]histogram.Span, n)
	for i := range spans {
		offset, length := r.varint(), r.uvarint()
		if offset != int64(int32(offset)) || length > math.MaxUint32 {
			r.fail()
			return nil
		}
		spans[i] = histogram.Span{Offset: int32(offset), Length: uint32(length)}
	}
	return spans
}

func (r *reader) intColumn() []int64 {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	column := make([]int64, n)
	for i := range column {
		column[i] = r.varint()
	}
	return column
}

func (r *reader) floatColumn() []float64 {
	n := r.count(8)
	if n == 0 {
		return nil
	}
	column := make([]float64, n)
	for i := range column {
		column[i] = r.float()
	}
	return column
}
