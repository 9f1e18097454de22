package frame_test

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

var oddValues = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.1, 1 << 52, 1<<53 - 1, 1 << 53, 1 << 62, 1 << 63, -(1 << 63), 1 << 64,
	math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64,
	math.Float64frombits(value.StaleNaN), math.Float64frombits(value.NormalNaN),
	math.Float64frombits(math.MaxUint64), math.Float64frombits(1 << 63 >> 1),
}

func randomValue(r *rand.Rand) float64 {
	switch r.IntN(4) {
	case 0:
		return oddValues[r.IntN(len(oddValues))]
	case 1:
		return float64(r.Uint64() >> r.IntN(64))
	case 2:
		return math.Round(r.NormFloat64()*1e4) / 100
	}
	return math.Float64frombits(r.Uint64())
}

func randomFloats(r *rand.Rand, n int) []float64 {
	if n == 0 {
		return nil
	}
	vs := make([]float64, n)
	for i := range vs {
		vs[i] = randomValue(r)
	}
	return vs
}

func randomSpans(r *rand.Rand) []histogram.Span {
	var spans []histogram.Span
	for range r.IntN(4) {
		spans = append(spans, histogram.Span{Offset: int32(r.Uint32()), Length: r.Uint32() >> r.IntN(32)})
	}
	return spans
}

func randomInts(r *rand.Rand, n int) []int64 {
	var xs []int64
	for range n {
		xs = append(xs, int64(r.Uint64())>>r.IntN(64))
	}
	return xs
}

func randomHistogram(r *rand.Rand) frame.Histogram {
	h := frame.Histogram{Ref: series.Ref(r.Uint64() >> r.IntN(64)), T: int64(r.Uint64()) >> r.IntN(64), ST: int64(r.Uint64()) >> r.IntN(64)}
	hint := histogram.CounterResetHint(r.IntN(4))
	if r.IntN(2) == 0 {
		h.H = &histogram.Histogram{
			CounterResetHint: hint, Schema: int32(r.Uint32()), ZeroThreshold: randomValue(r), Sum: randomValue(r),
			Count: r.Uint64() >> r.IntN(64), ZeroCount: r.Uint64() >> r.IntN(64),
			PositiveSpans: randomSpans(r), PositiveBuckets: randomInts(r, r.IntN(6)),
			NegativeSpans: randomSpans(r), NegativeBuckets: randomInts(r, r.IntN(3)),
			CustomValues: randomFloats(r, r.IntN(3)),
		}
		return h
	}
	h.FH = &histogram.FloatHistogram{
		CounterResetHint: hint, Schema: int32(r.Uint32()), ZeroThreshold: randomValue(r), Sum: randomValue(r),
		Count: randomValue(r), ZeroCount: randomValue(r),
		PositiveSpans: randomSpans(r), PositiveBuckets: randomFloats(r, r.IntN(6)),
		NegativeSpans: randomSpans(r), NegativeBuckets: randomFloats(r, r.IntN(3)),
		CustomValues: randomFloats(r, r.IntN(3)),
	}
	return h
}

func randomString(r *rand.Rand) string {
	b := make([]byte, r.IntN(20))
	for i := range b {
		b[i] = byte(r.UintN(256))
	}
	return string(b)
}

// randomFrame has each section or not, and in it what no sane sender would send.
func randomFrame(r *rand.Rand) *frame.Frame {
	f := &frame.Frame{}
	size := func() int { return r.IntN(2) * r.IntN(1<<r.IntN(8)) }
	if r.IntN(2) == 0 {
		f.Sender, f.Seq = r.Uint64(), r.Uint64()>>r.IntN(64)
	}
	for range size() {
		f.Series = append(f.Series, frame.SeriesDef{
			Ref: series.Ref(r.Uint64() >> r.IntN(64)), Labels: series.FromStrings("__name__", randomString(r)+"x", "b", "c"),
		})
	}
	withStarts := r.IntN(2) == 0
	ref, t := series.Ref(r.Uint64()), int64(r.Uint64())
	for range size() {
		ref += series.Ref(1 + r.Uint64()>>(r.IntN(8)*8)%3)
		t += int64(r.Uint64()) >> (r.IntN(9) * 8) * int64(r.IntN(2))
		f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, t), append(f.Values, randomValue(r))
		if withStarts {
			f.Starts = append(f.Starts, []int64{0, t, t - 15000, int64(r.Uint64())}[r.IntN(4)])
		}
	}
	for range size() {
		f.Histograms = append(f.Histograms, randomHistogram(r))
	}
	for range size() {
		f.Exemplars = append(f.Exemplars, frame.Exemplar{
			Ref: series.Ref(r.Uint64()), T: int64(r.Uint64()), V: randomValue(r), Labels: series.FromStrings("trace_id", randomString(r)+"x"),
		})
	}
	for range size() {
		f.Metadata = append(f.Metadata, frame.Metadata{Metric: randomString(r), Type: randomString(r), Help: randomString(r), Unit: randomString(r)})
	}
	return f
}

func words(vs ...float64) []uint64 {
	us := make([]uint64, len(vs))
	for i, v := range vs {
		us[i] = math.Float64bits(v)
	}
	return us
}

// byIndex returns the order of the float samples by index.
func byIndex(f *frame.Frame) []int {
	order := make([]int, len(f.Refs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(f.Refs[i].Index(), f.Refs[j].Index()) })
	return order
}

// flat is a frame with all floats as bits, so that NaNs compare, without nil-ness, and with its float
// samples by index.
func flat(f *frame.Frame) any {
	refs, times, values, starts := []series.Ref{}, []int64{}, []uint64{}, []int64{}
	for _, i := range byIndex(f) {
		refs, times, values = append(refs, f.Refs[i]), append(times, f.Times[i]), append(values, math.Float64bits(f.Values[i]))
		if len(f.Starts) > 0 {
			starts = append(starts, f.Starts[i])
		}
	}
	type hist struct {
		ref, t, st, hint, schema any
		fields                   []uint64
		ints                     [2]any
		floats                   [3][]uint64
		pos, neg                 []histogram.Span
	}
	hs := []hist{}
	for _, h := range f.Histograms {
		x := hist{ref: h.Ref, t: h.T, st: h.ST}
		if h.H != nil {
			x.hint, x.schema = h.H.CounterResetHint, h.H.Schema
			x.fields = append(words(h.H.ZeroThreshold, h.H.Sum), h.H.Count, h.H.ZeroCount)
			x.ints = [2]any{h.H.PositiveBuckets, h.H.NegativeBuckets}
			x.floats[2] = words(h.H.CustomValues...)
			x.pos, x.neg = h.H.PositiveSpans, h.H.NegativeSpans
		} else {
			x.hint, x.schema = h.FH.CounterResetHint, h.FH.Schema
			x.fields = words(h.FH.ZeroThreshold, h.FH.Sum, h.FH.Count, h.FH.ZeroCount)
			x.floats = [3][]uint64{words(h.FH.PositiveBuckets...), words(h.FH.NegativeBuckets...), words(h.FH.CustomValues...)}
			x.pos, x.neg = h.FH.PositiveSpans, h.FH.NegativeSpans
		}
		hs = append(hs, x)
	}
	es := []any{}
	for _, e := range f.Exemplars {
		es = append(es, e.Ref, e.T, math.Float64bits(e.V), string(e.Labels))
	}
	defs := []any{}
	for _, d := range f.Series {
		defs = append(defs, d.Ref, string(d.Labels))
	}
	return []any{
		f.Sender, f.Seq, defs, refs, times, values, starts, hs, es, append([]frame.Metadata{}, f.Metadata...),
	}
}

func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var got frame.Frame
	var b []byte
	for range 500 {
		f := randomFrame(r)
		b = frame.AppendEncode(append(b[:0], "front"...), f)
		require.NoError(t, frame.Decode(&got, b[5:]))
		require.Equal(t, flat(f), flat(&got))
	}
}

func TestEmpty(t *testing.T) {
	var f frame.Frame
	b := frame.AppendEncode(nil, &f)
	require.Len(t, b, 3)
	require.NoError(t, frame.Decode(&f, b))
	require.Zero(t, f.Samples())
}

// A frame cut short is noticed, if not where what is left out was compressed to nothing: a run
// has no length.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	var got frame.Frame
	for range 30 {
		f := randomFrame(r)
		b := frame.AppendEncode(nil, f)
		for cut := range b {
			if err := frame.Decode(&got, b[:cut]); err == nil {
				require.Less(t, len(got.Refs), len(f.Refs)+1)
				require.Empty(t, got.Metadata)
			} else {
				require.ErrorIs(t, err, frame.ErrCorrupt)
			}
		}
		b[0] = 9
		require.ErrorIs(t, frame.Decode(&got, b), frame.ErrCorrupt)
	}
}

// TestBombs asks for more than there is: nothing may be allocated for it.
func TestBombs(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<40)
	rest := func(sections ...byte) []byte { return append(append([]byte{2, 0, 0, 0, 0}, sections...), huge...) }
	bombs := map[string][]byte{
		"floats":     append([]byte{2, 0}, huge...),
		"gaps":       append(binary.AppendUvarint([]byte{2, 0}, frame.MaxSamples), 0, 0, 0),
		"series":     rest(),
		"histograms": rest(0),
		"exemplars":  rest(0, 0),
		"metadata":   rest(0, 0, 0),
		"zstd":       {2, 1, 0, 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1},
	}
	for name, b := range bombs {
		t.Run(name, func(t *testing.T) {
			var f frame.Frame
			require.ErrorIs(t, frame.Decode(&f, b), frame.ErrCorrupt)
			require.Less(t, testing.AllocsPerRun(1, func() { _ = frame.Decode(&f, b) }), 20.0)
		})
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 10 {
		f.Add(frame.AppendEncode(nil, randomFrame(r)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var one, two frame.Frame
		if err := frame.Decode(&one, b); err != nil {
			require.ErrorIs(t, err, frame.ErrCorrupt)
			return
		}
		require.NoError(t, frame.Decode(&two, frame.AppendEncode(nil, &one)))
		require.Equal(t, flat(&one), flat(&two))
	})
}
