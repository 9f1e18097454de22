package eval

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/partial"
)

// Lines are to the bit those of the plain sums, whatever is known of times and values.
func TestLinesAreThoseOfPlainSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for range 2000 {
		w := randomWork(rng)
		unit, odd := []float64{1, 0.01, 4096, 1e15, 1e305}[rng.IntN(5)], rng.IntN(4) == 0
		for i := range w.values {
			if w.values[i] = math.Round(rng.NormFloat64()*100) * unit; odd && rng.IntN(20) == 0 {
				w.values[i] = []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 5e-324}[rng.IntN(5)]
			}
		}
		if rng.IntN(2) == 0 {
			for i := range w.times {
				w.times[i] = 3*w.times[i] + rng.Int64N(3)
			}
		}
		w.offset = rng.Int64N(10)
		out := make([]float64, len(w.ends))
		w.place()
		predictLinear([]float64{7.5})(w, out)
		for i, got := range out {
			lo, hi := w.lo[i], w.hi[i]
			if hi-lo < 2 {
				require.True(t, partial.IsAbsent(got))
				continue
			}
			seen, same := w.values[lo:hi], true
			for _, v := range seen {
				same = same && v == seen[0]
			}
			if same {
				continue
			}
			slope, at := regress(w.times[lo:hi], seen, w.ends[i]+w.offset)
			want := float64(slope*7.5) + at
			require.True(t, math.Float64bits(want) == math.Float64bits(got) || want != want && got != got, "%v, not %v, of %v", got, want, seen)
		}
	}
}
