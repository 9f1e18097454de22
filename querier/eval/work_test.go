package eval

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomWork has samples at even distances and steps that are a multiple of these, or nearly so.
func randomWork(rng *rand.Rand) *work {
	distance := 1 + rng.Int64N(20)
	n, steps := rng.IntN(40), 1+rng.IntN(30)
	w := &work{
		lo: make([]int32, steps), hi: make([]int32, steps), ends: make([]int64, steps),
		step: distance * (1 + rng.Int64N(3)), window: 1 + rng.Int64N(100),
	}
	if rng.IntN(8) == 0 {
		w.step++
	}
	t, end := rng.Int64N(300), rng.Int64N(300)
	for range n {
		w.times, w.values = append(w.times, t), append(w.values, math.Round(rng.NormFloat64()*100)/10)
		if t += distance; rng.IntN(200) == 0 {
			t++
		}
	}
	for i := range w.ends {
		w.ends[i] = end + int64(i)*w.step
	}
	return w
}

func TestEvenWindowsAreThoseOfEach(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	even := 0
	for range 4_000 {
		w := randomWork(rng)
		if !w.placeEvenly() {
			continue
		}
		even++
		lo, hi := append([]int32{}, w.lo...), append([]int32{}, w.hi...)
		w.placeEach()
		for i := range lo {
			require.Equal(t, w.hi[i]-w.lo[i], hi[i]-lo[i], "%d samples, step %d of %+v", len(w.times), i, w)
			if hi[i] > lo[i] {
				require.Equal(t, w.lo[i], lo[i])
			}
		}
		s, each := w.even, *w
		each.measure(0, len(w.ends))
		w.place()
		require.Equal(t, []int64{each.seen, each.fresh, int64(each.widest)}, []int64{w.seen, w.fresh, int64(w.widest)})
		for i := s.from + 1; i < s.to; i++ {
			require.EqualValues(t, s.stride, lo[i]-lo[i-1])
			require.EqualValues(t, s.stride, hi[i]-hi[i-1])
		}
		require.True(t, s.from == 0 || lo[s.from-1] == 0, "the stretch begins late")
		require.True(t, s.to == len(hi) || hi[s.to] == int32(len(w.times)), "the stretch ends early")
	}
	require.Greater(t, even, 2_000)
}

// Kernels that slide give what is computed from each window by itself.
func TestSlidingIsEachWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 1_000 {
		w := randomWork(rng)
		for i := range w.values {
			switch rng.IntN(100) {
			case 0:
				w.values[i] = math.NaN()
			case 1:
				w.values[i] *= 1e17
			}
		}
		w.place()
		for name, plain := range map[string]func(vs []float64) float64{
			"sum_over_time": add, "avg_over_time": mean, "min_over_time": least, "max_over_time": most,
		} {
			got, want := make([]float64, len(w.ends)), make([]float64, len(w.ends))
			rangeFunctions[name].kernel(w, got)
			windowed(1, plain)(w, want)
			for i := range want {
				if math.IsNaN(want[i]) {
					require.True(t, math.IsNaN(got[i]))
				} else {
					require.LessOrEqual(t, math.Abs(want[i]-got[i]), 1e-14*math.Abs(want[i]), "%s of %v", name, w.values[w.lo[i]:w.hi[i]])
				}
			}
		}
	}
}

func least(vs []float64) float64 {
	v := vs[0]
	for _, next := range vs {
		if next < v || math.IsNaN(v) {
			v = next
		}
	}
	return v
}

func most(vs []float64) float64 {
	v := vs[0]
	for _, next := range vs {
		if next > v || math.IsNaN(v) {
			v = next
		}
	}
	return v
}
