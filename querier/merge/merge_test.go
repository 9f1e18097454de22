package merge_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/querier/merge"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// truth is what sets hold together: for each series the sample at each time.
type truth map[string]map[int64]float64

func (tr truth) times(name string) []int64 { return slices.Sorted(maps.Keys(tr[name])) }

// build makes sets that share series, times and, at those, values; and label sets of all sizes.
func build(t *testing.T, rnd *rand.Rand, sets int) ([]chunk.SeriesSet, truth) {
	tr := truth{}
	var out []chunk.SeriesSet
	for range sets {
		var list []chunk.Series
		for i := range 12 {
			if rnd.IntN(3) == 0 {
				continue
			}
			ls := series.FromStrings("__name__", "m", "i", fmt.Sprint(i), "long", strings.Repeat("x", 50*i))
			s := chunk.Series{Labels: ls, Fingerprint: series.Fingerprint(i / 2)} // Pairs collide.
			if tr[string(ls)] == nil {
				tr[string(ls)] = map[int64]float64{}
			}
			for range rnd.IntN(4) {
				s.Chunks = append(s.Chunks, someChunks(t, rnd, tr[string(ls)])...)
			}
			slices.SortFunc(s.Chunks, func(a, b chunk.Chunk) int { return cmp.Compare(a.MinT, b.MinT) })
			list = append(list, s)
		}
		slices.SortFunc(list, func(a, b chunk.Series) int {
			return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
		})
		out = append(out, queriertest.NewSeriesSet(list...))
	}
	return out, tr
}

func someChunks(t *testing.T, rnd *rand.Rand, into map[int64]float64) []chunk.Chunk {
	var b chunk.Builder
	at := rnd.Int64N(3000)
	for range rnd.IntN(300) {
		at += 1 + rnd.Int64N(10)
		require.NoError(t, b.Append(series.Sample{T: at, V: float64(at * 3)}))
		into[at] = float64(at * 3)
	}
	chunks := b.Close(nil)
	if rnd.IntN(2) == 0 { // As they are after a flush.
		var err error
		chunks, err = chunk.Recode(nil, chunks)
		require.NoError(t, err)
	}
	return chunks
}

func within(times []int64, mint, maxt int64) []int64 {
	return slices.DeleteFunc(times, func(t int64) bool { return t < mint || t > maxt })
}

func TestMergeAgainstNaive(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		sets, tr := build(t, rnd, rnd.IntN(6))
		mint, maxt := rnd.Int64N(2000), 2000+rnd.Int64N(3000)
		sorted := seed%2 == 0
		set := merge.NewSeriesSet(context.Background(), merge.Sets(sets), merge.Options{Mint: mint, Maxt: maxt, Sorted: sorted})
		seen := map[string]bool{}
		var it chunkenc.Iterator
		last := labels.EmptyLabels()
		for set.Next() {
			s := set.At()
			name := string(series.FromLabels(nil, s.Labels()))
			require.Contains(t, tr, name)
			require.False(t, seen[name], "%s comes twice", s.Labels())
			seen[name] = true
			if sorted {
				require.Negative(t, labels.Compare(last, s.Labels()))
				last = s.Labels()
			}
			want := within(tr.times(name), mint, maxt)
			it = s.Iterator(it)
			var got []int64
			for it.Next() != chunkenc.ValNone {
				at, v := it.At()
				require.Equal(t, tr[name][at], v)
				got = append(got, at)
			}
			require.NoError(t, it.Err())
			require.True(t, slices.Equal(want, got))
			requireSeeks(t, rnd, s.Iterator(it), want)
		}
		require.NoError(t, set.Err())
		require.Len(t, seen, len(tr))
	}
}

// requireSeeks walks by random seeks and steps.
func requireSeeks(t *testing.T, rnd *rand.Rand, it chunkenc.Iterator, want []int64) {
	i := -1 // where it stands
	for i < len(want) {
		var typ chunkenc.ValueType
		if rnd.IntN(2) == 0 {
			typ = it.Next()
			i++
		} else {
			to := rnd.Int64N(6000)
			if i >= 0 {
				to = want[i] + rnd.Int64N(200) - 50
			}
			typ = it.Seek(to)
			for i < 0 || i < len(want) && want[i] < to {
				i++
			}
		}
		if i >= len(want) {
			require.Equal(t, chunkenc.ValNone, typ)
			break
		}
		require.Equal(t, chunkenc.ValFloat, typ)
		require.Equal(t, want[i], it.AtT())
		require.Zero(t, it.AtST())
	}
	require.Equal(t, chunkenc.ValNone, it.Next())
	require.Equal(t, chunkenc.ValNone, it.Seek(math.MinInt64))
	require.NoError(t, it.Err())
}

func TestMergeChunksAgainstNaive(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		sets, tr := build(t, rnd, 1+rnd.IntN(4))
		opts := merge.Options{Mint: rnd.Int64N(2000), Maxt: 2000 + rnd.Int64N(3000), WholeChunks: seed%2 == 0}
		set := merge.NewChunkSeriesSet(merge.Sets(sets), opts)
		for set.Next() {
			s := set.At()
			name := string(series.FromLabels(nil, s.Labels()))
			var got []int64
			it := s.Iterator(nil)
			for last := int64(math.MinInt64); it.Next(); {
				m := it.At()
				require.Greater(t, m.MinTime, last, "chunks overlap")
				samples := m.Chunk.Iterator(nil)
				for samples.Next() != chunkenc.ValNone {
					at, v := samples.At()
					require.Equal(t, tr[name][at], v)
					require.GreaterOrEqual(t, at, m.MinTime)
					last = at
					got = append(got, at)
				}
				require.Equal(t, last, m.MaxTime)
			}
			require.NoError(t, it.Err())
			want := tr.times(name)
			if !opts.WholeChunks {
				want = within(want, opts.Mint, opts.Maxt)
			}
			require.Len(t, got, len(want))
			require.True(t, slices.Equal(want, got))
		}
		require.NoError(t, set.Err())
	}
}

// TestCopies takes a chunk that several sets have once, and keeps what only looks like one.
func TestCopies(t *testing.T) {
	var b chunk.Builder
	for i := range int64(5) {
		require.NoError(t, b.Append(series.Sample{T: i, V: 1}))
	}
	same := b.Close(nil)[0]
	other := same
	other.MinT++
	ls := series.FromStrings("a", "b")
	one := func(c ...chunk.Chunk) chunk.SeriesSet {
		return queriertest.NewSeriesSet(chunk.Series{Labels: ls, Chunks: c})
	}
	set := merge.Sets([]chunk.SeriesSet{one(same), one(same), one(same, other)})
	require.True(t, set.Next())
	require.Equal(t, []chunk.Chunk{same, other}, set.At().Chunks)
	require.False(t, set.Next())
	require.NoError(t, set.Err())
}

func TestHistogramsAndStartTimes(t *testing.T) {
	var b chunk.Builder
	h := &histogram.Histogram{Schema: 1, Count: 3, Sum: 2, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []int64{1, 1}}
	require.NoError(t, b.Append(series.Sample{T: 10, ST: 5, V: 1}))
	require.NoError(t, b.Append(series.Sample{T: 20, ST: 5, H: h}))
	require.NoError(t, b.Append(series.Sample{T: 30, FH: h.ToFloat(nil)}))
	ls := series.FromStrings("a", "b")
	chunks := b.Close(nil)
	set := merge.NewSeriesSet(context.Background(), queriertest.NewSeriesSet(chunk.Series{Labels: ls, Chunks: chunks}),
		merge.Options{Mint: 0, Maxt: 100})
	require.True(t, set.Next())
	it := set.At().Iterator(nil)
	require.Equal(t, chunkenc.ValFloat, it.Next())
	require.EqualValues(t, 5, it.AtST())
	require.Equal(t, chunkenc.ValHistogram, it.Next())
	require.EqualValues(t, 5, it.AtST())
	at, got := it.AtHistogram(nil)
	require.EqualValues(t, 20, at)
	require.True(t, h.Equals(got))
	require.Equal(t, chunkenc.ValFloatHistogram, it.Seek(21))
	_, fh := it.AtFloatHistogram(nil)
	require.True(t, h.ToFloat(nil).Equals(fh))
	require.Equal(t, chunkenc.ValNone, it.Next())

	cs := merge.NewChunkSeriesSet(queriertest.NewSeriesSet(chunk.Series{Labels: ls, Chunks: chunks}), merge.Options{Mint: 0, Maxt: 100})
	require.True(t, cs.Next())
	var encs []chunkenc.Encoding
	for ci := cs.At().Iterator(nil); ci.Next(); {
		encs = append(encs, ci.At().Chunk.Encoding())
	}
	require.Equal(t, []chunkenc.Encoding{chunkenc.EncXOR2, chunkenc.EncHistogramST, chunkenc.EncFloatHistogram}, encs)
}

// failing ends with an error after so many series.
type failing struct {
	chunk.SeriesSet
	left   int
	err    error
	closed int
}

func (f *failing) Next() bool {
	f.left--
	return f.left >= 0 && f.SeriesSet.Next()
}

func (f *failing) Err() error {
	if f.left < 0 {
		return f.err
	}
	return nil
}

func (f *failing) Close() error {
	f.closed++
	return f.err
}

func TestMergeStopsAtErrors(t *testing.T) {
	broken := errors.New("broken")
	for after := range 3 {
		sets, _ := build(t, rand.New(rand.NewPCG(9, 9)), 3)
		bad := &failing{SeriesSet: sets[1], left: after, err: broken}
		sets[1] = bad
		set := merge.Sets(sets)
		for set.Next() { // Only the end matters.
		}
		require.ErrorIs(t, set.Err(), broken)
		require.False(t, set.Next())
		require.ErrorIs(t, set.Close(), broken)
		require.Equal(t, 1, bad.closed)
	}
	refused := errors.New("no more")
	set := merge.NewSeriesSet(context.Background(), merge.Sets(nil), merge.Options{Sorted: true})
	require.False(t, set.Next())
	require.NoError(t, set.Err())
	sets, _ := build(t, rand.New(rand.NewPCG(9, 9)), 3)
	set = merge.NewSeriesSet(context.Background(), merge.Sets(sets), merge.Options{
		Sorted: true, Hold: func(chunk.Series) error { return refused },
	})
	require.False(t, set.Next())
	require.ErrorIs(t, set.Err(), refused)
}

func TestIteratorStopsWithContext(t *testing.T) {
	var b chunk.Builder
	const samples = 100_000
	for i := range int64(samples) {
		require.NoError(t, b.Append(series.Sample{T: i, V: 1}))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	set := merge.NewSeriesSet(ctx, queriertest.NewSeriesSet(chunk.Series{Labels: series.FromStrings("a", "b"), Chunks: b.Close(nil)}),
		merge.Options{Mint: 0, Maxt: samples})
	require.True(t, set.Next())
	it := set.At().Iterator(nil)
	read := 0
	for ; it.Next() != chunkenc.ValNone; read++ {
		if read == 1000 {
			cancel()
		}
	}
	require.Less(t, read, 5000)
	require.ErrorIs(t, it.Err(), context.Canceled)
	require.Equal(t, chunkenc.ValNone, it.Seek(samples-1))
}

func BenchmarkIterate(b *testing.B) {
	var cb chunk.Builder
	for i := range int64(12_000) {
		if err := cb.Append(series.Sample{T: i * 15_000, V: float64(i)}); err != nil {
			b.Fatal(err)
		}
	}
	chunks := cb.Close(nil)
	b.ReportAllocs()
	var it chunkenc.Iterator
	for b.Loop() {
		set := merge.NewSeriesSet(context.Background(), queriertest.NewSeriesSet(chunk.Series{Labels: series.FromStrings("a", "b"), Chunks: chunks}),
			merge.Options{Mint: 100, Maxt: math.MaxInt64})
		set.Next()
		it = set.At().Iterator(it)
		for it.Next() != chunkenc.ValNone {
			it.At()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/12_000, "ns/sample")
}

func BenchmarkLabels(b *testing.B) {
	ls := series.FromStrings("__name__", "http_requests_total", "instance", "10.0.0.1:9100", "job", "node", "method", "GET",
		"path", "/api/v1/query_range", "status", "200", "zone", "eu-west-1a")
	b.ReportAllocs()
	for b.Loop() {
		set := merge.NewSeriesSet(context.Background(), queriertest.NewSeriesSet(chunk.Series{Labels: ls}), merge.Options{})
		set.Next()
		if set.At().Labels().Len() != 7 {
			b.Fatal("labels are missing")
		}
	}
}
