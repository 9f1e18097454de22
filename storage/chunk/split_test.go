package chunk

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// fullPrecision are habits of values that are no decimals of a few digits, with the most bytes that
// a value of 480 may take.
var fullPrecision = map[string]struct {
	most float64
	next func(r *rand.Rand, i int, v float64) float64
}{
	"random in [0,1)":      {7.0, func(r *rand.Rand, _ int, _ float64) float64 { return r.Float64() }},
	"random, either sign":  {7.1, func(r *rand.Rand, _ int, _ float64) float64 { return r.Float64() - 0.5 }},
	"normal":               {7.1, func(r *rand.Rand, _ int, _ float64) float64 { return r.NormFloat64() }},
	"random float32":       {3.6, func(r *rand.Rand, _ int, _ float64) float64 { return float64(r.Float32() - 0.5) }},
	"random bits":          {8.1, func(r *rand.Rand, _ int, _ float64) float64 { return math.Float64frombits(r.Uint64()) }},
	"sum of CPU seconds":   {5.9, func(r *rand.Rand, _ int, v float64) float64 { return v + 123.456789012345*r.Float64() }},
	"mean of ten":          {6.7, func(r *rand.Rand, _ int, _ float64) float64 { return float64(1000+r.IntN(1000)) / 30 }},
	"rate":                 {7.0, func(r *rand.Rand, _ int, _ float64) float64 { return float64(r.IntN(1e6)) / 299.987 }},
	"exponential, sparse":  {4.0, func(r *rand.Rand, _ int, v float64) float64 { return pick(r.IntN(2) == 0, v, r.ExpFloat64()) }},
	"walk of small steps":  {6.0, func(r *rand.Rand, _ int, v float64) float64 { return math.Abs(v + r.NormFloat64()*1e-3) }},
	"seconds since 1970":   {4.3, func(r *rand.Rand, i int, _ float64) float64 { return 1.7e9 + 15*float64(i) + r.Float64() }},
	"random signed powers": {7.4, func(r *rand.Rand, _ int, _ float64) float64 { return r.NormFloat64() * math.Exp2(float64(r.IntN(8))) }},
}

func pick[T any](a bool, x, y T) T {
	if a {
		return x
	}
	return y
}

func fullColumn(name string, n int) []float64 {
	r := rand.New(rand.NewPCG(1, uint64(len(name))))
	vs := make([]float64, n)
	v := 0.5
	for i := range vs {
		v = fullPrecision[name].next(r, i, v)
		vs[i] = v
	}
	return vs
}

func TestFullPrecision(t *testing.T) {
	ts := everyFifteen(480)
	for name, class := range fullPrecision {
		t.Run(name, func(t *testing.T) {
			vs := fullColumn(name, len(ts))
			c := requireRoundTrip(t, ts, vs)
			var x XORAppender
			for i, v := range vs {
				x.Append(ts[i], v)
			}
			per := float64(len(c.Data)) / float64(len(ts))
			scale := byte(0)
			if c.Enc == Decimal {
				scale = c.Data[1]
			}
			t.Logf("%s of scale %d: %.2f bytes a value, XOR %.2f", c.Enc, scale, per, float64(x.Size())/float64(len(ts)))
			require.LessOrEqual(t, per, class.most)
		})
	}
}

func BenchmarkFullPrecision(b *testing.B) {
	ts := everyFifteen(480)
	for _, name := range []string{"random, either sign", "sum of CPU seconds", "rate"} {
		vs := fullColumn(name, len(ts))
		c, _ := EncodeFloats(nil, ts, vs)
		b.Run(name+"/encode", func(b *testing.B) {
			var buf []byte
			for b.Loop() {
				_, buf = EncodeFloats(buf[:0], ts, vs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ts)), "ns/sample")
		})
		b.Run(name+"/decode", func(b *testing.B) {
			var outT []int64
			var outV []float64
			for b.Loop() {
				outT, outV, _ = Decode(outT[:0], outV[:0], c)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ts)), "ns/sample")
		})
	}
}
