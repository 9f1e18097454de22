package chunk

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

// histogramHabit says what random histograms are like.
type histogramHabit struct {
	floats, gauge, custom, starts bool
	schema                        int32
	wild                          bool // Resets, changes of the layout, stale markers, NaN and infinite sums.
}

// random makes n histograms of one series.
func (o histogramHabit) random(r *rand.Rand, n int) []series.Sample {
	samples := make([]series.Sample, 0, n)
	t, start, counts := int64(1_700_000_000_000), int64(0), make([]int64, 2+r.IntN(10))
	sum := 0.0
	for range n {
		t += 15_000
		if r.IntN(20) == 0 {
			t += int64(r.IntN(5))
		}
		if o.starts && (start == 0 || r.IntN(30) == 0) {
			start = t - 1000
		}
		if o.wild && r.IntN(40) == 0 {
			clear(counts)
			sum = 0
		}
		if o.wild && r.IntN(40) == 0 && len(counts) < 20 {
			counts = append(counts, 0)
		}
		for i := range counts {
			d := int64(r.ExpFloat64() * 5)
			if o.gauge && r.IntN(2) == 0 {
				d = -min(d, counts[i])
			}
			counts[i] += d
			sum += float64(d) * float64(i) * 0.137
		}
		s := series.Sample{T: t, ST: start}
		h := o.histogram(counts, sum)
		if o.wild {
			switch r.IntN(60) {
			case 0:
				h.Sum = math.Float64frombits(value.StaleNaN)
			case 1:
				h.Sum = math.Float64frombits(0x7ff8_0000_0000_1234)
			case 2:
				h.Sum = math.Inf(-1)
			}
		}
		if s.H = h; o.floats {
			s.FH, s.H = h.ToFloat(nil), nil
			if r.IntN(10) == 0 {
				s.FH.Count += 0.1 * r.Float64()
			}
		}
		samples = append(samples, s)
	}
	return samples
}

func (o histogramHabit) histogram(counts []int64, sum float64) *histogram.Histogram {
	h := &histogram.Histogram{Schema: o.schema, ZeroThreshold: 1e-128, Sum: sum}
	if o.gauge {
		h.CounterResetHint = histogram.GaugeType
	}
	side := func(counts []int64) ([]histogram.Span, []int64) {
		var spans []histogram.Span
		var deltas []int64
		below := int64(0)
		for i, c := range counts {
			if i%4 == 0 {
				spans = append(spans, histogram.Span{Offset: int32(i/4) * 2})
			}
			spans[len(spans)-1].Length++
			deltas = append(deltas, c-below)
			h.Count += uint64(c)
			below = c
		}
		return spans, deltas
	}
	if o.custom {
		h.Schema, h.ZeroThreshold = histogram.CustomBucketsSchema, 0
		for i := range counts {
			h.CustomValues = append(h.CustomValues, float64(i)*0.1)
		}
		h.PositiveSpans, h.PositiveBuckets = side(counts[:1])
		if len(counts) > 1 {
			h.PositiveSpans, h.PositiveBuckets = nil, nil
			h.Count = 0
			h.PositiveSpans, h.PositiveBuckets = side(counts)
			h.PositiveSpans = []histogram.Span{{Length: uint32(len(counts))}}
		}
		return h
	}
	h.ZeroCount = uint64(counts[0])
	h.Count = h.ZeroCount
	half := len(counts) / 2
	h.PositiveSpans, h.PositiveBuckets = side(counts[1 : 1+half])
	h.NegativeSpans, h.NegativeBuckets = side(counts[1+half:])
	return h
}

var histogramHabits = map[string]histogramHabit{
	"integer":            {schema: 3},
	"float":              {schema: 8, floats: true},
	"gauge":              {schema: -4, gauge: true, wild: true},
	"float gauge":        {schema: 0, gauge: true, floats: true, wild: true},
	"custom":             {custom: true},
	"float custom, wild": {custom: true, floats: true, wild: true},
	"wild":               {schema: 5, wild: true},
	"starts":             {schema: 1, starts: true},
	"float starts, wild": {schema: 1, starts: true, floats: true, wild: true},
}

func builderChunks(t testing.TB, samples []series.Sample) []Chunk {
	var b Builder
	for _, s := range samples {
		require.NoError(t, b.Append(s))
	}
	return b.Close(nil)
}

// walkHistograms gives what a cursor over each chunk does, in both forms, hints included.
func walkHistograms(t testing.TB, chunks []Chunk) (samples []series.Sample) {
	var cur cursor
	for _, c := range chunks {
		for cur.open(c, math.MinInt64); cur.typ != chunkenc.ValNone; cur.next() {
			s := cur.sample()
			if s.H != nil {
				var fh histogram.FloatHistogram
				_, again := cur.others.AtFloatHistogram(&fh)
				samples = append(samples, series.Sample{T: s.T, FH: again})
				_, again = cur.others.AtFloatHistogram(nil)
				samples = append(samples, series.Sample{T: s.T, FH: again})
			}
			samples = append(samples, s)
		}
		require.NoError(t, cur.err)
	}
	return samples
}

// requireSameHistograms compares every field, floats by their bits.
func requireSameHistograms(t testing.TB, want, got []series.Sample) {
	require.Len(t, got, len(want))
	for i, a := range want {
		b := got[i]
		require.Equal(t, a.H == nil, b.H == nil)
		if a.H != nil {
			require.Equal(t, math.Float64bits(a.H.Sum), math.Float64bits(b.H.Sum))
			x, y := *a.H, *b.H
			x.Sum, y.Sum = 0, 0 // NaN is never equal.
			require.Equal(t, x, y, "sample %d", i)
			continue
		}
		require.Equal(t, math.Float64bits(a.FH.Sum), math.Float64bits(b.FH.Sum))
		x, y := *a.FH, *b.FH
		x.Sum, y.Sum = 0, 0
		require.Equal(t, x, y, "sample %d", i)
		require.Equal(t, [2]int64{a.T, a.ST}, [2]int64{b.T, b.ST})
	}
}

// TestPackedIsTheSame: packed histograms are read as those of the chunks they were made of, and
// unpacked they are the chunks themselves.
func TestPackedIsTheSame(t *testing.T) {
	for name, habit := range histogramHabits {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(6) {
				r := rand.New(rand.NewPCG(seed, 0))
				plain := builderChunks(t, habit.random(r, 1+r.IntN(1000)))
				packed, err := Recode(nil, plain)
				require.NoError(t, err)
				want := walkHistograms(t, plain)
				requireSameHistograms(t, want, walkHistograms(t, packed))

				again, err := Recode(nil, packed)
				require.NoError(t, err)
				requireSameHistograms(t, want, walkHistograms(t, again))

				var back []Chunk
				for _, c := range packed {
					cs, err := ToLibrary(c)
					require.NoError(t, err)
					back = append(back, cs...)
				}
				require.Equal(t, plain, back)
			}
		})
	}
}

// TestPackedJoins: what was packed in pieces is smaller when it is packed again as one.
func TestPackedJoins(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	plain := builderChunks(t, histogramHabit{schema: 3}.random(r, 960))
	var pieces []Chunk
	size := func(chunks []Chunk) (n int) {
		for _, c := range chunks {
			n += len(c.Data)
		}
		return n
	}
	for _, c := range plain {
		pieces = append(pieces, Shrink(c))
		require.Equal(t, Packed, pieces[len(pieces)-1].Enc)
	}
	whole, err := Recode(nil, pieces)
	require.NoError(t, err)
	require.Len(t, whole, 1)
	requireSameHistograms(t, walkHistograms(t, plain), walkHistograms(t, whole))
	t.Logf("bytes a histogram: library %d, packed %d by 120, %d as one", size(plain)/960, size(pieces)/960, size(whole)/960)
	require.Less(t, size(whole), size(pieces))
	require.Less(t, size(pieces), size(plain))
}

// TestPackedBounds: histograms of more buckets than one chunk may have numbers are left as they are,
// and joined only as far as they fit.
func TestPackedBounds(t *testing.T) {
	wide := func(buckets, n int) []series.Sample {
		var samples []series.Sample
		for i := range n {
			h := &histogram.Histogram{
				PositiveSpans: []histogram.Span{{Length: uint32(buckets)}}, PositiveBuckets: make([]int64, buckets),
			}
			h.PositiveBuckets[0], h.Count = int64(i), uint64(i*buckets)
			samples = append(samples, series.Sample{T: int64(i), H: h})
		}
		return samples
	}
	plain := builderChunks(t, wide(1000, 300))
	packed, err := Recode(nil, plain)
	require.NoError(t, err)
	require.Len(t, packed, 3)
	requireSameHistograms(t, walkHistograms(t, plain), walkHistograms(t, packed))

	plain = builderChunks(t, wide(40_000, 6))
	kept, err := Recode(nil, plain)
	require.NoError(t, err)
	require.Equal(t, plain, kept)
}

// FuzzPacked packs random histograms and reads them back.
func FuzzPacked(f *testing.F) {
	for i := range uint8(16) {
		f.Add(uint64(i), uint16(100), int8(3), i)
	}
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, schema int8, habits uint8) {
		if n == 0 || n > 2000 {
			return
		}
		habit := histogramHabit{
			floats: habits&1 != 0, gauge: habits&2 != 0, custom: habits&4 != 0, starts: habits&8 != 0,
			wild: habits&16 != 0, schema: max(-4, min(8, int32(schema))),
		}
		plain := builderChunks(t, habit.random(rand.New(rand.NewPCG(seed, 1)), int(n)))
		packed, err := Recode(nil, plain)
		require.NoError(t, err)
		requireSameHistograms(t, walkHistograms(t, plain), walkHistograms(t, packed))
	})
}

// FuzzPackedDecode reads whatever the bytes make it: never a panic, an error is ErrCorrupt, and the
// samples are as many as promised.
func FuzzPackedDecode(f *testing.F) {
	goldenHistograms(func(_ string, chunks []Chunk) {
		packed, err := Recode(nil, chunks)
		require.NoError(f, err)
		for _, c := range packed {
			f.Add(uint16(c.Samples), c.MinT, c.MaxT, c.Data)
		}
	})
	f.Fuzz(func(t *testing.T, n uint16, mint, maxt int64, b []byte) {
		c := Chunk{Enc: Packed, Samples: int(n), MinT: mint, MaxT: maxt, Data: b}
		it := NewIterator([]Chunk{c})
		read := 0
		for it.Next() != chunkenc.ValNone {
			it.Sample()
			read++
		}
		if it.Err() != nil {
			require.ErrorIs(t, it.Err(), ErrCorrupt)
			return
		}
		require.Equal(t, c.Samples, read)
		if _, err := Recode(nil, []Chunk{c, c}); err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
		}
		_, _ = ToLibrary(c) // Spans may be such as no histogram has.
	})
}
