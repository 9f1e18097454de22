package chunk_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/storagetest"
)

// stretch makes n samples in ascending order from t on, which change kind now and then.
func stretch(r *rand.Rand, t int64, n int, kinds int) []series.Sample {
	kind := r.IntN(kinds)
	counts := map[int]int64{}
	var zeros uint64
	var samples []series.Sample
	for range n {
		s := series.Sample{T: t}
		if r.IntN(25) == 0 {
			kind = r.IntN(kinds)
		}
		if r.IntN(40) == 0 {
			clear(counts)
			zeros = 0
		}
		for range r.IntN(4) {
			counts[r.IntN(12)-4] += int64(r.IntN(5))
		}
		zeros += uint64(r.IntN(3))
		stale := r.IntN(20) == 0
		switch kind {
		case 0, 1:
			s.V = float64(r.IntN(3))
			if stale {
				s.V = math.Float64frombits(value.StaleNaN)
			}
		default:
			h := storagetest.Histogram(counts, zeros, float64(r.IntN(100))/8)
			switch {
			case kind == 3:
				h.CounterResetHint = histogram.GaugeType
			case kind == 4:
				h.Schema = int32(r.IntN(2))
			}
			if stale {
				h.Sum = math.Float64frombits(value.StaleNaN)
			} else if r.IntN(20) == 0 {
				h.Sum = math.Float64frombits(value.NormalNaN)
			}
			if s.H = h; r.IntN(2) == 0 {
				s.H, s.FH = nil, h.ToFloat(nil)
			}
		}
		if r.IntN(30) == 0 || kind == 1 {
			s.ST = t - r.Int64N(100)
		}
		samples = append(samples, s)
		t += 1 + r.Int64N(3)
	}
	return samples
}

func build(t testing.TB, samples []series.Sample) []chunk.Chunk {
	var b chunk.Builder
	for _, s := range samples {
		require.NoError(t, b.Append(s))
	}
	chunks := b.Close(nil)
	require.Zero(t, b.Len())
	total := 0
	for _, c := range chunks {
		require.LessOrEqual(t, c.Samples, chunk.MaxSamples)
		total += c.Samples
	}
	require.Equal(t, len(samples), total)
	return chunks
}

func read(t testing.TB, chunks []chunk.Chunk) []series.Sample {
	var samples []series.Sample
	it := chunk.NewIterator(chunks)
	for it.Next() != chunkenc.ValNone {
		samples = append(samples, it.Sample())
	}
	require.NoError(t, it.Err())
	require.Equal(t, chunkenc.ValNone, it.Next())
	return samples
}

func requireSame(t testing.TB, want, got []series.Sample) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	for i := range want {
		if want[i].T != got[i].T || series.CompareValues(want[i], got[i]) != 0 {
			t.Fatalf("sample %d at %d: want %+v, got %+v", i, want[i].T, want[i], got[i])
		}
	}
}

// resolved is the plain way to join samples.
func resolved(lists ...[]series.Sample) []series.Sample {
	byT := map[int64]series.Sample{}
	for _, list := range lists {
		for _, s := range list {
			if old, ok := byT[s.T]; ok {
				s = series.Resolve(old, s)
			}
			byT[s.T] = s
		}
	}
	var all []series.Sample
	for _, s := range byT {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b series.Sample) int { return cmp.Compare(a.T, b.T) })
	return all
}

func TestBuilderRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 150 {
		samples := stretch(r, r.Int64N(1e12), 1+r.IntN(300), 5)
		requireSame(t, samples, read(t, build(t, samples)))
	}
}

func TestBuilderKeepsItsInput(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 100 {
		samples := stretch(r, 0, 100, 5)
		var copies []series.Sample
		for _, s := range samples {
			if s.H != nil {
				s.H = s.H.Copy()
			}
			if s.FH != nil {
				s.FH = s.FH.Copy()
			}
			copies = append(copies, s)
		}
		build(t, samples)
		for i := range samples {
			if samples[i].H != nil {
				require.True(t, copies[i].H.Equals(samples[i].H))
				require.Equal(t, copies[i].H.PositiveSpans, samples[i].H.PositiveSpans)
			}
			if samples[i].FH != nil {
				require.True(t, copies[i].FH.Equals(samples[i].FH))
			}
		}
	}
}

func TestBuilderResume(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 150 {
		samples := stretch(r, r.Int64N(1e12), 2+r.IntN(200), 5)
		cut := 1 + r.IntN(len(samples)-1)
		var a, b chunk.Builder
		for _, s := range samples[:cut] {
			require.NoError(t, a.Append(s))
		}
		open, _ := a.Open(nil)
		require.Equal(t, a.Len(), open.Samples)
		require.Equal(t, []int64{a.MinT(), a.LastT()}, []int64{open.MinT, open.MaxT})
		require.NoError(t, b.Resume(open))
		require.Equal(t, a.Len(), b.Len())
		for _, s := range samples[cut:] {
			require.NoError(t, b.Append(s))
		}
		requireSame(t, samples, read(t, b.Close(a.Take(nil))))
	}
}

func TestBuilderRefuses(t *testing.T) {
	good := storagetest.Histogram(map[int]int64{0: 1, 1: 2}, 0, 3)
	var b chunk.Builder
	require.NoError(t, b.Append(series.Sample{T: 1, H: good}))
	for name, spoil := range map[string]func(h *histogram.Histogram){
		"spans":   func(h *histogram.Histogram) { h.PositiveSpans = []histogram.Span{{Length: 3}} },
		"buckets": func(h *histogram.Histogram) { h.NegativeBuckets = []int64{1} },
		"schema":  func(h *histogram.Histogram) { h.Schema = 9 },
		"offset": func(h *histogram.Histogram) {
			h.PositiveSpans = []histogram.Span{{Length: 1}, {Offset: -1, Length: 1}}
		},
		"huge": func(h *histogram.Histogram) { h.PositiveSpans = []histogram.Span{{Length: math.MaxUint32}} },
	} {
		t.Run(name, func(t *testing.T) {
			h := good.Copy()
			spoil(h)
			require.Error(t, b.Append(series.Sample{T: 2, H: h}))
			require.Equal(t, 1, b.Len())
		})
	}
}

// overlaid makes several lists of samples whose times overlap, and their chunks.
func overlaid(t testing.TB, r *rand.Rand, kinds int) ([][]series.Sample, []chunk.Chunk) {
	var lists [][]series.Sample
	var chunks []chunk.Chunk
	start := r.Int64N(1000) - 500
	for range 1 + r.IntN(5) {
		list := stretch(r, start+r.Int64N(600), 1+r.IntN(250), kinds)
		lists = append(lists, list)
		built := build(t, list)
		if r.IntN(2) == 0 {
			var err error
			built, err = chunk.Recode(nil, built)
			require.NoError(t, err)
		}
		chunks = append(chunks, built...)
	}
	return lists, chunks
}

func TestIteratorMerges(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	it := chunk.NewIterator(nil)
	for i := range 150 {
		lists, chunks := overlaid(t, r, 1+i%5)
		want := resolved(lists...)
		requireSame(t, want, read(t, chunks))

		// Next and Seek in any mixture.
		it.Reset(chunks)
		at := -1
		for {
			var typ chunkenc.ValueType
			if r.IntN(3) > 0 {
				at++
				typ = it.Next()
			} else {
				target := want[0].T - 5 + r.Int64N(want[len(want)-1].T-want[0].T+10)
				if r.IntN(2) == 0 && at >= 0 {
					target = want[at].T + r.Int64N(10) - 2
				}
				at = max(at, 0)
				for at < len(want) && want[at].T < target {
					at++
				}
				typ = it.Seek(target)
			}
			if at >= len(want) {
				require.Equal(t, chunkenc.ValNone, typ)
				break
			}
			require.True(t, want[at].T == it.AtT() && want[at].ST == it.AtST())
			requireSame(t, want[at:at+1], []series.Sample{it.Sample()})
		}
		require.NoError(t, it.Err())
	}
}

// TestHints holds that "not reset" is only said where the sample before had not more.
func TestHints(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 150 {
		_, chunks := overlaid(t, r, 5)
		var last *histogram.FloatHistogram
		it := chunk.NewIterator(chunks)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			if typ == chunkenc.ValFloat {
				last = nil
				continue
			}
			_, h := it.AtFloatHistogram(nil)
			if h.CounterResetHint == histogram.NotCounterReset {
				require.NotNil(t, last)
				if !value.IsStaleNaN(last.Sum) && !value.IsStaleNaN(h.Sum) {
					asked := h.Copy()
					asked.CounterResetHint = histogram.UnknownCounterReset
					require.False(t, asked.DetectReset(last))
				}
			}
			last = h
		}
		require.NoError(t, it.Err())
	}
}

// TestHintsAfterSeek: in the middle of a chunk that stands alone the chunk's word holds, in one
// that another reaches into it does not.
func TestHintsAfterSeek(t *testing.T) {
	histograms := func(from, step int64) []chunk.Chunk {
		var b chunk.Builder
		for i := range int64(10) {
			h := storagetest.Histogram(map[int]int64{0: i}, 0, 1)
			require.NoError(t, b.Append(series.Sample{T: from + i*step, H: h}))
		}
		return b.Close(nil)
	}
	hint := func(at int64, lists ...[]chunk.Chunk) histogram.CounterResetHint {
		it := chunk.NewIterator(slices.Concat(lists...))
		require.Equal(t, chunkenc.ValHistogram, it.Seek(at))
		return it.Sample().H.CounterResetHint
	}
	one, late, next := histograms(0, 10), histograms(45, 1), histograms(100, 10)
	require.Equal(t, histogram.NotCounterReset, hint(75, one))
	require.Equal(t, histogram.NotCounterReset, hint(75, one, next))
	require.Equal(t, histogram.NotCounterReset, hint(145, one, late, next))
	require.Equal(t, histogram.UnknownCounterReset, hint(55, one, late, next))
	require.Equal(t, histogram.UnknownCounterReset, hint(100, one, late, next))
}

func TestHintsInOneChunk(t *testing.T) {
	var b chunk.Builder
	for i := range 5 {
		require.NoError(t, b.Append(series.Sample{T: int64(i), H: storagetest.Histogram(map[int]int64{0: int64(i)}, 0, 1)}))
	}
	var hints []histogram.CounterResetHint
	for _, s := range read(t, b.Close(nil)) {
		hints = append(hints, s.H.CounterResetHint)
	}
	require.Equal(t, []histogram.CounterResetHint{
		histogram.UnknownCounterReset, histogram.NotCounterReset, histogram.NotCounterReset,
		histogram.NotCounterReset, histogram.NotCounterReset,
	}, hints)
}

// TestIteratorTellsDamage cuts a chunk short. What comes before is served, and then there is an
// error. The library does not always notice when the last bits of a histogram are missing; there
// it must only end well.
func TestIteratorTellsDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for i := range 300 {
		list := stretch(r, 0, 50, 1+i%5)
		chunks := build(t, list)
		i := r.IntN(len(chunks))
		chunks[i].Data = chunks[i].Data[:r.IntN(len(chunks[i].Data)-1)]
		float := chunks[i].Enc == chunk.XOR
		it := chunk.NewIterator(chunks)
		n := 0
		for it.Next() != chunkenc.ValNone {
			if float {
				requireSame(t, list[n:n+1], []series.Sample{it.Sample()})
			}
			n++
		}
		require.LessOrEqual(t, n, len(list))
		if float || it.Err() != nil {
			require.ErrorIs(t, it.Err(), chunk.ErrCorrupt)
		}
		if _, err := chunk.Compact(nil, append(chunks, chunks[i:]...)); err != nil {
			require.ErrorIs(t, err, chunk.ErrCorrupt)
		}
	}
}

func BenchmarkIteratorMerge(b *testing.B) {
	var lists [3]chunk.XORAppender
	for i := range 3 * 120 {
		lists[i%3].Append(int64(i*1000), float64(i))
	}
	chunks := []chunk.Chunk{lists[0].Close(), lists[1].Close(), lists[2].Close()}
	it := chunk.NewIterator(nil)
	b.ReportAllocs()
	for b.Loop() {
		it.Reset(chunks)
		for it.Next() != chunkenc.ValNone {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*360), "ns/sample")
}
