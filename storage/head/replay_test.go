package head_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/head"
	"github.com/barograph-db/barograph/storage/series"
)

func define(ref series.Ref, ls series.Labels) *frame.Frame {
	return &frame.Frame{Series: []frame.SeriesDef{{Ref: ref, Labels: ls}}}
}

// replayFrame replays one frame.
func replayFrame(h *head.Head, f *frame.Frame, keep func(int64) bool) error {
	r := h.NewReplay(3)
	defer r.Close()
	return r.Frame(func(into *frame.Frame) error { *into = *f; return nil }, keep)
}

func replay(t testing.TB, h *head.Head, frames ...*frame.Frame) {
	t.Helper()
	r := h.NewReplay(3)
	defer r.Close()
	for _, f := range frames {
		require.NoError(t, r.Frame(func(into *frame.Frame) error { *into = *f; return nil }, nil))
	}
}

// A log is replayed on top of a checkpoint that has part of it; references stay what they were.
func TestReplayTwice(t *testing.T) {
	h := head.New(options())
	var log []*frame.Frame
	sets := []series.Labels{set(0), set(1), set(2), set(3), set(4)}
	refs, err := h.Refs(nil, sets, func(defs []frame.SeriesDef) error {
		log = append(log, &frame.Frame{Series: slices.Clone(defs)})
		return nil
	})
	require.NoError(t, err)
	src := &source{rng: rand.New(rand.NewPCG(7, 7)), now: make([]int64, 5), refs: refs, sets: sets}
	want := model{}
	var checkpoint [][]byte
	for i := range 60 {
		f := src.frame(50, want)
		log = append(log, f)
		require.Empty(t, h.Append(f))
		if i == 40 {
			checkpoint = records(t, h)
		}
	}
	again := head.New(options())
	for _, r := range checkpoint {
		require.NoError(t, again.LoadCheckpoint(r, nil))
	}
	replay(t, again, log...)
	replay(t, again, log...)
	requireSame(t, want, contents(t, again))
	require.Equal(t, refs, again.Find(nil, sets))
	require.Less(t, again.Stats().Samples, h.Stats().Samples*3/2)
}

func TestReplayKeepsWhatIsWanted(t *testing.T) {
	h := head.New(options())
	f := floats(series.MakeRef(0, 1), 900, 1, series.MakeRef(0, 1), 1000, 2, series.MakeRef(0, 1), 1100, 3)
	f.Series = define(series.MakeRef(0, 1), set(0)).Series
	require.NoError(t, replayFrame(h, f, func(at int64) bool { return at >= 1000 }))
	require.Len(t, contents(t, h)[string(set(0))], 2)

	again := head.New(options())
	for _, r := range records(t, h) {
		require.NoError(t, again.LoadCheckpoint(r, func(at int64) bool { return at >= 2000 }))
	}
	require.Empty(t, contents(t, again))
	require.Equal(t, 1, again.Active())
}

// Definitions that contradict what is there: the newer generation is right.
func TestReplayDefinitions(t *testing.T) {
	ref := series.MakeRef
	h := head.New(options())
	replay(t, h, define(ref(3, 1), set(0)), floats(ref(3, 1), 1, 1), define(ref(3, 1), set(0)))

	// The series was forgotten and came again under another reference.
	replay(t, h, define(ref(8, 2), set(0)), floats(ref(8, 2), 2, 2), define(ref(3, 1), set(0)))
	require.Equal(t, []series.Ref{ref(8, 2)}, h.Find(nil, []series.Labels{set(0)}))
	require.Len(t, contents(t, h)[string(set(0))], 2)

	// An index went to another series, though the one before it still has samples.
	replay(t, h, define(ref(8, 3), set(1)), floats(ref(8, 3), 5, 5))
	require.Equal(t, []series.Ref{ref(8, 3)}, h.Find(nil, []series.Labels{set(1)}))
	got := contents(t, h)
	require.Len(t, got[string(set(0))], 2)
	require.Len(t, got[string(set(1))], 1)
	require.Equal(t, 2, h.Active())

	// All in one batch, and an older definition of what is there.
	replay(t, h, &frame.Frame{Series: []frame.SeriesDef{
		{Ref: ref(20, 3), Labels: set(5)},
		{Ref: ref(20, 4), Labels: set(6)},
		{Ref: ref(2, 5), Labels: set(5)},
		{Ref: ref(8, 2), Labels: set(9)},
	}})
	require.Equal(t, []series.Ref{ref(2, 5), ref(20, 4), 0},
		h.Find(nil, []series.Labels{set(5), set(6), set(9)}))

	require.Error(t, replayFrame(h, define(ref(8, 3), set(7)), nil), "one reference, two series")
	require.Error(t, replayFrame(h, define(ref(1<<29, 1), set(7)), nil))
	require.Error(t, replayFrame(h, define(ref(1, 0), set(7)), nil))
	require.Error(t, replayFrame(h, define(ref(1, 1), series.Labels("junk")), nil))
	require.Error(t, replayFrame(h, &frame.Frame{Refs: []series.Ref{1}}, nil))
	require.Equal(t, uint32(6), func() uint32 {
		h.GC()
		h.GC()
		return mustRefs(t, h, set(40))[0].Generation()
	}(), "what a log used is not used again")
}

func TestReplayLargeFrame(t *testing.T) {
	const n = 3000
	f, want := &frame.Frame{}, model{}
	for i := range n {
		f.Series = append(f.Series, frame.SeriesDef{Ref: series.MakeRef(uint32(i), 1), Labels: set(i)})
	}
	for at := range int64(10) {
		for i := range n {
			f.Refs, f.Times, f.Values = append(f.Refs, f.Series[(i*7)%n].Ref), append(f.Times, at), append(f.Values, 1)
			want.add(set(i), series.Sample{T: at, V: 1})
		}
	}
	h := head.New(options())
	replay(t, h, f)
	requireSame(t, want, contents(t, h))
	require.Equal(t, int64(10*n), h.Stats().Samples)
	require.LessOrEqual(t, h.Stats().Chunks, int64(0), "all were in order")
}

// An open chunk goes on after a checkpoint as if there had been no break.
func TestCheckpointContinuesChunks(t *testing.T) {
	h := head.New(options())
	refs := mustRefs(t, h, set(0), set(1))
	other := &head.Head{}
	for i := range 300 {
		if i == 155 {
			other = head.New(options())
			for _, r := range records(t, h) {
				require.NoError(t, other.LoadCheckpoint(r, nil))
			}
		}
		f := floats(refs[0], 3*i, i, refs[1], 3*i+1, i)
		f.Starts = []int64{0, int64(3 * i)}
		f.Exemplars = []frame.Exemplar{exemplar(refs[0], int64(i), "x")}
		f.Metadata = []frame.Metadata{{Metric: fmt.Sprint("m", i)}}
		require.Empty(t, h.Append(f))
		if i >= 155 {
			require.Empty(t, other.Append(f))
		}
	}
	require.Equal(t, selected(t, h, everything()), selected(t, other, everything()))
	require.Equal(t, h.Stats(), other.Stats())
	require.Equal(t, h.Metadata(), other.Metadata())
	want, err := h.Exemplars(0, 1<<40, nil)
	require.NoError(t, err)
	got, err := other.Exemplars(0, 1<<40, nil)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// Full chunks are made smaller; the open one goes on as XOR, also after a checkpoint.
func TestFullChunksAreRecoded(t *testing.T) {
	h := head.New(options())
	ref := mustRefs(t, h, set(0))[0]
	encodings := func(h *head.Head) (out []chunk.Encoding) {
		for _, c := range selected(t, h, everything())[0].Chunks {
			out = append(out, c.Enc)
		}
		return out
	}
	want := []chunk.Encoding{chunk.Decimal, chunk.Decimal, chunk.XOR}
	for i := range 300 {
		require.Empty(t, h.Append(floats(ref, 3*i, i*i%17)))
	}
	require.Equal(t, want, encodings(h))
	again := reload(t, h, rand.New(rand.NewPCG(1, 1)))
	require.Equal(t, want, encodings(again))
	require.Equal(t, contents(t, h), contents(t, again))
	require.Equal(t, h.Stats(), again.Stats())
	for i := 300; i < 330; i++ {
		require.Empty(t, again.Append(floats(ref, 3*i, i)))
	}
	require.Equal(t, want, encodings(again))
	require.Len(t, samples(t, selected(t, again, everything())[0].Chunks), 330)
}

// A replay leaves full chunks to Shrink, which makes of them what appending would have.
func TestShrinkAfterReplay(t *testing.T) {
	h, again := head.New(options()), head.New(options())
	ref := mustRefs(t, h, set(0))[0]
	frames := []*frame.Frame{define(ref, set(0))}
	for i := range 300 {
		f := floats(ref, 3*i, i*i%17)
		require.Empty(t, h.Append(f))
		frames = append(frames, f)
	}
	replay(t, again, frames...)
	require.Equal(t, contents(t, h), contents(t, again))
	chunks := selected(t, again, everything())[0].Chunks
	for _, c := range chunks {
		require.Equal(t, chunk.XOR, c.Enc)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	again.Shrink(canceled)
	require.Equal(t, chunks, selected(t, again, everything())[0].Chunks)

	for range 2 {
		again.Shrink(t.Context())
		require.Equal(t, selected(t, h, everything())[0].Chunks, selected(t, again, everything())[0].Chunks)
		require.Equal(t, h.Stats(), again.Stats())
	}
	require.Len(t, samples(t, chunks), 300, "who has read them still can")
}

// The samples of a series stay in order, be they floats or histograms, and those of no series or no
// page are passed over.
func TestReplayInOrder(t *testing.T) {
	const n, pages = 700, 3
	defs, want := &frame.Frame{}, model{}
	for i := range n {
		defs.Series = append(defs.Series, frame.SeriesDef{Ref: series.MakeRef(uint32(i), 1), Labels: set(i)})
	}
	frames := []*frame.Frame{defs}
	for at := range int64(40) {
		f := &frame.Frame{}
		for i := range n {
			ref, s := defs.Series[(i*(1+2*int(at%2)))%n].Ref, series.Sample{T: at, V: float64(i)}
			if int64(ref.Index())%20 == at/2 {
				s = series.Sample{T: at, H: tsdbutil.GenerateTestHistogram(at)}
				f.Histograms = append(f.Histograms, frame.Histogram{Ref: ref, T: at, H: s.H})
			} else {
				f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, at), append(f.Values, s.V)
			}
			want.add(set(int(ref.Index())), s)
		}
		for _, index := range []uint32{n, pages * 256, 1 << 20} {
			f.Refs, f.Times, f.Values = append(f.Refs, series.MakeRef(index, 1)), append(f.Times, at), append(f.Values, 1)
		}
		frames = append(frames, f)
	}
	h := head.New(options())
	replay(t, h, frames...)
	requireSame(t, want, contents(t, h))
	require.Equal(t, int64(40*n), h.Stats().Samples)
}

func TestCheckpointRecordsAreBounded(t *testing.T) {
	h := head.New(options())
	ref := mustRefs(t, h, set(0))[0]
	rng := rand.New(rand.NewPCG(1, 1))
	f := &frame.Frame{}
	for i := range 150_000 { // More than 1 MB in one series.
		f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, int64(i)), append(f.Values, rng.NormFloat64())
	}
	require.Empty(t, h.Append(f))
	recs := records(t, h)
	require.Greater(t, len(recs), 2)
	for _, r := range recs {
		require.LessOrEqual(t, len(r), head.MaxRecordBytes)
	}
	require.Equal(t, selected(t, h, everything()), selected(t, reload(t, h, rng), everything()))
}

// Appends, selections, flushes, GC and creation at once: no sample is missed by a selection that
// began after it was appended, and none is lost by a flush.
func TestConcurrent(t *testing.T) {
	h := head.New(options())
	const writers, rounds = 3, 150
	want := make([]model, writers)
	flushed := model{}
	var wg, background sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		want[w] = model{}
		wg.Go(func() { write(t, h, w, rounds, want[w]) })
	}
	background.Go(func() { flushUntil(t, h, done, flushed) })
	for range 2 {
		background.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					selected(t, h, everything())
					if err := h.Checkpoint(func([]byte) error { return nil }); err != nil {
						t.Error(err)
					}
					h.Stats()
				}
			}
		})
	}
	wg.Wait()
	close(done)
	background.Wait()
	all := model{}
	for _, m := range want {
		for ls, times := range m {
			all[ls] = times
		}
	}
	for ls, times := range contents(t, h) {
		for _, s := range times {
			flushed.add(series.Labels(ls), s)
		}
	}
	requireSame(t, all, flushed)
}

func write(t *testing.T, h *head.Head, w, rounds int, want model) {
	rng := rand.New(rand.NewPCG(uint64(w), 5))
	for round := range rounds {
		sets := []series.Labels{set(1000*w + round%20), set(1000*w + 30 + round)}
		at := int64(round*40 - rng.IntN(3)*300)
		for sent := false; !sent; {
			refs, err := h.Refs(nil, sets, noLog)
			if err != nil {
				t.Error(err)
				return
			}
			// A series that GC took in between is looked up again, as writers do.
			sent = len(h.Append(&frame.Frame{Refs: refs, Times: []int64{at, at}, Values: []float64{1, 2}})) == 0
		}
		for i, ls := range sets {
			want.add(ls, series.Sample{T: at, V: float64(i + 1)})
		}
	}
}

func flushUntil(t *testing.T, h *head.Head, done chan struct{}, into model) {
	for before := int64(0); ; before += 100 {
		f := h.StartFlush(before)
		err := f.Series(nil, func(s chunk.Series) error { into.addSeries(t, s); return nil })
		if err != nil {
			t.Error(err)
		}
		f.Done()
		h.GC()
		select {
		case <-done:
			return
		default:
		}
	}
}
