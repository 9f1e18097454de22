package chunk

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
)

var oddValues = []float64{
	0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), math.MaxFloat64,
	math.SmallestNonzeroFloat64, math.Float64frombits(value.StaleNaN),
	math.Float64frombits(value.NormalNaN), math.Float64frombits(math.MaxUint64), 0.1, 1e300,
}

// walk makes columns of n samples: regular or odd times, values of one of several habits.
func walk(r *rand.Rand, n int, ascending bool) ([]int64, []float64) {
	ts, vs := make([]int64, n), make([]float64, n)
	t, v := int64(r.Uint64N(1<<41)), float64(r.IntN(1000))
	if r.IntN(8) == 0 {
		t = -t
	}
	step := []int64{1, 1000, 15000, 60000, 1 << 33}[r.IntN(5)]
	timeHabit, valueHabit := r.IntN(4), r.IntN(7)
	for i := range ts {
		ts[i], vs[i] = t, v
		switch timeHabit {
		case 0:
			t += step
		case 1:
			t += step + r.Int64N(min(step, 20))
		case 2:
			t += 1 + int64(r.Uint64()>>(20+r.IntN(44)))
		default:
			if !ascending {
				t = int64(r.Uint64() >> r.IntN(64))
			} else {
				t += 1 + r.Int64N(3)*step
			}
		}
		switch valueHabit {
		case 0:
		case 1:
			v += float64(r.IntN(100))
		case 2:
			v = math.Round(r.NormFloat64()*1e4) / 100
		case 3:
			v = math.Float64frombits(r.Uint64())
		case 4:
			v = oddValues[r.IntN(len(oddValues))]
		case 5:
			v = float64(r.IntN(1e6)) * 0.001
		default:
			if r.IntN(10) == 0 {
				v = r.ExpFloat64()
			}
		}
	}
	return ts, vs
}

func libraryXOR(t testing.TB, ts []int64, vs []float64) []byte {
	c := chunkenc.NewXORChunk()
	app, err := c.Appender()
	require.NoError(t, err)
	for i := range ts {
		app.Append(0, ts[i], vs[i])
	}
	return c.Bytes()
}

func bitsOf(vs []float64) []uint64 {
	us := make([]uint64, len(vs))
	for i, v := range vs {
		us[i] = math.Float64bits(v)
	}
	return us
}

func TestXORBytesEqualLibrary(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(XORAppender{}), uintptr(64))
	r := rand.New(rand.NewPCG(1, 1))
	var dst []byte
	for range 1000 {
		ts, vs := walk(r, 1+r.IntN(200), false)
		var a XORAppender
		for i := range ts {
			a.Append(ts[i], vs[i])
			if r.IntN(40) == 0 {
				var c Chunk
				c, dst = a.Snapshot(dst[:0])
				require.Equal(t, libraryXOR(t, ts[:i+1], vs[:i+1]), c.Data)
				require.Equal(t, a.Size(), len(c.Data))
				require.Equal(t, []int64{ts[0], ts[i]}, []int64{c.MinT, c.MaxT})
			}
		}
		c := a.Close()
		require.Equal(t, libraryXOR(t, ts, vs), c.Data)
		require.Equal(t, Chunk{Enc: XOR, Samples: len(ts), MinT: ts[0], MaxT: ts[len(ts)-1], Data: c.Data}, c)
		require.Zero(t, a)
	}
}

// Runs of any length give what single samples do, and end where these may not go on.
func TestXORAppendRun(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 2000 {
		ts, vs := walk(r, 1+r.IntN(200), r.IntN(4) > 0)
		end := ts[r.IntN(len(ts))] + r.Int64N(2)
		if r.IntN(2) == 0 {
			end = math.MaxInt64
		}
		fits := 1
		for fits < len(ts) && ts[fits] > ts[fits-1] && ts[fits] < end {
			fits++
		}
		if ts[0] >= end {
			fits = 0
		}
		var one, run XORAppender
		for at := 0; ; {
			most := min(at+r.IntN(50), len(ts))
			n := run.AppendRun(ts[at:most], vs[at:most], end)
			for i := range n {
				one.Append(ts[at+i], vs[at+i])
			}
			require.Equal(t, math.Float64bits(one.v), math.Float64bits(run.v))
			without, same := one, run
			without.v, same.v = 0, 0 // A NaN is not equal to itself.
			require.Equal(t, without, same)
			if at += n; at == fits {
				break
			}
			require.Equal(t, most, at, "it ends early")
		}
		require.Zero(t, run.AppendRun(ts[fits:], vs[fits:], end))
	}
}

func TestXORDecode(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 1000 {
		ts, vs := walk(r, 1+r.IntN(200), true)
		var a XORAppender
		for i := range ts {
			a.Append(ts[i], vs[i])
		}
		c := a.Close()
		gotT, gotV, err := Decode(nil, nil, c)
		require.NoError(t, err)
		require.Equal(t, ts, gotT)
		require.Equal(t, bitsOf(vs), bitsOf(gotV))

		for cut := range c.Data { // Each end but the true one is noticed.
			short := c
			short.Data = c.Data[:cut]
			_, _, err := Decode(gotT[:0], gotV[:0], short)
			require.ErrorIs(t, err, ErrCorrupt)
			if len(ts) > 30 {
				break
			}
		}
	}
}

func TestXORResume(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 1000 {
		ts, vs := walk(r, 2+r.IntN(130), true)
		cut := r.IntN(len(ts))
		var a, b XORAppender
		for i := range cut {
			a.Append(ts[i], vs[i])
		}
		c, _ := a.Snapshot(nil)
		if cut == 0 {
			c = Chunk{Enc: XOR, Data: []byte{0, 0}}
		}
		before := bytes.Clone(c.Data)
		require.NoError(t, b.Resume(c))
		for i := cut; i < len(ts); i++ {
			b.Append(ts[i], vs[i])
		}
		require.Equal(t, libraryXOR(t, ts, vs), b.Close().Data)
		require.Equal(t, before, c.Data)
	}
}

func TestXORSnapshotIsStable(t *testing.T) {
	var a XORAppender
	a.Append(10, 1)
	a.Append(20, 2)
	c, _ := a.Snapshot(nil)
	before := bytes.Clone(c.Data)
	for i := range 100 {
		a.Append(int64(30+10*i), float64(i))
	}
	require.Equal(t, before, c.Data)
}

// TestXORWaste holds the memory of open chunks near what they contain.
func TestXORWaste(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	var used, held int
	for range 300 {
		ts, vs := walk(r, MaxSamples, true)
		var a XORAppender
		for i := range ts {
			a.Append(ts[i], vs[i])
			used, held = used+a.Size(), held+a.Allocated()
		}
	}
	require.Less(t, float64(held), 1.2*float64(used))
}

func TestXORFull(t *testing.T) {
	var a XORAppender
	for i := range math.MaxUint16 {
		a.Append(int64(i), 0)
	}
	require.Panics(t, func() { a.Append(math.MaxUint16, 0) })
	ts, _, err := Decode(nil, nil, a.Close())
	require.NoError(t, err)
	require.Len(t, ts, math.MaxUint16)
}

// FuzzXORDecode holds the decoder and the library's to the same answer, and to no panic.
func FuzzXORDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 8 {
		ts, vs := walk(r, 1+r.IntN(40), true)
		f.Add(libraryXOR(f, ts, vs))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 3 {
			return
		}
		c := Chunk{Enc: XOR, Samples: int(b[0])<<8 | int(b[1]), Data: b}
		var ts []int64
		var vs []float64
		lib, err := chunkenc.FromData(chunkenc.EncXOR, b)
		require.NoError(t, err)
		it := lib.Iterator(nil)
		for it.Next() != chunkenc.ValNone {
			at, av := it.At()
			ts, vs = append(ts, at), append(vs, av)
		}
		if len(ts) > 0 {
			c.MinT, c.MaxT = ts[0], ts[len(ts)-1]
		}
		gotT, gotV, err := Decode(nil, nil, c)
		require.LessOrEqual(t, len(gotT), len(ts))
		require.Equal(t, append([]int64{}, ts[:len(gotT)]...), append([]int64{}, gotT...))
		require.Equal(t, bitsOf(vs[:len(gotV)]), bitsOf(gotV))
		if err == nil {
			require.NoError(t, it.Err())
			require.Len(t, gotT, len(ts))
			var a XORAppender
			require.NoError(t, a.Resume(c))
		}
	})
}

func benchColumns(habit func(r *rand.Rand, i int, v float64) float64) ([]int64, []float64) {
	r := rand.New(rand.NewPCG(6, 6))
	ts, vs := make([]int64, MaxSamples), make([]float64, MaxSamples)
	v := 1000.0
	for i := range ts {
		v = habit(r, i, v)
		ts[i], vs[i] = int64(1_700_000_000_000+15000*i), v
	}
	return ts, vs
}

var benchHabits = []struct {
	name string
	make func(r *rand.Rand, i int, v float64) float64
}{
	{"constant", func(_ *rand.Rand, _ int, v float64) float64 { return v }},
	{"counter", func(r *rand.Rand, _ int, v float64) float64 { return v + float64(r.IntN(500)) }},
	{"decimal", func(r *rand.Rand, _ int, _ float64) float64 { return math.Round(r.NormFloat64()*1e3) / 100 }},
	{"mixed", func(r *rand.Rand, i int, v float64) float64 {
		if i%120 < 72 {
			return v
		}
		return v + float64(r.IntN(100))
	}},
}

func BenchmarkXORAppend(b *testing.B) {
	for _, h := range benchHabits {
		b.Run(h.name, func(b *testing.B) {
			ts, vs := benchColumns(h.make)
			b.ReportAllocs()
			for b.Loop() {
				var a XORAppender
				for i := range ts {
					a.Append(ts[i], vs[i])
				}
				a.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ts)), "ns/sample")
		})
	}
}

func BenchmarkXORAppendRun(b *testing.B) {
	for _, h := range benchHabits {
		b.Run(h.name, func(b *testing.B) {
			ts, vs := benchColumns(h.make)
			var a XORAppender
			b.ReportAllocs()
			for b.Loop() {
				a.Reset()
				a.AppendRun(ts, vs, math.MaxInt64)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ts)), "ns/sample")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, h := range benchHabits {
		b.Run(h.name, func(b *testing.B) {
			ts, vs := benchColumns(h.make)
			var a XORAppender
			for i := range ts {
				a.Append(ts[i], vs[i])
			}
			c := a.Close()
			b.ReportAllocs()
			for b.Loop() {
				ts, vs, _ = Decode(ts[:0], vs[:0], c)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ts)), "ns/sample")
		})
	}
}

func BenchmarkIterator(b *testing.B) {
	for _, h := range benchHabits {
		b.Run(h.name, func(b *testing.B) {
			ts, vs := benchColumns(h.make)
			var a XORAppender
			for i := range ts {
				a.Append(ts[i], vs[i])
			}
			chunks := []Chunk{a.Close()}
			it := NewIterator(nil)
			var sum float64
			b.ReportAllocs()
			for b.Loop() {
				it.Reset(chunks)
				var ci chunkenc.Iterator = it
				for ci.Next() != chunkenc.ValNone {
					_, v := ci.At()
					sum += v
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ts)), "ns/sample")
		})
	}
}
