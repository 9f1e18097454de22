package eval

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/chunk"
)

// randomCounter has gaps, resets, stale markers and unsteady times, or not.
func randomCounter(rng *rand.Rand) (ts []int64, vs []float64) {
	t, v, unit := rng.Int64N(1000), 0.0, []float64{1, 100, 0.001}[rng.IntN(3)]
	scale, idle := math.Exp2(rng.Float64()*16), rng.Float64()
	odd, jitter := rng.IntN(3) == 0, rng.IntN(2)*rng.IntN(4)
	for range 2 + rng.IntN(2000) {
		ts, vs = append(ts, t), append(vs, v/unit)
		t += 15 + int64(rng.IntN(jitter+1))
		if rng.Float64() > idle {
			v += math.Round(rng.ExpFloat64() * scale)
		}
		if odd {
			switch rng.IntN(300) {
			case 0:
				v = math.Round(v * rng.Float64())
			case 1:
				vs[len(vs)-1] = partial.Absent
			case 2:
				t += rng.Int64N(1000)
			}
		}
	}
	return ts, vs
}

// What is read by picks is what is read as a whole.
func TestPicksAreEnough(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	picked := 0
	for range 3000 {
		ts, vs := randomCounter(rng)
		var packed, plain []chunk.Chunk
		for from, n := 0, 50+rng.IntN(600); from < len(ts); from += n {
			to := min(from+n, len(ts))
			c, _ := chunk.EncodeFloats(nil, ts[from:to], vs[from:to])
			var a chunk.XORAppender
			for i := from; i < to; i++ {
				a.Append(ts[i], vs[i])
			}
			packed, plain = append(packed, c), append(plain, a.Close())
		}
		last := ts[len(ts)-1]
		g := Grid{Start: rng.Int64N(last/2+1) - 50, Step: 15 * (1 + rng.Int64N(40))}
		if rng.IntN(3) == 0 {
			g.Step += rng.Int64N(15)
		}
		g.Steps = 1 + int((last+100-g.Start)/g.Step)
		f := []*function{
			current, timestamps, rangeFunctions["rate"], rangeFunctions["delta"], rangeFunctions["irate"],
			rangeFunctions["first_over_time"], rangeFunctions["count_over_time"], rangeFunctions["last_over_time"],
		}[rng.IntN(8)]
		x := &Expr{function: f, kernel: f.kernel, window: 15 + rng.Int64N(700), seconds: 1}
		eval := func(chunks []chunk.Chunk) []float64 {
			w := newTestWork(x, g)
			want := want{mint: g.Start - x.window + 1, maxt: g.Start + g.Step*int64(g.Steps-1), stale: f.current}
			require.NoError(t, w.load(chunks, &want))
			out := make([]float64, g.Steps)
			require.NoError(t, w.eval(x, out))
			if len(w.picks) > 0 {
				picked++
			}
			return out
		}
		got, want := eval(packed), eval(plain)
		require.True(t, slices.EqualFunc(want, got, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
			"%v, not %v", got, want)
	}
	require.Greater(t, picked, 1000)
}

// newTestWork is newWork for what has no selector.
func newTestWork(x *Expr, g Grid) *work {
	w := &work{
		lo: make([]int32, g.Steps), hi: make([]int32, g.Steps), ends: make([]int64, g.Steps),
		step: g.Step, window: x.window, seconds: x.seconds,
	}
	for i := range w.ends {
		w.ends[i] = g.Start + int64(i)*g.Step
	}
	return w
}
