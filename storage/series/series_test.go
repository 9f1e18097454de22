package series

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"
)

func TestRef(t *testing.T) {
	r := MakeRef(7, 3)
	require.Equal(t, uint32(7), r.Index())
	require.Equal(t, uint32(3), r.Generation())
	require.Equal(t, MakeRef(math.MaxUint32, math.MaxUint32), Ref(math.MaxUint64))
}

func TestShard(t *testing.T) {
	f := Fingerprint(0xabcd_0000_0000_0001)
	require.Equal(t, Shard(0), f.Shard(0))
	require.Equal(t, Shard(0xab), f.Shard(8))
	require.Equal(t, Shard(0xabcd), f.Shard(16))
	var all *ShardSet
	require.True(t, all.Has(f))
	set := &ShardSet{Bits: 8}
	require.False(t, set.Has(f))
	set.Add(0xab)
	require.True(t, set.Has(f))
	require.False(t, set.Has(f+1<<56))
	one := &ShardSet{}
	one.Add(0)
	require.True(t, one.Has(f))
}

func TestCompare(t *testing.T) {
	a, b := FromStrings("a", "1"), FromStrings("a", "2")
	require.Negative(t, Compare(1, b, 2, a))
	require.Negative(t, Compare(1, a, 1, b))
	require.Zero(t, Compare(1, a, 1, a))
	require.Positive(t, Compare(2, a, 1, b))
}

func TestBetter(t *testing.T) {
	stale := math.Float64frombits(value.StaleNaN)
	nan := math.Float64frombits(value.NormalNaN)
	for _, c := range [][2]float64{{0, stale}, {nan, stale}, {2, 1}, {-1, 1}, {math.Copysign(0, -1), 0}, {nan, math.Inf(1)}} {
		require.True(t, Better(c[0], c[1]), "%v over %v", c[0], c[1])
		require.False(t, Better(c[1], c[0]), "%v over %v", c[1], c[0])
		require.False(t, Better(c[0], c[0]))
	}
}

func someSamples() []Sample {
	stale := math.Float64frombits(value.StaleNaN)
	h := &histogram.Histogram{
		Count: 3, Sum: 1, Schema: 1, ZeroThreshold: 0.5,
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 1}, {Offset: 1, Length: 1}}, PositiveBuckets: []int64{1, 1},
	}
	var hs []*histogram.Histogram
	for _, change := range []func(*histogram.Histogram){
		func(*histogram.Histogram) {},
		func(h *histogram.Histogram) { h.Sum = 2 },
		func(h *histogram.Histogram) { h.Sum = math.Float64frombits(value.NormalNaN) },
		func(h *histogram.Histogram) { h.CounterResetHint = histogram.GaugeType },
		func(h *histogram.Histogram) { h.PositiveSpans[1].Offset = 2 },
		func(h *histogram.Histogram) { h.PositiveBuckets[1] = 2 },
		func(h *histogram.Histogram) { h.PositiveSpans, h.NegativeSpans = h.NegativeSpans, h.PositiveSpans },
		func(h *histogram.Histogram) { h.Schema, h.CustomValues = histogram.CustomBucketsSchema, []float64{1} },
		func(h *histogram.Histogram) { h.Schema, h.CustomValues = histogram.CustomBucketsSchema, []float64{2} },
	} {
		c := h.Copy()
		change(c)
		hs = append(hs, c)
	}
	samples := []Sample{{V: 1}, {V: 1, ST: 5}, {V: 2}, {V: stale}, {V: stale, ST: 3}, {V: math.NaN()}, {V: -1}}
	for _, h := range hs {
		samples = append(samples, Sample{H: h}, Sample{H: h, ST: 7}, Sample{FH: h.ToFloat(nil)})
	}
	return append(samples, Sample{H: &histogram.Histogram{Sum: stale}}, Sample{FH: &histogram.FloatHistogram{Sum: stale}})
}

// TestCompareValues holds that the order is one: whichever way and order samples come in, the same
// one is left.
func TestCompareValues(t *testing.T) {
	samples := someSamples()
	for i, a := range samples {
		for j, b := range samples {
			c := CompareValues(a, b)
			require.Equal(t, -c, CompareValues(b, a))
			require.Equal(t, i == j, c == 0, "%d and %d", i, j)
			for _, d := range samples {
				if c <= 0 && CompareValues(b, d) <= 0 {
					require.LessOrEqual(t, CompareValues(a, d), 0)
				}
			}
		}
	}
	want := samples[0]
	for _, s := range samples {
		want = Resolve(want, s)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		r.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
		got := samples[0]
		for _, s := range samples {
			got = Resolve(s, got)
		}
		require.Zero(t, CompareValues(want, got))
	}
}

func TestResolve(t *testing.T) {
	stale := math.Float64frombits(value.StaleNaN)
	h := &histogram.Histogram{Count: 1, Sum: 1, ZeroCount: 1}
	for name, c := range map[string][2]Sample{
		"value over stale":           {{V: 1}, {V: stale}},
		"float over stale histogram": {{V: 1}, {H: &histogram.Histogram{Sum: stale}}},
		"histogram over float":       {{H: h}, {V: 1}},
		"float histogram over both":  {{FH: h.ToFloat(nil)}, {H: h}},
		"larger bits":                {{V: 2}, {V: 1}},
		"later start":                {{V: 1, ST: 2}, {V: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c[0], Resolve(c[0], c[1]))
			require.Equal(t, c[0], Resolve(c[1], c[0]))
		})
	}
}

// TestCompareIgnoresLayout: empty buckets that are spelled out, and hints other than gauge, say
// nothing.
func TestCompareIgnoresLayout(t *testing.T) {
	a := &histogram.Histogram{
		Count: 2, Sum: 1, PositiveSpans: []histogram.Span{{Length: 1}, {Offset: 2, Length: 1}}, PositiveBuckets: []int64{1, 0},
	}
	b := &histogram.Histogram{
		CounterResetHint: histogram.NotCounterReset, Count: 2, Sum: 1,
		PositiveSpans: []histogram.Span{{Offset: -1, Length: 6}}, PositiveBuckets: []int64{0, 1, -1, 0, 1, -1},
	}
	require.Zero(t, CompareValues(Sample{H: a}, Sample{H: b}))
	require.Zero(t, CompareValues(Sample{FH: a.ToFloat(nil)}, Sample{FH: b.ToFloat(nil)}))
	stale := math.Float64frombits(value.StaleNaN)
	require.Zero(t, CompareValues(Sample{H: &histogram.Histogram{Sum: stale, Count: 3}}, Sample{H: &histogram.Histogram{Sum: stale}}))
}

func TestShardSets(t *testing.T) {
	set := &ShardSet{Bits: 3}
	for _, s := range []Shard{0, 1, 2, 6, 7} {
		set.Add(s)
	}
	all := func(s *ShardSet) []Shard { return slices.Collect(s.All()) }
	require.Equal(t, []Shard{0, 1, 2, 6, 7}, all(set))
	require.Equal(t, 5, set.Len())
	require.True(t, set.Contains(6))
	require.False(t, set.Contains(5))
	require.Equal(t, set, set.Within(3))
	require.Equal(t, []Shard{0, 3}, all(set.Within(2)), "shard 1 is half of what it takes")
	require.Empty(t, all(set.Within(0)))
	require.Equal(t, []Shard{0, 1, 2, 3, 4, 5, 12, 13, 14, 15}, all(set.Within(4)))
	one := &ShardSet{}
	one.Add(0)
	require.Equal(t, 1<<16, one.Within(16).Len())
	for s := range set.All() {
		require.Zero(t, s)
		break
	}
}
