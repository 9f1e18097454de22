package chunk

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"
)

func requireRoundTrip(t testing.TB, ts []int64, vs []float64) Chunk {
	t.Helper()
	c, dst := EncodeFloats([]byte("front"), ts, vs)
	require.Equal(t, "front", string(dst[:5]))
	require.Equal(t, Chunk{Enc: c.Enc, Samples: len(ts), MinT: ts[0], MaxT: ts[len(ts)-1], Data: dst[5:]}, c)
	gotT, gotV, err := Decode([]int64{7}, []float64{7}, c)
	require.NoError(t, err)
	require.Equal(t, ts, gotT[1:])
	require.Equal(t, bitsOf(vs), bitsOf(gotV[1:]))
	requirePicks(t, rand.New(rand.NewPCG(5, uint64(len(ts)))), c, ts, vs)
	return c
}

func TestDecimalRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		n := 1 + r.IntN(300)
		if r.IntN(50) == 0 {
			n = 1 + r.IntN(MaxDecimalSamples)
		}
		ts, vs := walk(r, n, true)
		if r.IntN(3) == 0 {
			for range 1 + r.IntN(5) {
				vs[r.IntN(n)] = oddValues[r.IntN(len(oddValues))]
			}
		}
		c := requireRoundTrip(t, ts, vs)
		for range 5 { // Each end but the true one is noticed.
			short := c
			short.Data = c.Data[:r.IntN(len(c.Data))]
			_, _, err := Decode(nil, nil, short)
			require.ErrorIs(t, err, ErrCorrupt)
		}
	}
}

func everyFifteen(n int) []int64 {
	ts := make([]int64, n)
	for i := range ts {
		ts[i] = 1_700_000_000_000 + 15_000*int64(i)
	}
	return ts
}

// TestDecimalSizes says how many bytes columns of each habit may take.
func TestDecimalSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	const n = 480
	n0 := 1e6
	stale := math.Float64frombits(value.StaleNaN)
	for _, c := range []struct {
		name string
		most int
		next func(i int) float64
	}{
		{"zero", 3, func(int) float64 { return 0 }},
		{"minus zero", 12, func(int) float64 { return math.Copysign(0, -1) }},
		{"stale", 12, func(int) float64 { return stale }},
		{"line", 6, func(i int) float64 { return 7 * float64(i) }},
		{"bytes", n*5/8 + 40, func(int) float64 { return 1<<30 + 4096*float64(r.IntN(32)) }},
		{"bits", n/8 + 30, func(int) float64 { return float64(r.IntN(2)) }},
		{"hundredths", n*7/8 + 40, func(int) float64 { return float64(5000+r.IntN(128)) / 100 }},
		{"milliseconds", n*7/8 + 40, func(int) float64 { return float64(18000+r.IntN(128)) * 0.001 }},
		{"counter", n*7/8 + 40, func(int) float64 { n0 += float64(r.IntN(128)); return n0 }},
		{"reset", n*7/8 + 50, func(i int) float64 {
			if n0 += float64(r.IntN(128)); i == 200 {
				n0 = 0
			}
			return n0
		}},
		{"stale markers", n*7/8 + 70, func(i int) float64 {
			if i%50 == 3 {
				return stale
			}
			return float64(r.IntN(128))
		}},
		{"few fractions", n*3/8 + 90, func(i int) float64 {
			if i%200 == 3 {
				return math.Pi
			}
			return float64(r.IntN(8))
		}},
		{"float32", n*27/8 + 50, func(int) float64 { return float64(1 + r.Float32()/2) }},
		{"full precision", n*53/8 + 60, func(int) float64 { return 1 + r.Float64() }},
		{"seldom", n*2/8 + 20, func(i int) float64 { return math.Sqrt(float64(i / 100)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			vs := make([]float64, n)
			for i := range vs {
				vs[i] = c.next(i)
			}
			got := requireRoundTrip(t, everyFifteen(n), vs)
			require.Equal(t, Decimal, got.Enc)
			require.LessOrEqual(t, len(got.Data), c.most)
			t.Log(len(got.Data), "bytes,", float64(len(got.Data))*8/n, "bits a sample, scale", got.Data[1])
		})
	}
}

// FuzzDecimal encodes whatever bits there are, as floats at times that ascend.
func FuzzDecimal(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 12 {
		ts, vs := walk(r, 1+r.IntN(150), true)
		var b []byte
		for i := range ts {
			b = binary.LittleEndian.AppendUint64(b, uint64(ts[i]-ts[max(i, 1)-1]))
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(vs[i]))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var ts []int64
		var vs []float64
		at := int64(math.MinInt64)
		for ; len(b) >= 16 && len(ts) < MaxDecimalSamples; b = b[16:] {
			if step := binary.LittleEndian.Uint64(b) >> 1; len(ts) == 0 {
				at += int64(step)
			} else if at += 1 + int64(step); at <= ts[len(ts)-1] {
				break
			}
			ts = append(ts, at)
			vs = append(vs, math.Float64frombits(binary.LittleEndian.Uint64(b[8:])))
		}
		if len(ts) > 0 && ts[len(ts)-1]-ts[0] >= 0 {
			requireRoundTrip(t, ts, vs)
		}
	})
}

// FuzzDecimalDecode reads whatever the bytes make it: never a panic, and what decodes is encoded
// to the same samples.
func FuzzDecimalDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 12 {
		ts, vs := walk(r, 1+r.IntN(150), true)
		c, _ := EncodeFloats(nil, ts, vs)
		f.Add(uint16(c.Samples), c.MinT, c.MaxT, c.Data)
	}
	goldenColumns(func(_ string, ts []int64, vs []float64) {
		c, _ := EncodeFloats(nil, ts, vs)
		f.Add(uint16(c.Samples), c.MinT, c.MaxT, c.Data)
	})
	f.Fuzz(func(t *testing.T, n uint16, mint, maxt int64, b []byte) {
		c := Chunk{Enc: Decimal, Samples: int(n), MinT: mint, MaxT: maxt, Data: b}
		ts, vs, err := Decode(nil, nil, c)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			require.Empty(t, ts)
			require.Empty(t, vs)
			if c.Samples < 1<<12 { // Nor does what is not asked for matter.
				_, _ = Values(make([]float64, c.Samples), c, make(Picks, c.Samples/64+2), 0)
			}
			return
		}
		require.Len(t, ts, c.Samples)
		requireRoundTrip(t, ts, vs)
	})
}

func BenchmarkDecimal(b *testing.B) {
	for _, n := range []int{MaxSamples, 480} {
		for _, h := range benchHabits {
			r := rand.New(rand.NewPCG(6, 6))
			ts, vs, v := everyFifteen(n), make([]float64, n), 1000.0
			for i := range ts {
				v = h.make(r, i, v)
				vs[i] = v
			}
			c, dst := EncodeFloats(nil, ts, vs)
			perSample := func(b *testing.B) {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/sample")
			}
			b.Run(fmt.Sprintf("encode/%s/%d", h.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, dst = EncodeFloats(dst[:0], ts, vs)
				}
				perSample(b)
			})
			b.Run(fmt.Sprintf("decode/%s/%d", h.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					ts, vs, _ = Decode(ts[:0], vs[:0], c)
				}
				b.ReportMetric(float64(len(c.Data))/float64(n), "B/sample")
				perSample(b)
			})
		}
	}
}
