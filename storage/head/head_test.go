package head_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/head"
	"github.com/barograph-db/barograph/storage/series"
)

const slot = 1000 // ms; short, so that tests meet many

func options() head.Options { return head.Options{OutOfOrderWindow: -1, SlotMillis: slot} }

func noLog([]frame.SeriesDef) error { return nil }

func mustRefs(t testing.TB, h *head.Head, sets ...series.Labels) []series.Ref {
	t.Helper()
	refs, err := h.Refs(nil, sets, noLog)
	require.NoError(t, err)
	require.Len(t, refs, len(sets))
	return refs
}

func set(i int) series.Labels {
	return series.FromStrings("__name__", fmt.Sprint("m", i%7), "i", fmt.Sprint(i), "job", "test")
}

func floats(samples ...any) *frame.Frame { // ref, t, v, ...
	f := &frame.Frame{}
	for ; len(samples) > 0; samples = samples[3:] {
		f.Refs = append(f.Refs, samples[0].(series.Ref))
		f.Times = append(f.Times, int64(samples[1].(int)))
		f.Values = append(f.Values, float64(samples[2].(int)))
	}
	return f
}

func everything() series.Selector {
	return series.Selector{Mint: math.MinInt64, Maxt: math.MaxInt64}
}

func selected(t testing.TB, h *head.Head, sel series.Selector) []chunk.Series {
	t.Helper()
	found, err := h.Select(sel)
	require.NoError(t, err)
	require.True(t, slices.IsSortedFunc(found, func(a, b chunk.Series) int {
		return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
	}))
	for _, s := range found {
		require.Equal(t, s.Labels.Fingerprint(), s.Fingerprint)
		require.True(t, slices.IsSortedFunc(s.Chunks, func(a, b chunk.Chunk) int { return int(a.MinT - b.MinT) }))
		for _, c := range s.Chunks {
			requireOneSlot(t, c)
		}
	}
	return found
}

func requireOneSlot(t testing.TB, c chunk.Chunk) {
	t.Helper()
	floor := func(t int64) int64 { return int64(math.Floor(float64(t) / slot)) }
	if floor(c.MinT) != floor(c.MaxT) {
		t.Fatalf("chunk from %d to %d is not within a slot", c.MinT, c.MaxT)
	}
}

func samples(t testing.TB, chunks []chunk.Chunk) (out []series.Sample) {
	t.Helper()
	it := chunk.NewIterator(slices.Clone(chunks))
	for it.Next() != chunkenc.ValNone {
		out = append(out, it.Sample())
	}
	require.NoError(t, it.Err())
	return out
}

// model is what was appended: for each series the sample that wins at each time.
type model map[string]map[int64]series.Sample

func (m model) add(ls series.Labels, s series.Sample) {
	if m[string(ls)] == nil {
		m[string(ls)] = map[int64]series.Sample{}
	}
	if old, ok := m[string(ls)][s.T]; ok {
		s = series.Resolve(old, s)
	}
	m[string(ls)][s.T] = s
}

func (m model) addSeries(t testing.TB, s chunk.Series) {
	for _, x := range samples(t, s.Chunks) {
		m.add(s.Labels, x)
	}
}

func requireSame(t testing.TB, want, got model) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	for ls, times := range want {
		require.Equal(t, len(times), len(got[ls]), "samples of %s", series.Labels(ls))
		for at, s := range times {
			if g, ok := got[ls][at]; !ok || series.CompareValues(s, g) != 0 {
				t.Fatalf("%s at %d: %v (%t), not %v", series.Labels(ls), at, g, ok, s)
			}
		}
	}
}

// contents of the head as a model.
func contents(t testing.TB, h *head.Head) model {
	m := model{}
	for _, s := range selected(t, h, everything()) {
		m.addSeries(t, s)
	}
	return m
}

// source makes random samples for series, mostly in order.
type source struct {
	rng  *rand.Rand
	now  []int64
	refs []series.Ref
	sets []series.Labels
}

func newSource(t testing.TB, h *head.Head, seed uint64, n int) *source {
	s := &source{rng: rand.New(rand.NewPCG(seed, 1))}
	for i := range n {
		s.sets = append(s.sets, set(i))
		s.now = append(s.now, s.rng.Int64N(3*slot)-slot)
	}
	s.refs = mustRefs(t, h, s.sets...)
	return s
}

func (s *source) frame(n int, into model) *frame.Frame {
	f := &frame.Frame{}
	for range n {
		i := s.rng.IntN(len(s.refs))
		x := series.Sample{T: s.time(i), V: float64(s.rng.IntN(4))}
		switch i % 5 {
		case 3: // Start timestamps at times.
			if s.rng.IntN(3) > 0 {
				x.ST = x.T - 1 - s.rng.Int64N(50)
			}
		case 4:
			x.V = 0
			if s.rng.IntN(2) == 0 || i%2 == 0 {
				x.H = tsdbutil.GenerateTestHistogram(s.rng.Int64N(3))
			} else {
				x.FH = tsdbutil.GenerateTestFloatHistogram(s.rng.Int64N(3))
			}
			if s.rng.IntN(10) == 0 {
				x.H, x.FH = &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}, nil
			}
		default:
			if s.rng.IntN(20) == 0 {
				x.V = math.Float64frombits(value.StaleNaN)
			}
		}
		into.add(s.sets[i], x)
		if x.H != nil || x.FH != nil {
			f.Histograms = append(f.Histograms, frame.Histogram{Ref: s.refs[i], T: x.T, ST: x.ST, H: x.H, FH: x.FH})
			continue
		}
		f.Refs, f.Times, f.Values = append(f.Refs, s.refs[i]), append(f.Times, x.T), append(f.Values, x.V)
		f.Starts = append(f.Starts, x.ST)
	}
	return f
}

func (s *source) time(i int) int64 {
	switch s.rng.IntN(10) {
	case 0:
		return s.now[i] - s.rng.Int64N(2*slot)
	case 1:
		return s.now[i]
	case 2:
		s.now[i] += s.rng.Int64N(slot)
	default:
		s.now[i] += 1 + s.rng.Int64N(20)
	}
	return s.now[i]
}

func TestRandomAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := head.New(options())
			src := newSource(t, h, seed, 40)
			want, flushed := model{}, model{}
			for step := range 120 {
				require.Empty(t, h.Append(src.frame(1+src.rng.IntN(200), want)))
				if step%10 == 3 {
					flushSome(t, h, src, want, flushed)
				}
				if step%10 == 7 {
					h = reload(t, h, src.rng)
				}
				if step%6 == 0 {
					got := contents(t, h)
					for ls, times := range flushed {
						for _, s := range times {
							got.add(series.Labels(ls), s)
						}
					}
					requireSame(t, want, got)
				}
			}
			f := h.StartFlush(math.MaxInt64)
			f.Done()
			require.Empty(t, contents(t, h))
			require.Zero(t, h.Stats().Samples)
			require.Zero(t, h.Stats().Chunks)
			require.Equal(t, int64(math.MaxInt64), h.OldestSample())
			require.Zero(t, h.GC())
			require.Equal(t, 40, h.GC())
			require.Zero(t, h.Active())
		})
	}
}

// flushSome flushes what is before some time into a model, or tries to and gives up.
func flushSome(t *testing.T, h *head.Head, src *source, want, flushed model) {
	before := src.now[src.rng.IntN(len(src.now))] - src.rng.Int64N(slot)
	if src.rng.IntN(2) == 0 {
		before = before / slot * slot
	}
	f := h.StartFlush(before)
	require.Empty(t, h.Append(src.frame(100, want)))
	taken := model{}
	require.NoError(t, f.Series(nil, func(s chunk.Series) error {
		for _, c := range s.Chunks {
			requireOneSlot(t, c)
			require.Less(t, c.MaxT, before)
		}
		taken.addSeries(t, s)
		return nil
	}))
	if src.rng.IntN(3) == 0 {
		f.Abort()
		return
	}
	f.Done()
	for ls, times := range taken {
		for _, s := range times {
			flushed.add(series.Labels(ls), s)
		}
	}
}

// records returns a checkpoint.
func records(t testing.TB, h *head.Head) (out [][]byte) {
	t.Helper()
	require.NoError(t, h.Checkpoint(func(record []byte) error {
		out = append(out, slices.Clone(record))
		return nil
	}))
	return out
}

// reload takes the head through a checkpoint whose records come in any order.
func reload(t testing.TB, h *head.Head, rng *rand.Rand) *head.Head {
	t.Helper()
	recs := records(t, h)
	rng.Shuffle(len(recs), func(i, j int) { recs[i], recs[j] = recs[j], recs[i] })
	again := head.New(options())
	for _, r := range recs {
		require.NoError(t, again.LoadCheckpoint(r, nil))
	}
	require.Equal(t, h.Stats().Series, again.Stats().Series)
	want, _ := h.MaxTime()
	got, _ := again.MaxTime()
	require.LessOrEqual(t, got, want)
	return again
}

func TestSelect(t *testing.T) {
	h := head.New(options())
	refs := mustRefs(t, h, set(0), set(1), set(2))
	require.Empty(t, h.Append(floats(refs[0], 10, 1, refs[0], 1500, 2, refs[1], 2500, 3)))

	sel := func(mint, maxt int64, ms ...*labels.Matcher) (out []string) {
		for _, s := range selected(t, h, series.Selector{Mint: mint, Maxt: maxt, Matchers: ms}) {
			out = append(out, fmt.Sprint(string(s.Labels.Get("i")), ":", len(s.Chunks)))
		}
		slices.Sort(out)
		return out
	}
	require.Equal(t, []string{"0:2", "1:1"}, sel(0, 5000))
	require.Equal(t, []string{"0:1"}, sel(0, 1499))
	require.Equal(t, []string{"0:1"}, sel(11, 1500))
	require.Empty(t, sel(11, 1499))
	require.Equal(t, []string{"1:1"}, sel(0, 5000, labels.MustNewMatcher(labels.MatchRegexp, "i", "[12]")))

	found := selected(t, h, series.Selector{Maxt: 5000, SkipChunks: true, Limit: 1})
	require.Len(t, found, 1)
	require.Empty(t, found[0].Chunks)

	var shards series.ShardSet
	shards.Bits = 16
	shards.Add(set(1).Fingerprint().Shard(16))
	found = selected(t, h, series.Selector{Maxt: 5000, Shards: &shards})
	require.Len(t, found, 1)
	require.Equal(t, set(1), found[0].Labels)

	taken := int64(0)
	_, err := h.Select(series.Selector{Maxt: 5000, Take: func(n int64) error { taken += n; return nil }})
	require.NoError(t, err)
	require.Greater(t, taken, int64(100))
	_, err = h.Select(series.Selector{Maxt: 5000, Take: func(int64) error { return errEnough }})
	require.ErrorIs(t, err, errEnough)

	names, err := h.LabelNames(series.Selector{})
	require.NoError(t, err)
	require.Equal(t, []string{"__name__", "i", "job"}, names)
	values, err := h.LabelValues("i", series.Selector{Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m1")}})
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, values)
}

var errEnough = fmt.Errorf("enough")
