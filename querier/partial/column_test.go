package partial

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

var all = []Op{Sum, Avg, Min, Max, Count, Group}

func randomSeries(rng *rand.Rand, steps int) []float64 {
	vs := make([]float64, steps)
	for i := range vs {
		switch rng.IntN(6) {
		case 0:
			vs[i] = Absent
		case 1:
			vs[i] = math.NaN()
		default:
			vs[i] = rng.NormFloat64() * 1e6
		}
	}
	return vs
}

// However series are split between columns, the merged result is that of adding them in one.
func TestMergeIsAdd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const steps = 50
	for range 200 {
		for _, op := range all {
			whole, merged := NewColumn(op, steps), NewColumn(op, steps)
			for range rng.IntN(4) {
				part := NewColumn(op, steps)
				for range rng.IntN(5) {
					vs := randomSeries(rng, steps)
					whole.Add(vs)
					part.Add(vs)
				}
				require.True(t, merged.Merge(part))
			}
			want, ok := whole.Finish()
			require.True(t, ok)
			got, ok := merged.Finish()
			require.True(t, ok)
			for i := range want {
				require.Equal(t, IsAbsent(want[i]), IsAbsent(got[i]))
				if math.IsNaN(want[i]) {
					require.True(t, math.IsNaN(got[i]))
				} else {
					require.InEpsilon(t, 1+math.Abs(want[i]), 1+math.Abs(want[i]-got[i])+math.Abs(want[i]), 1e-12)
				}
			}
		}
	}
}

func TestSumKeepsSmallValues(t *testing.T) {
	a, b := NewColumn(Sum, 1), NewColumn(Sum, 1)
	a.Add([]float64{1e100})
	a.Add([]float64{1})
	b.Add([]float64{1})
	b.Add([]float64{-1e100})
	require.True(t, a.Merge(b))
	got, ok := a.Finish()
	require.True(t, ok)
	require.Equal(t, []float64{2}, got)
}

func TestInfiniteSumsAreRefused(t *testing.T) {
	for _, v := range []float64{math.Inf(1), math.MaxFloat64} {
		a, b := NewColumn(Sum, 1), NewColumn(Sum, 1)
		a.Add([]float64{v})
		b.Add([]float64{v})
		require.False(t, a.Merge(b), "the order decides")
	}
	c := NewColumn(Avg, 1)
	c.Add([]float64{math.MaxFloat64})
	c.Add([]float64{math.MaxFloat64})
	_, ok := c.Finish()
	require.False(t, ok, "the average is within the range of floats")
	c = NewColumn(Sum, 1)
	c.Add([]float64{math.Inf(1)})
	c.Add([]float64{1})
	got, ok := c.Finish()
	require.True(t, ok)
	require.Equal(t, []float64{math.Inf(1)}, got)
}
