package chunk

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// shapes make columns that differ in what suits them: how many digits, which sign, where the outliers are.
var shapes = []func(rng *rand.Rand) float64{
	func(rng *rand.Rand) float64 { return float64(rng.IntN(1000)-500) / 7 },
	func(rng *rand.Rand) float64 { return math.Float64frombits(rng.Uint64()) },
	func(rng *rand.Rand) float64 { return float64(rng.IntN(1000) - 500) },
	func(rng *rand.Rand) float64 { return float64(int64(rng.Uint64())) },
	func(rng *rand.Rand) float64 { return math.Round(rng.ExpFloat64()*1000) / 100 },
	func(rng *rand.Rand) float64 { return rng.NormFloat64() * math.Pow(10, float64(rng.IntN(20)-10)) },
	func(rng *rand.Rand) float64 {
		return []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(-1), 5}[rng.IntN(5)]
	},
}

// Columns of all shapes, mixed at random and summed up or not, come back to the bit.
func TestShapesAreExact(t *testing.T) {
	columns := 50_000
	if testing.Short() {
		columns = 5_000
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var ts []int64
	var vs, got []float64
	var data []byte
	for range columns {
		main, other := shapes[rng.IntN(len(shapes))], shapes[rng.IntN(len(shapes))]
		mixed, summed := rng.IntN(3) == 0, rng.IntN(3) == 0
		ts, vs = ts[:0], vs[:0]
		for i := range 1 + rng.IntN(130) {
			v := main(rng)
			if mixed && rng.IntN(12) == 0 {
				v = other(rng)
			}
			if summed && i > 0 {
				v += vs[i-1]
			}
			ts, vs = append(ts, int64(i)*1000+rng.Int64N(2)), append(vs, v)
		}
		var c Chunk
		c, data = EncodeFloats(data[:0], ts, vs)
		gotT, gotV, err := Decode(nil, got[:0], c)
		require.NoError(t, err, "%v", vs)
		got = gotV
		require.Equal(t, ts, gotT)
		for i, v := range vs {
			if math.Float64bits(v) != math.Float64bits(got[i]) {
				t.Fatalf("%v came back as %v in %v", v, got[i], vs)
			}
		}
	}
}

// A patch may be for an integer that is great only because it is negative.
func TestPatchOfSmallNegative(t *testing.T) {
	vs := []float64{-28.285714285714285, 24.571428571428573, 46, -48.42857142857143, -0.8571428571428571}
	c, _ := EncodeFloats(nil, []int64{0, 1000, 2000, 3000, 4000}, vs)
	_, got, err := Decode(nil, nil, c)
	require.NoError(t, err)
	require.Equal(t, vs, got)
}
