package remotewrite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

func newDecoder() *decoder {
	return &decoder{
		hash: hashers{v1: ingest.NewHasher(), v2: ingest.NewHasher()}, seen: new(seen), buckets: 1000,
		memory: memory{take: func(int64) error { return nil }, most: 64 << 20},
	}
}

// flat is a decoded series in a form that compares.
type flat struct {
	labels     string
	samples    []flatSample
	histograms []string
	exemplars  []string
}

type flatSample struct {
	t, st int64
	bits  uint64
}

func (d *decoder) flat(t testing.TB) []flat {
	var out []flat
	b := &d.batch
	for i := range b.Runs {
		pairs, err := d.AppendPairs(nil, i)
		require.NoError(t, err)
		f := flat{labels: fmt.Sprintf("%q", pairs)}
		r := &b.Runs[i]
		for j := r.Floats.From; j < r.Floats.To; j++ {
			s := flatSample{t: b.Times[j], bits: math.Float64bits(b.Values[j])}
			if len(b.Starts) > 0 {
				s.st = b.Starts[j]
			}
			f.samples = append(f.samples, s)
		}
		for _, h := range b.Histograms[r.Histograms.From:r.Histograms.To] {
			f.histograms = append(f.histograms, printHistogram(h))
		}
		for _, e := range b.Exemplars[r.Exemplars.From:r.Exemplars.To] {
			f.exemplars = append(f.exemplars, printExemplar(e))
		}
		out = append(out, f)
	}
	return out
}

func printHistogram(h frame.Histogram) string {
	if h.H != nil {
		c := *h.H
		return fmt.Sprintf("%d %d int %d %d %d %x %x %d %d %v %v %v %v %v", h.T, h.ST, c.CounterResetHint, c.Schema, c.Count, math.Float64bits(c.Sum),
			math.Float64bits(c.ZeroThreshold), c.ZeroCount, len(c.PositiveSpans), c.PositiveSpans, c.NegativeSpans, c.PositiveBuckets, c.NegativeBuckets, bits(c.CustomValues))
	}
	c := *h.FH
	return fmt.Sprintf("%d %d float %d %d %x %x %x %x %v %v %v %v %v", h.T, h.ST, c.CounterResetHint, c.Schema, math.Float64bits(c.Count), math.Float64bits(c.Sum),
		math.Float64bits(c.ZeroThreshold), math.Float64bits(c.ZeroCount), c.PositiveSpans, c.NegativeSpans, bits(c.PositiveBuckets), bits(c.NegativeBuckets), bits(c.CustomValues))
}

func bits(fs []float64) []uint64 {
	var out []uint64
	for _, f := range fs {
		out = append(out, math.Float64bits(f))
	}
	return out
}

func printExemplar(e frame.Exemplar) string {
	return fmt.Sprintf("%d %x %q", e.T, math.Float64bits(e.V), []byte(e.Labels))
}

var floats = []float64{0, 1, -1, math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(value.StaleNaN), math.Float64frombits(0xfff8dead00000001), 5e-324, math.MaxFloat64, 0.1}

func anyFloat(r *rand.Rand) float64 {
	if r.IntN(3) == 0 {
		return math.Float64frombits(r.Uint64())
	}
	return floats[r.IntN(len(floats))]
}

func anyTime(r *rand.Rand) int64 {
	return []int64{0, 1, -1, 1_700_000_000_000 + r.Int64N(1e9), math.MaxInt64, math.MinInt64}[r.IntN(6)]
}

func anyString(r *rand.Rand) string {
	n := []int{0, 1, 5, 12, 127, 128, 300}[r.IntN(7)]
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}

func list[T any](r *rand.Rand, most int, f func() T) (out []T) {
	for range r.IntN(most + 1) {
		out = append(out, f())
	}
	return out
}

func anyHint(r *rand.Rand) int32 { return int32(r.IntN(4)) }

func request1(r *rand.Rand) *prompb.WriteRequest {
	label := func() prompb.Label { return prompb.Label{Name: anyString(r), Value: anyString(r)} }
	q := &prompb.WriteRequest{}
	q.Timeseries = list(r, 5, func() prompb.TimeSeries {
		return prompb.TimeSeries{
			Labels:  list(r, 6, label),
			Samples: list(r, 4, func() prompb.Sample { return prompb.Sample{Value: anyFloat(r), Timestamp: anyTime(r)} }),
			Exemplars: list(r, 2, func() prompb.Exemplar {
				return prompb.Exemplar{Labels: []prompb.Label{{Name: "trace_id", Value: fmt.Sprint(r.Uint64())}}, Value: anyFloat(r), Timestamp: anyTime(r)}
			}),
			Histograms: list(r, 2, func() prompb.Histogram {
				spans := func() []prompb.BucketSpan {
					return list(r, 3, func() prompb.BucketSpan {
						return prompb.BucketSpan{Offset: int32(r.Uint32()), Length: r.Uint32()}
					})
				}
				h := prompb.Histogram{
					Sum: anyFloat(r), Schema: int32(r.Uint32()), ZeroThreshold: anyFloat(r), ResetHint: prompb.Histogram_ResetHint(anyHint(r)), Timestamp: anyTime(r),
					NegativeSpans: spans(), PositiveSpans: spans(),
					NegativeDeltas: list(r, 5, func() int64 { return int64(r.Uint64()) }), PositiveDeltas: list(r, 5, func() int64 { return r.Int64N(9) - 4 }),
					NegativeCounts: list(r, 5, func() float64 { return anyFloat(r) }), PositiveCounts: list(r, 5, func() float64 { return anyFloat(r) }),
					CustomValues: list(r, 3, func() float64 { return anyFloat(r) }),
				}
				if r.IntN(2) == 0 {
					h.Count, h.ZeroCount = &prompb.Histogram_CountInt{CountInt: r.Uint64()}, &prompb.Histogram_ZeroCountInt{ZeroCountInt: r.Uint64()}
				} else {
					h.Count, h.ZeroCount = &prompb.Histogram_CountFloat{CountFloat: anyFloat(r)}, &prompb.Histogram_ZeroCountFloat{ZeroCountFloat: anyFloat(r)}
				}
				return h
			}),
		}
	})
	q.Metadata = list(r, 3, func() prompb.MetricMetadata {
		return prompb.MetricMetadata{Type: prompb.MetricMetadata_MetricType(r.IntN(8)), MetricFamilyName: "m" + anyString(r), Help: anyString(r), Unit: anyString(r)}
	})
	return q
}

func want1(q *prompb.WriteRequest) (out []flat, metadata []frame.Metadata) {
	for _, ts := range q.Timeseries {
		var pairs []series.Pair
		for _, l := range ts.Labels {
			pairs = append(pairs, series.Pair{Name: []byte(l.Name), Value: []byte(l.Value)})
		}
		f := flat{labels: fmt.Sprintf("%q", pairs)}
		for _, s := range ts.Samples {
			f.samples = append(f.samples, flatSample{t: s.Timestamp, bits: math.Float64bits(s.Value)})
		}
		for _, h := range ts.Histograms {
			f.histograms = append(f.histograms, printHistogram(either(h.IsFloatHistogram(), h.Timestamp, 0, h.ToIntHistogram, h.ToFloatHistogram)))
		}
		for _, e := range ts.Exemplars {
			b := labels.NewScratchBuilder(1)
			ex := e.ToExemplar(&b, nil)
			f.exemplars = append(f.exemplars, printExemplar(frame.Exemplar{T: ex.Ts, V: ex.Value, Labels: series.FromLabels(nil, ex.Labels)}))
		}
		out = append(out, f)
	}
	for _, m := range q.Metadata {
		metadata = append(metadata, frame.Metadata{Metric: m.MetricFamilyName, Type: typeName(uint64(m.Type)), Help: m.Help, Unit: m.Unit})
	}
	return out, metadata
}

func either(float bool, t, st int64, i func() *histogram.Histogram, f func() *histogram.FloatHistogram) frame.Histogram {
	if float {
		return frame.Histogram{T: t, ST: st, FH: f()}
	}
	return frame.Histogram{T: t, ST: st, H: i()}
}

func TestDecode1AgainstGogo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	d := newDecoder()
	for range 3000 {
		q := request1(r)
		body, err := q.Marshal()
		require.NoError(t, err)
		require.NoError(t, d.decode(v1, body))
		want, metadata := want1(q)
		require.Equal(t, want, d.flat(t))
		require.Empty(t, d.batch.Rejections)
		require.True(t, slices.Equal(metadata, d.batch.Metadata))
	}
}

func request2(r *rand.Rand) *writev2.Request {
	symbols := writev2.NewSymbolTable()
	symbols.Symbolize("")
	q := &writev2.Request{}
	q.Timeseries = list(r, 5, func() writev2.TimeSeries {
		ts := writev2.TimeSeries{
			Samples: list(r, 4, func() writev2.Sample {
				return writev2.Sample{Value: anyFloat(r), Timestamp: anyTime(r), StartTimestamp: int64(r.IntN(3))}
			}),
			Exemplars: list(r, 2, func() writev2.Exemplar {
				return writev2.Exemplar{LabelsRefs: []uint32{symbols.Symbolize("trace_id"), symbols.Symbolize(fmt.Sprint(r.Uint64()))}, Value: anyFloat(r), Timestamp: anyTime(r)}
			}),
			Histograms: list(r, 2, func() writev2.Histogram {
				h := histogram.Histogram{Schema: 2, Count: 3, Sum: anyFloat(r), PositiveSpans: []histogram.Span{{Offset: -5, Length: 2}}, PositiveBuckets: []int64{1, 1}, CounterResetHint: histogram.CounterResetHint(anyHint(r))}
				if r.IntN(2) == 0 {
					return writev2.FromFloatHistogram(int64(r.IntN(2)), anyTime(r), h.ToFloat(nil))
				}
				return writev2.FromIntHistogram(int64(r.IntN(2)), anyTime(r), &h)
			}),
		}
		for range r.IntN(6) {
			ts.LabelsRefs = append(ts.LabelsRefs, symbols.Symbolize(anyString(r)), symbols.Symbolize(anyString(r)))
		}
		if len(ts.Samples)+len(ts.Exemplars)+len(ts.Histograms) == 0 {
			ts.Samples = []writev2.Sample{{}}
		}
		return ts
	})
	q.Symbols = symbols.Symbols()
	return q
}

func want2(t testing.TB, q *writev2.Request) (out []flat) {
	for _, ts := range q.Timeseries {
		var pairs []series.Pair
		for i := 0; i+1 < len(ts.LabelsRefs); i += 2 {
			pairs = append(pairs, series.Pair{Name: []byte(q.Symbols[ts.LabelsRefs[i]]), Value: []byte(q.Symbols[ts.LabelsRefs[i+1]])})
		}
		f := flat{labels: fmt.Sprintf("%q", pairs)}
		for _, s := range ts.Samples {
			f.samples = append(f.samples, flatSample{t: s.Timestamp, st: s.StartTimestamp, bits: math.Float64bits(s.Value)})
		}
		for _, h := range ts.Histograms {
			f.histograms = append(f.histograms, printHistogram(either(h.IsFloatHistogram(), h.Timestamp, h.StartTimestamp, h.ToIntHistogram, h.ToFloatHistogram)))
		}
		for _, e := range ts.Exemplars {
			b := labels.NewScratchBuilder(1)
			ex, err := e.ToExemplar(&b, q.Symbols)
			require.NoError(t, err)
			f.exemplars = append(f.exemplars, printExemplar(frame.Exemplar{T: ex.Ts, V: ex.Value, Labels: series.FromLabels(nil, ex.Labels)}))
		}
		out = append(out, f)
	}
	return out
}

func TestDecode2AgainstGogo(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	d := newDecoder()
	for range 3000 {
		q := request2(r)
		body, err := q.Marshal()
		require.NoError(t, err)
		require.NoError(t, d.decode(v2, body))
		require.Equal(t, want2(t, q), d.flat(t))
		require.Empty(t, d.batch.Rejections)
	}
}

// Protobuf by hand, for what gogo does not write.
func bytesField(num int, b []byte) []byte {
	out := []byte{byte(num<<3 | bytesType)}
	for n := len(b); ; n >>= 7 {
		if n < 0x80 {
			return append(append(out, byte(n)), b...)
		}
		out = append(out, byte(n)|0x80)
	}
}

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func label(name, value string) []byte {
	return bytesField(1, cat(bytesField(1, []byte(name)), bytesField(2, []byte(value))))
}

func sampleField(t byte) []byte { return bytesField(2, []byte{2<<3 | varintType, t}) }

func TestInterleavedLabelsHaveTheKeyOfContiguousOnes(t *testing.T) {
	d := newDecoder()
	a, b, unknown := label("__name__", "up"), label("job", "x"), bytesField(9, []byte("?"))
	whole := cat(a, b, sampleField(1))
	body := cat(bytesField(1, whole), bytesField(1, cat(a, sampleField(1), b)), bytesField(1, cat(sampleField(1), a, unknown, b, sampleField(2))),
		bytesField(1, cat(b, sampleField(1), a)))
	require.NoError(t, d.decode(v1, body))
	runs := d.batch.Runs
	require.Len(t, runs, 4)
	require.Equal(t, runs[0].Key, runs[1].Key)
	require.Equal(t, runs[0].Key, runs[2].Key)
	require.NotEqual(t, runs[0].Key, runs[3].Key)
	f := d.flat(t)
	require.Equal(t, f[0].labels, f[1].labels)
	require.Equal(t, f[0].labels, f[2].labels)
	require.Equal(t, []flatSample{{t: 1}, {t: 2}}, f[2].samples)
}

func TestSymbolsInAnyPlace(t *testing.T) {
	d := newDecoder()
	sym := func(s string) []byte { return bytesField(4, []byte(s)) }
	ts := bytesField(5, cat(bytesField(1, []byte{1, 2}), sampleField(7), bytesField(5, []byte{1 << 3, 1})))
	single := bytesField(5, cat([]byte{1 << 3, 0x81, 0x00, 1 << 3, 2}, sampleField(7))) // Not packed, and longer than need be.
	first := cat(sym(""), sym("__name__"), sym("up"), ts, single)
	last := cat(ts, single, sym(""), sym("__name__"), sym("up"))
	require.NoError(t, d.decode(v2, first))
	want, metadata := d.flat(t), len(d.batch.Metadata)
	key := d.batch.Runs[0].Key
	require.Equal(t, key, d.batch.Runs[1].Key)
	require.Equal(t, 1, metadata)
	d.seen.unmark(d.marks)
	require.NoError(t, d.decode(v2, last))
	require.Equal(t, want, d.flat(t))
	require.Equal(t, key, d.batch.Runs[0].Key)
	require.Equal(t, []frame.Metadata{{Metric: "up", Type: "counter"}}, d.batch.Metadata)
	require.NoError(t, d.decode(v2, last))
	require.Empty(t, d.batch.Metadata) // Passed on before.
}

func TestBadMessages(t *testing.T) {
	d := newDecoder()
	ok1 := bytesField(1, cat(label("__name__", "up"), sampleField(1)))
	for name, c := range map[string]struct {
		v    version
		body []byte
	}{
		"cut tag":              {v1, []byte{0x80}},
		"field zero":           {v1, []byte{0x02, 0x00}},
		"huge length":          {v1, []byte{1<<3 | bytesType, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}},
		"endless varint":       {v1, []byte{1<<3 | bytesType, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		"length outside":       {v1, bytesField(1, []byte{1<<3 | bytesType, 9, 1})},
		"group":                {v1, []byte{7<<3 | 3, 7<<3 | 4}},
		"wrong type":           {v1, []byte{1 << 3, 1}},
		"sample of wrong type": {v1, bytesField(1, []byte{2 << 3, 1})},
		"cut sample":           {v1, bytesField(1, bytesField(2, []byte{1<<3 | fixed64Type, 1, 2}))},
		"cut off":              {v1, ok1[:len(ok1)-1]},
		"cut counts":           {v1, bytesField(1, bytesField(4, bytesField(13, []byte{1, 2, 3})))},
		"2.0 as 1.0":           {v1, bytesField(4, nil)},
		"1.0 as 2.0":           {v2, ok1},
		"2.0 symbol type":      {v2, []byte{4 << 3, 1}},
	} {
		err := d.decode(c.v, c.body)
		require.Error(t, err, name)
		require.Equal(t, 400, ingest.AsError(err).Reason.Status(), name)
	}
}

// TestSmallBodiesTakeLittleMemory feeds messages that are as short as can be: what they decode to
// must be paid for, and refused beyond the limit.
func TestSmallBodiesTakeLittleMemory(t *testing.T) {
	empty := func(outer, inner, n int) []byte {
		in := slices.Repeat([]byte{byte(inner<<3 | bytesType), 0}, n)
		return bytesField(outer, in)
	}
	packed := bytesField(1, bytesField(4, bytesField(12, slices.Repeat([]byte{2}, 1<<20))))
	for name, c := range map[string]struct {
		v    version
		body []byte
	}{
		"series":     {v1, slices.Repeat([]byte{1<<3 | bytesType, 0}, 1<<20)},
		"samples":    {v1, empty(1, 2, 1<<20)},
		"exemplars":  {v1, empty(1, 3, 1<<20)},
		"histograms": {v1, empty(1, 4, 1<<20)},
		"metadata":   {v1, slices.Repeat([]byte{3<<3 | bytesType, 3, 2<<3 | bytesType, 1, 'a'}, 1<<20)},
		"symbols":    {v2, slices.Repeat([]byte{4<<3 | bytesType, 0}, 1<<20)},
		"2.0 series": {v2, slices.Repeat([]byte{5<<3 | bytesType, 0}, 1<<20)},
	} {
		d := newDecoder()
		d.most = 4 << 20
		taken := int64(0)
		d.take = func(n int64) error { taken += n; return nil }
		err := d.decode(c.v, c.body)
		require.Error(t, err, name)
		require.Equal(t, 413, ingest.AsError(err).Reason.Status(), name)
		require.Less(t, taken, int64(8<<20), name)
		require.Less(t, cap(d.batch.Times)*8+cap(d.batch.Histograms)*40+cap(d.batch.Runs)*48, 32<<20, name)
	}
	d := newDecoder()
	require.NoError(t, d.decode(v1, packed))
	require.Empty(t, d.batch.Histograms)
	require.Equal(t, ingest.HistogramTooLarge, d.batch.Rejections[0].Reason)
}

func FuzzDecode1(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		b, _ := request1(r).Marshal()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newDecoder()
		err := d.decode(v1, body)
		readAll(d)
		if err != nil {
			return
		}
		var q prompb.WriteRequest
		if q.Unmarshal(body) != nil {
			return // It looks into the labels, which are left alone here until they are needed.
		}
		want, _ := want1(&q)
		require.Len(t, d.batch.Runs, len(want))
		for i := range want {
			pairs, err := d.AppendPairs(nil, i)
			require.NoError(t, err)
			require.Equal(t, want[i].labels, fmt.Sprintf("%q", pairs))
			r := d.batch.Runs[i].Floats
			require.Equal(t, len(want[i].samples), r.Len())
			for j, s := range want[i].samples {
				require.Equal(t, s.t, d.batch.Times[int(r.From)+j])
				require.Equal(t, s.bits, math.Float64bits(d.batch.Values[int(r.From)+j]))
			}
		}
	})
}

func FuzzDecode2(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 20 {
		b, _ := request2(r).Marshal()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newDecoder()
		err := d.decode(v2, body)
		readAll(d)
		if err != nil {
			return
		}
		var q writev2.Request
		if q.Unmarshal(body) != nil {
			return
		}
		require.Len(t, d.batch.Runs, len(q.Timeseries))
		for i, ts := range q.Timeseries {
			r := &d.batch.Runs[i]
			require.Equal(t, len(ts.Samples), r.Floats.Len())
			b := labels.NewScratchBuilder(1)
			if _, err := ts.ToLabels(&b, q.Symbols); err != nil {
				require.Equal(t, ingest.BadSymbol, r.Reason)
			}
			for j, s := range ts.Samples {
				require.Equal(t, s.Timestamp, d.batch.Times[int(r.Floats.From)+j])
			}
		}
	})
}

// readAll looks at everything the batch has.
func readAll(d *decoder) {
	for i := range d.batch.Runs {
		_, _ = d.AppendPairs(nil, i)
	}
	for _, h := range d.batch.Histograms {
		if h.H != nil {
			_ = h.H.Validate()
		} else {
			_ = h.FH.Validate()
		}
	}
}
