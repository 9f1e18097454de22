package gather

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// floats is a frame of samples of series from one on, at a time.
func floats(from, n int, t int64) *frame.Frame {
	f := &frame.Frame{}
	for i := range n {
		f.Refs = append(f.Refs, series.MakeRef(uint32(from+i), 1))
		f.Times, f.Values = append(f.Times, t), append(f.Values, float64(i))
	}
	return f
}

// store takes batches, each when gate says so; nil does at once.
type store struct {
	gate    chan struct{}
	batches [][]int64 // the times in each
}

func (s *store) append(_ context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	s.batches = append(s.batches, slices.Compact(slices.Clone(f.Times)))
	if s.gate != nil {
		<-s.gate
	}
	return nil, nil
}

func taken(wg *sync.WaitGroup) Done {
	wg.Add(1)
	return func([]frame.Rejected, error) func() { return wg.Done }
}

// What comes while a batch is at work is the next one, in order. A frame that comes alone does not wait; four
// wait for the fifth to come back.
func TestGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{})}
		g := New(s.append, Options{})
		var wg sync.WaitGroup
		begin := time.Now()
		for i := range 5 {
			require.NoError(t, g.Add(t.Context(), floats(0, 3, int64(i)), 100, taken(&wg)))
			synctest.Wait()
		}
		require.Zero(t, time.Since(begin))
		require.Len(t, s.batches, 1)
		close(s.gate)
		wg.Wait()
		require.Equal(t, gatherTime, time.Since(begin))
		require.Equal(t, [][]int64{{0}, {1, 2, 3, 4}}, s.batches)
		require.EqualValues(t, 5, testutil.ToFloat64(g.metrics.frames))
		require.EqualValues(t, 2, testutil.ToFloat64(g.metrics.batches))
	})
}

// Where there lately were several frames at once, the next one waits for as many, but not for long, and only
// once.
func TestWaitsForTheCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{})}
		g := New(s.append, Options{})
		var wg sync.WaitGroup
		for i := range 3 {
			require.NoError(t, g.Add(t.Context(), floats(0, 3, int64(i)), 100, taken(&wg)))
			synctest.Wait()
		}
		close(s.gate)
		wg.Wait()
		synctest.Wait()
		s.batches = nil
		for _, want := range []time.Duration{gatherTime, 0} {
			begin := time.Now()
			_, err := g.Append(t.Context(), floats(0, 3, 7))
			require.NoError(t, err)
			require.Equal(t, want, time.Since(begin))
		}
		require.Equal(t, [][]int64{{7}, {7}}, s.batches)
	})
}

// A full batch holds up who adds, until it is taken or he gives up.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{})}
		g := New(s.append, Options{})
		var wg sync.WaitGroup
		add := func(ctx context.Context, t int64) error {
			return g.Add(ctx, floats(0, 3, t), maxBytes, func([]frame.Rejected, error) func() { return wg.Done })
		}
		wg.Add(3)
		require.NoError(t, add(t.Context(), 0))
		synctest.Wait()
		require.NoError(t, add(t.Context(), 1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, add(ctx, 2), context.DeadlineExceeded)
		go func() {
			_ = add(context.WithoutCancel(ctx), 3)
		}()
		synctest.Wait()
		require.Len(t, s.batches, 1)
		require.EqualValues(t, 2, testutil.ToFloat64(g.metrics.waits))
		close(s.gate)
		wg.Wait()
		require.Equal(t, [][]int64{{0}, {1}, {3}}, s.batches)
	})
}

// Append gives up with its context. What is large, or more than floats, goes by itself.
func TestAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{})}
		g := New(s.append, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := g.Append(ctx, floats(0, 3, 1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(s.gate)
		synctest.Wait()
		_, err = g.Append(t.Context(), floats(0, large, 2))
		require.NoError(t, err)
		_, err = g.Append(t.Context(), &frame.Frame{Exemplars: []frame.Exemplar{{Ref: 1}}})
		require.NoError(t, err)
		require.EqualValues(t, 1, testutil.ToFloat64(g.metrics.frames))
	})
}

// An error is one of all frames in the batch.
func TestError(t *testing.T) {
	full := errors.New("full")
	g := New(func(context.Context, *frame.Frame) ([]frame.Rejected, error) { return nil, full }, Options{})
	_, err := g.Append(t.Context(), floats(0, 3, 1))
	require.ErrorIs(t, err, full)
}

// random is a frame of all kinds of elements.
func random(r *rand.Rand) *frame.Frame {
	f := &frame.Frame{}
	ref := func() series.Ref { return series.MakeRef(r.Uint32N(1000), 1) }
	starts := r.IntN(2) == 0
	for range r.IntN(5) {
		f.Refs, f.Times, f.Values = append(f.Refs, ref()), append(f.Times, r.Int64N(100)), append(f.Values, r.Float64())
		if starts {
			f.Starts = append(f.Starts, r.Int64N(100))
		}
	}
	for range r.IntN(3) {
		f.Histograms = append(f.Histograms, frame.Histogram{Ref: ref(), T: r.Int64N(100)})
	}
	for range r.IntN(3) {
		f.Exemplars = append(f.Exemplars, frame.Exemplar{Ref: ref(), T: r.Int64N(100)})
	}
	for range r.IntN(2) {
		f.Metadata = append(f.Metadata, frame.Metadata{Metric: fmt.Sprint(r.IntN(10))})
	}
	return f
}

// elements prints what can be refused of a frame, in its order.
func elements(f *frame.Frame) (all []string) {
	for i, ref := range f.Refs {
		start := int64(0)
		if len(f.Starts) > 0 {
			start = f.Starts[i]
		}
		all = append(all, fmt.Sprint("float ", ref, f.Times[i], f.Values[i], start))
	}
	for _, h := range f.Histograms {
		all = append(all, fmt.Sprint("histogram ", h.Ref, h.T))
	}
	for _, e := range f.Exemplars {
		all = append(all, fmt.Sprint("exemplar ", e.Ref, e.T))
	}
	return all
}

// What is refused of a batch is told to those who had it in their frames, by places there.
func TestRefusals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := &batch{}
	for range 200 {
		var want, got [][]string
		metadata := 0
		for range 1 + r.IntN(6) {
			f := random(r)
			metadata += len(f.Metadata)
			i, own := len(want), elements(f)
			want, got = append(want, nil), append(got, nil)
			b.add(f, 1, func(rejected []frame.Rejected, _ error) func() {
				for _, x := range rejected {
					got[i] = append(got[i], own[x.Index])
				}
				return nil
			})
			want[i] = own
		}
		require.Len(t, b.frame.Metadata, metadata)
		var rejected []frame.Rejected
		refused := map[string]bool{}
		for i, e := range elements(&b.frame) {
			if r.IntN(3) == 0 {
				rejected = append(rejected, frame.Rejected{Index: i, Reason: frame.TooOld})
				refused[e] = true
			}
		}
		b.answer(rejected, nil)
		n := 0
		for i := range want {
			want[i] = slices.DeleteFunc(want[i], func(e string) bool { return !refused[e] })
			if len(want[i]) == 0 {
				want[i] = nil
			}
			n += len(got[i])
		}
		require.Equal(t, len(rejected), n)
		require.Equal(t, want, got)
		b.reset()
		require.Empty(t, elements(&b.frame))
	}
}
