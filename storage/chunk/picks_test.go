package chunk

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// requirePicks compares Values with what Decode gives, for picks as dense as it happens.
func requirePicks(t testing.TB, r *rand.Rand, c Chunk, ts []int64, want []float64) (rising bool) {
	t.Helper()
	if c.Enc != Decimal {
		return false
	}
	gotT, err := Timestamps([]int64{7}, c)
	require.NoError(t, err)
	require.Equal(t, ts, gotT[1:])
	got := make([]float64, len(want))
	rising, err = Values(got, c, nil, 0)
	require.NoError(t, err)
	require.Equal(t, bitsOf(want), bitsOf(got))

	at := r.IntN(200)
	picks := make(Picks, (at+len(want))/64+2)
	last := 0
	for i, every := 0, 1+r.IntN(80); i < len(want); i += 1 + r.IntN(every) {
		picks.Set(at + i)
		last = i
	}
	for i := range got {
		got[i] = -1
	}
	sure, err := Values(got, c, picks, at)
	require.NoError(t, err)
	for i := range want {
		if picks.of(at+i, 1) != 0 {
			require.Equal(t, math.Float64bits(want[i]), math.Float64bits(got[i]), "value %d of %d", i, len(want))
		}
	}
	for i := 1; i <= last && (sure || rising); i++ {
		require.True(t, want[i-1] <= want[i], "value %d of %d", i, len(want))
	}
	return sure
}

// TestPicksOfCounters has counters whose steps are packed in all ways.
func TestPicksOfCounters(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	rising := 0
	for range 3000 {
		n, v := 2+r.IntN(500), 0.0
		scale, idle, unit := math.Exp2(r.Float64()*12), r.Float64(), []float64{1, 0.01, 0.001, 4096}[r.IntN(4)]
		vs := make([]float64, n)
		for i := range vs {
			if vs[i] = v * unit; unit < 1 {
				vs[i] = v / (1 / unit)
			}
			if r.Float64() > idle*idle {
				v += math.Round(r.ExpFloat64() * scale)
			}
			if r.IntN(2000) == 0 {
				v = 0
			}
		}
		ts := everyFifteen(n)
		c, _ := EncodeFloats(nil, ts, vs)
		if requirePicks(t, r, c, ts, vs) {
			rising++
		}
	}
	require.Greater(t, rising, 1500)
}

func TestOneAt(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	for i := range 1000 {
		w := r.Uint64()
		if i%2 == 0 {
			w &= r.Uint64() & r.Uint64()
		}
		for n, rest := uint64(1), w; rest != 0; n, rest = n+1, rest&(rest-1) {
			require.Equal(t, bits.TrailingZeros64(rest), oneAt(w, onesUpTo(w), n))
		}
	}
}

func BenchmarkValues(b *testing.B) {
	const n = 480
	for _, every := range []int{1, 4, 20, 60} {
		for _, h := range benchHabits {
			r := rand.New(rand.NewPCG(6, 6))
			vs, v := make([]float64, n), 1000.0
			for i := range vs {
				v = h.make(r, i, v)
				vs[i] = v
			}
			c, _ := EncodeFloats(nil, everyFifteen(n), vs)
			picks := make(Picks, n/64+2)
			for i := 0; i < n; i += every {
				picks.Set(i)
			}
			b.Run(fmt.Sprintf("%s/every=%d", h.name, every), func(b *testing.B) {
				for b.Loop() {
					_, _ = Values(vs, c, picks, 0)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/sample")
			})
		}
	}
}
