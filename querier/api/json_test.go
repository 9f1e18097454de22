package api

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	jsoniter "github.com/json-iterator/go"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/jsonutil"
	"github.com/stretchr/testify/require"
)

// library encodes with Prometheus' own functions.
func library(encode func(*jsoniter.Stream)) string {
	s := jsoniter.NewStream(jsoniter.ConfigCompatibleWithStandardLibrary, nil, 64)
	encode(s)
	return string(s.Buffer())
}

// same is a quick require.Equal.
func same(t *testing.T, want string, got []byte) {
	t.Helper()
	if string(got) != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func checkNumbers(t *testing.T, at int64, f float64) {
	t.Helper()
	if at != math.MinInt64 { // The library overflows there.
		same(t, library(func(s *jsoniter.Stream) { jsonutil.MarshalTimestamp(at, s) }), appendTime(nil, at))
	}
	same(t, library(func(s *jsoniter.Stream) { jsonutil.MarshalFloat(f, s) }), appendFloat(nil, f))
}

// TestNumbers holds the encoders to Prometheus', bit by bit.
func TestNumbers(t *testing.T) {
	for _, f := range []float64{0, math.Copysign(0, -1), 1, -1, 1e15, -1e15, 1e15 - 1, 1e21, 1e-6, 9.99e-7, 0.1, math.MaxFloat64, 999999999.999999, 1e9, 0.000001, 123456.5, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 1 << 63, -1 << 63} {
		checkNumbers(t, 0, f)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for unit := uint64(1); unit <= 1e15; unit *= 10 {
		for _, n := range []uint64{unit - 1, unit, unit + 1, 2 * unit} {
			checkNumbers(t, int64(n), float64(n))
			checkNumbers(t, 0, float64(n)/1e6)
		}
	}
	for range 100_000 {
		checkNumbers(t, int64(rng.Uint64())>>rng.IntN(64), math.Float64frombits(rng.Uint64()))
		checkNumbers(t, rng.Int64N(2_000_000)-1_000_000, float64(rng.Int64N(1<<50))/float64(int64(1)<<rng.IntN(30)))
		checkNumbers(t, 0, -float64(rng.Int64N(1<<50)>>rng.IntN(50))/math.Pow10(rng.IntN(8)))
	}
}

// TestPointTimes has more times than are remembered, and each of them twice.
func TestPointTimes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var times pointTimes
	for range 20_000 {
		at := rng.Int64N(2000) - 1000
		if rng.IntN(2) == 0 {
			at = math.MinInt64 + 1 + rng.Int64N(2)
		}
		f := math.Float64frombits(rng.Uint64())
		same(t, string(appendPoint(nil, at, f)), times.appendPoint(nil, at, f))
	}
	for _, f := range []float64{-math.MaxFloat64, -math.SmallestNonzeroFloat64, -123456789012345678901, -1.2345678901234567e-6} {
		point := appendPoint(nil, math.MinInt64+1, f)
		require.Less(t, len(point), maxPoint)
	}
}

func TestHistograms(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		h := randomHistogram(rng)
		require.Equal(t, library(func(s *jsoniter.Stream) { jsonutil.MarshalHistogram(h, s) }), string(appendHistogram(nil, h)))
	}
}

func randomHistogram(rng *rand.Rand) *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{Schema: int32(rng.IntN(8) - 3), Count: rng.Float64() * 100, Sum: rng.NormFloat64(), ZeroThreshold: 1e-4, ZeroCount: float64(rng.IntN(3))}
	side := func() (spans []histogram.Span, counts []float64) {
		for range rng.IntN(3) {
			n := 1 + rng.IntN(3)
			spans = append(spans, histogram.Span{Offset: int32(rng.IntN(4)), Length: uint32(n)})
			for range n {
				counts = append(counts, float64(rng.IntN(4)))
			}
		}
		return spans, counts
	}
	h.PositiveSpans, h.PositiveBuckets = side()
	h.NegativeSpans, h.NegativeBuckets = side()
	return h
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", "a\"b\\c\n\r\t\x00\x1f\x7f", "é世\U0001F600", "\xff\xc3", "<script>&", "\u2028\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := appendString(nil, s)
		var back string
		require.NoError(t, json.Unmarshal(got, &back))
		std, err := json.Marshal(s)
		require.NoError(t, err)
		var want string
		require.NoError(t, json.Unmarshal(std, &want))
		require.Equal(t, want, back)
		require.NotContains(t, string(got), "<")
		require.Equal(t, got, appendString(nil, []byte(s)))
	})
}

func FuzzNumbers(f *testing.F) {
	f.Add(int64(1), 1.5)
	f.Add(int64(-1001), 1e21)
	f.Fuzz(checkNumbers)
}

// benchmarkMatrix has values of three sorts: whole, with few decimals, and with all there are.
func benchmarkMatrix() promql.Matrix {
	m := make(promql.Matrix, 100)
	for i := range m {
		m[i].Metric = labels.FromStrings("__name__", "node_cpu_seconds_total", "cpu", "3", "instance", "host-17:9100", "job", "node", "mode", "system")
		for j := range 1000 {
			m[i].Floats = append(m[i].Floats, promql.FPoint{T: 1_700_000_000_000 + int64(j)*15_000, F: []float64{float64(j * 1021), float64(j) / 8, float64(j) * 0.137}[i%3]})
		}
	}
	return m
}

func BenchmarkMatrix(b *testing.B) {
	m := benchmarkMatrix()
	out := body{times: new(pointTimes)}
	points := 0
	for b.Loop() {
		for i := range m {
			out.buf = appendLabels(out.buf[:0], m[i].Metric)
			for _, p := range m[i].Floats {
				out.buf = out.times.appendPoint(out.buf, p.T, p.F)
			}
			points += len(m[i].Floats)
		}
	}
	b.ReportAllocs()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(points), "ns/point")
}

// BenchmarkMatrixLibrary is how Prometheus encodes the same.
func BenchmarkMatrixLibrary(b *testing.B) {
	m := benchmarkMatrix()
	s := jsoniter.NewStream(jsoniter.ConfigCompatibleWithStandardLibrary, nil, 64<<10)
	points := 0
	for b.Loop() {
		for i := range m {
			s.SetBuffer(s.Buffer()[:0])
			for _, p := range m[i].Floats {
				s.WriteArrayStart()
				jsonutil.MarshalTimestamp(p.T, s)
				s.WriteMore()
				jsonutil.MarshalFloat(p.F, s)
				s.WriteArrayEnd()
			}
			points += len(m[i].Floats)
		}
	}
	b.ReportAllocs()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(points), "ns/point")
}
