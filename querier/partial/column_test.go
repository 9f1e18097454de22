package partial

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

var all = []Op{Sum, Avg, Min, Max, Count, Group, Stddev, Stdvar, TopK, BottomK, Quantile}

func aggregate(op Op, steps int, param float64) *Aggregate {
	a := &Aggregate{Op: op, Steps: steps}
	if op.TakesParam() {
		a.Params = make([]float64, steps)
		for i := range a.Params {
			a.Params[i] = param
		}
	}
	return a
}

// randomSeries has a spread that is not much less than its mean. Of some kinds it has histograms.
func randomSeries(rng *rand.Rand, steps int, nans, histograms bool) Values {
	v := Values{Floats: absent(steps)}
	for i := range v.Floats {
		switch n := rng.IntN(6); {
		case n == 0:
		case n == 1 && nans:
			v.Floats[i] = math.NaN()
		case n == 2 && histograms:
			if v.Histograms == nil {
				v.Histograms = make([]*histogram.FloatHistogram, steps)
			}
			v.Histograms[i] = randomHistogram(rng)
		default:
			v.Floats[i] = rng.NormFloat64() * 1e6
		}
	}
	return v
}

func randomHistogram(rng *rand.Rand) *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{
		Schema: int32(rng.IntN(3)), ZeroThreshold: 0.001, ZeroCount: rng.Float64(), Sum: rng.NormFloat64(),
		PositiveSpans:    []histogram.Span{{Offset: int32(rng.IntN(3)), Length: 2}, {Offset: 1, Length: 1}},
		PositiveBuckets:  []float64{rng.Float64(), rng.Float64() * 1e9, 1},
		CounterResetHint: histogram.CounterResetHint(rng.IntN(4)),
	}
	if rng.IntN(2) == 0 {
		h.NegativeSpans, h.NegativeBuckets = []histogram.Span{{Length: 1}}, []float64{rng.Float64()}
	}
	h.Count = h.ZeroCount + h.PositiveBuckets[0] + h.PositiveBuckets[1] + 1
	return h
}

func name(i int) series.Labels { return series.FromStrings("i", fmt.Sprint(i)) }

// However series are split between columns, the merged result is that of adding them in one.
func TestMergeIsAdd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const steps = 50
	for range 200 {
		for _, op := range all {
			a := aggregate(op, steps, []float64{0.3, 2, 5}[rng.IntN(3)])
			whole, merged, n := a.New(), a.New(), 0
			for range rng.IntN(4) {
				part := a.New()
				for range rng.IntN(5) {
					v := randomSeries(rng, steps, op < Stddev, false)
					whole.Add(name(n), v)
					part.Add(name(n), v)
					n++
				}
				require.True(t, merged.Merge(part))
			}
			want, _, ok := whole.Finish()
			require.True(t, ok)
			got, _, ok := merged.Finish()
			require.True(t, ok)
			requireClose(t, want, got)
		}
	}
}

func requireClose(t *testing.T, want, got []Result) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Labels, got[i].Labels)
		for j, v := range want[i].Floats {
			w := got[i].Floats[j]
			require.Equal(t, IsAbsent(v), IsAbsent(w))
			close := v == w || math.IsNaN(v) && math.IsNaN(w) || math.Abs(v-w) <= 1e-12*max(math.Abs(v), 1)
			require.True(t, close, "%v instead of %v", w, v)
		}
	}
}

func column(op Op, param float64, values ...float64) *Column {
	c := aggregate(op, 1, param).New()
	for i, v := range values {
		c.Add(name(i), Values{Floats: []float64{v}})
	}
	return c
}

func TestSumKeepsSmallValues(t *testing.T) {
	a := column(Sum, 0, 1e100, 1)
	require.True(t, a.Merge(column(Sum, 0, 1, -1e100)))
	got, _, ok := a.Finish()
	require.True(t, ok)
	require.Equal(t, []float64{2}, got[0].Floats)
}

func TestWhatOrderDecidesIsRefused(t *testing.T) {
	for _, v := range []float64{math.Inf(1), math.MaxFloat64} {
		require.False(t, column(Sum, 0, v).Merge(column(Sum, 0, v)))
		require.False(t, column(Stddev, 0, v, 1).Merge(column(Stddev, 0, v, 1)))
	}
	_, _, ok := column(Avg, 0, math.MaxFloat64, math.MaxFloat64).Finish()
	require.False(t, ok, "the average is within the range of floats")
	require.False(t, column(Stdvar, 0, 1e9, 1e9+1).Merge(column(Stdvar, 0, 1e9+2)), "few digits of the variance are right")
	require.True(t, column(Stdvar, 0, 1e9, 1e9).Merge(column(Stdvar, 0, 1e9)), "there is none")

	got, _, ok := column(Sum, 0, math.Inf(1), 1).Finish()
	require.True(t, ok)
	require.Equal(t, []float64{math.Inf(1)}, got[0].Floats)
}

func TestTiesAreRefusedOnlyWhereTheyMatter(t *testing.T) {
	merged := func(op Op, a, b []float64) *Column {
		c := column(op, 2, a...)
		require.True(t, c.Merge(column(op, 2, b...)))
		return c
	}
	for _, tc := range []struct {
		a, b    []float64
		settled bool
	}{
		{[]float64{1, 1, 1}, []float64{3, 2}, true}, // The ties are not among the first.
		{[]float64{3, 1}, []float64{1}, false},
		{[]float64{2, 1}, []float64{}, true},
		{[]float64{1, 1}, []float64{}, false}, // It is the heap's which of them comes first.
		{[]float64{1, 1, 1}, []float64{}, false},
		{[]float64{math.NaN(), 1}, []float64{math.NaN()}, false},
		{[]float64{math.NaN(), 1}, []float64{2}, true},
	} {
		require.Equal(t, tc.settled, merged(TopK, tc.a, tc.b).Settled(), "%v %v", tc.a, tc.b)
	}
	require.True(t, column(TopK, 2, 1, 1, 1).Settled(), "the engine's choice is known")
	require.False(t, merged(BottomK, []float64{1, 2}, []float64{2}).Settled())
}

// Of two columns with the same members in another place, the first values are the same.
func TestTopOrder(t *testing.T) {
	got, _, ok := column(TopK, 3, 1, 4, 2, math.NaN(), 3).Finish()
	require.True(t, ok)
	var order []string
	for _, r := range got {
		order = append(order, string(r.Labels.Get("i")))
	}
	require.Equal(t, []string{"1", "4", "2"}, order)
}

func TestSelectIsSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		vs := make([]float64, 1+rng.IntN(40))
		for i := range vs {
			if vs[i] = float64(rng.IntN(10)); rng.IntN(5) == 0 {
				vs[i] = math.NaN()
			}
		}
		q := rng.Float64()
		want := sortedQuantile(q, vs)
		got := quantile(q, vs)
		require.Equal(t, math.Float64bits(want), math.Float64bits(got))
	}
}

func TestHistogramsWithFloats(t *testing.T) {
	h := Values{Floats: []float64{Absent}, Histograms: []*histogram.FloatHistogram{{Schema: 1, Sum: 2, Count: 1}}}
	f := Values{Floats: []float64{1}}
	for op, want := range map[Op]Notes{Sum: MixedTypes, Avg: MixedTypes, Max: IgnoredHistograms, TopK: IgnoredHistograms, Count: 0} {
		c := aggregate(op, 1, 1).New()
		c.Add(nil, h)
		c.Add(nil, f)
		got, notes, ok := c.Finish()
		require.True(t, ok)
		require.Equal(t, want, notes, op)
		require.Equal(t, want == MixedTypes, IsAbsent(got[0].Floats[0]))
	}
	sum := aggregate(Sum, 1, 0).New()
	sum.Add(nil, h)
	sum.Add(nil, h)
	got, _, ok := sum.Finish()
	require.True(t, ok)
	require.Equal(t, 4.0, got[0].Histograms[0].Sum)
	require.Equal(t, 2.0, h.Histograms[0].Sum, "what is added is not changed")

	custom := Values{Floats: []float64{Absent}, Histograms: []*histogram.FloatHistogram{{Schema: histogram.CustomBucketsSchema}}}
	sum = aggregate(Sum, 1, 0).New()
	sum.Add(nil, h)
	sum.Add(nil, custom)
	_, _, ok = sum.Finish()
	require.False(t, ok, "they can't be added")
}
