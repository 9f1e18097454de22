package head_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/head"
	"github.com/barograph-db/barograph/storage/series"
)

func TestRefs(t *testing.T) {
	h := head.New(options())
	calls := 0
	log := func(defs []frame.SeriesDef) error {
		calls++
		require.Len(t, defs, 3)
		for _, d := range defs {
			require.Zero(t, h.Find(nil, []series.Labels{d.Labels})[0], "visible before it is logged")
		}
		return nil
	}
	sets := []series.Labels{set(1), set(2), set(1), set(3)}
	refs, err := h.Refs([]series.Ref{7}, sets, log)
	require.NoError(t, err)
	require.Equal(t, series.Ref(7), refs[0])
	require.Equal(t, refs[1], refs[3])
	require.Equal(t, uint32(2), refs[4].Index())
	again, err := h.Refs(nil, sets, log)
	require.NoError(t, err)
	require.Equal(t, refs[1:], again)
	require.Equal(t, 1, calls)
	require.Equal(t, []series.Ref{refs[1], 0}, h.Find(nil, []series.Labels{set(1), set(9)}))
	require.Equal(t, 3, h.Active())
}

func TestRefsLogFails(t *testing.T) {
	h := head.New(options())
	var lost series.Ref
	broken := errors.New("broken")
	_, err := h.Refs(nil, []series.Labels{set(1)}, func(defs []frame.SeriesDef) error {
		lost = defs[0].Ref
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.Zero(t, h.Active())
	require.NotEqual(t, lost, mustRefs(t, h, set(2))[0], "its definition may be in the log")
}

func TestGC(t *testing.T) {
	h := head.New(options())
	refs := mustRefs(t, h, set(0), set(1), set(2))
	require.Empty(t, h.Append(floats(refs[0], 100, 1, refs[1], 5000, 1, refs[2], 100, 1)))
	require.Zero(t, h.GC()+h.GC(), "samples are not flushed")
	h.StartFlush(1000).Done()
	require.Zero(t, h.GC(), "they may come again")
	require.Empty(t, h.Append(floats(refs[2], 150, 1)))
	require.Equal(t, 1, h.GC(), "0 is idle, 1 was not flushed, 2 came again")
	h.StartFlush(1000).Done()
	require.Zero(t, h.GC(), "2 had samples at the last look")
	require.Empty(t, h.Append(floats(refs[2], 160, 1)))
	require.Equal(t, []frame.Rejected{{Index: 0, Reason: frame.UnknownRef}}, h.Append(floats(refs[0], 200, 1)))
	require.Equal(t, 2, h.Active())

	fresh := mustRefs(t, h, set(3), set(0))
	require.Equal(t, refs[0].Index(), fresh[0].Index())
	require.NotEqual(t, refs[0], fresh[0])
	require.Empty(t, h.Append(floats(fresh[0], 300, 3)))
	require.Len(t, h.Append(floats(refs[0], 400, 1)), 1, "the old reference names nothing")
	require.Equal(t, 1.0, float64(len(contents(t, h)[string(set(3))])))
}

func TestRejects(t *testing.T) {
	opts := options()
	opts.OutOfOrderWindow = 100
	h := head.New(opts)
	refs := mustRefs(t, h, set(0), set(1))
	require.Empty(t, h.Append(floats(refs[0], 1000, 1, refs[1], 10, 1)))
	require.Equal(t, []frame.Rejected{
		{Index: 0, Reason: frame.UnknownRef},
		{Index: 2, Reason: frame.TooOld},
		{Index: 4, Reason: frame.UnknownRef},
	}, h.Append(floats(
		series.MakeRef(5, 1), 1, 1, // never given out
		refs[1], 20, 1, // old, but in order
		refs[0], 899, 1, // too old
		refs[0], 900, 1,
		series.MakeRef(1<<30, 1), 1, 1,
	)))
}

func TestDuplicatesAndConflicts(t *testing.T) {
	reg := prometheus.NewRegistry()
	opts := options()
	opts.Registerer = reg
	h := head.New(opts)
	ref := mustRefs(t, h, set(0))[0]
	for i := range 10 {
		require.Empty(t, h.Append(floats(ref, 10*i, i)))
	}
	for i := range 10 { // All of it again, then other values.
		require.Empty(t, h.Append(floats(ref, 10*i, i)))
	}
	require.Equal(t, int64(10), h.Stats().Samples)
	require.Empty(t, h.Append(floats(ref, 90, 8, ref, 90, 10, ref, 50, 1, ref, 55, 1, ref, 55, 2, ref, 55, 1, ref, 55, 2)))
	want := model{}
	for i := range 9 {
		want.add(set(0), series.Sample{T: int64(10 * i), V: float64(i)})
	}
	want.add(set(0), series.Sample{T: 90, V: 10})
	want.add(set(0), series.Sample{T: 55, V: 2})
	requireSame(t, want, contents(t, h))
	require.Equal(t, 11.0, metric(t, reg, "barograph_head_samples_duplicate_total"))
	require.Equal(t, 3.0, metric(t, reg, "barograph_head_samples_conflicting_total"), "the others are found at reading")
}

func metric(t testing.TB, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// What comes twice does not take room twice, also where it is many samples or late ones.
func TestResentSamplesTakeNoRoom(t *testing.T) {
	h := head.New(options())
	ref := mustRefs(t, h, set(0))[0]
	send := func() {
		for at := 900; at >= 0; at -= 100 { // Each hundred is late behind the one before.
			f := &frame.Frame{}
			for i := range 100 {
				f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, int64(at+i)), append(f.Values, float64(i))
			}
			require.Empty(t, h.Append(f))
		}
	}
	send()
	require.Equal(t, int64(1000), h.Stats().Samples)
	for range 5 {
		send()
	}
	require.LessOrEqual(t, h.Stats().Samples, int64(1032), "one buffer may wait to be compared")
	require.LessOrEqual(t, h.Stats().Chunks, int64(20))
}

func TestFarTimes(t *testing.T) {
	h := head.New(head.Options{OutOfOrderWindow: -1})
	ref := mustRefs(t, h, set(0))[0]
	want := model{}
	for _, at := range []int64{0, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1, -1, 1} {
		want.add(set(0), series.Sample{T: at, V: 1})
		require.Empty(t, h.Append(&frame.Frame{Refs: []series.Ref{ref}, Times: []int64{at}, Values: []float64{1}}))
	}
	requireSame(t, want, contents(t, h))
	h.StartFlush(math.MaxInt64).Abort()
	requireSame(t, want, contents(t, h))
}

func TestFigures(t *testing.T) {
	h := head.New(options())
	require.Equal(t, int64(math.MaxInt64), h.OldestSample())
	_, ok := h.MaxTime()
	require.False(t, ok)
	ref := mustRefs(t, h, set(0))[0]
	require.Empty(t, h.Append(floats(ref, 2500, 1, ref, 3500, 1, ref, 700, 1)))
	require.Equal(t, int64(700), h.OldestSample())
	require.Zero(t, h.BytesBefore(999))
	late := h.BytesBefore(1000)
	require.Positive(t, late)
	require.Greater(t, h.BytesBefore(3000), late)
	newest, ok := h.MaxTime()
	require.True(t, ok)
	require.Equal(t, int64(3500), newest)

	f := h.StartFlush(3000)
	require.Equal(t, int64(3500), h.OldestSample())
	require.Zero(t, h.BytesBefore(3000))
	f.Abort()
	require.Equal(t, int64(700), h.OldestSample())
	require.Equal(t, int64(3), h.Stats().Samples)
	h.StartFlush(3000).Done()
	require.Equal(t, int64(1), h.Stats().Samples)
	require.Equal(t, 1, h.IndexStats(1).Series)
}

func exemplar(ref series.Ref, t int64, trace string) frame.Exemplar {
	return frame.Exemplar{Ref: ref, T: t, V: 1, Labels: series.FromStrings("trace", trace)}
}

func TestExemplars(t *testing.T) {
	opts := options()
	opts.MaxExemplars = 4
	h := head.New(opts)
	refs := mustRefs(t, h, set(0), set(1))
	f := floats(refs[0], 1, 1)
	long := ""
	for range 130 {
		long += "x"
	}
	f.Exemplars = []frame.Exemplar{
		exemplar(refs[0], 10, "a"), exemplar(refs[0], 10, "b"), exemplar(refs[1], 5, "c"),
		exemplar(refs[0], 9, "late"), exemplar(refs[0], 11, long), exemplar(99, 1, "unknown"),
	}
	for range 2 {
		require.Equal(t, []frame.Rejected{
			{Index: 4, Reason: frame.TooOld}, {Index: 5, Reason: frame.BadSample}, {Index: 6, Reason: frame.UnknownRef},
		}, clip(h.Append(f)))
	}
	find := func(mint, maxt int64, ms ...string) (out []string) {
		var sets [][]*labels.Matcher
		for _, m := range ms {
			sets = append(sets, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "i", m)})
		}
		found, err := h.Exemplars(mint, maxt, sets...)
		require.NoError(t, err)
		for _, s := range found {
			for _, x := range s.Exemplars {
				out = append(out, fmt.Sprintf("%s:%s", s.Labels.Get("i"), x.Labels.Get("trace")))
			}
		}
		return out
	}
	require.Equal(t, []string{"0:a", "0:b"}, find(0, 20, "0"))
	require.ElementsMatch(t, []string{"0:a", "0:b", "1:c"}, find(0, 20, "0", "1"))
	require.Equal(t, []string{"1:c"}, find(0, 5, "0", "1"))
	h.Append(&frame.Frame{Exemplars: []frame.Exemplar{exemplar(refs[1], 20, "d"), exemplar(refs[1], 21, "e")}})
	require.ElementsMatch(t, []string{"0:b", "1:c", "1:d", "1:e"}, find(0, 30, "0", "1"))
}

// clip drops the rejections of what an earlier call had taken: "a" is older than "b" now.
func clip(rejected []frame.Rejected) []frame.Rejected { return rejected[max(0, len(rejected)-3):] }

func TestMetadata(t *testing.T) {
	opts := options()
	opts.MaxMetadata = 2
	h := head.New(opts)
	put := func(metric, help string) {
		h.Append(&frame.Frame{Metadata: []frame.Metadata{{Metric: metric, Type: "counter", Help: help}}})
	}
	put("a", "1")
	put("b", "1")
	put("a", "2")
	put("c", "1")
	require.Equal(t, []frame.Metadata{
		{Metric: "a", Type: "counter", Help: "2"}, {Metric: "c", Type: "counter", Help: "1"},
	}, h.Metadata())
}

func TestOptions(t *testing.T) {
	var o head.Options
	o.EnsureDefaults()
	require.NoError(t, o.Validate())
	o.SlotMillis = 1 << 40
	require.Error(t, o.Validate())
}
