package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// row is a sample at t of each of n series from first on.
func row(first, n int, t int64) *frame.Frame {
	f := &frame.Frame{}
	for i := range n {
		f.Refs = append(f.Refs, series.MakeRef(uint32(first+i), 1))
		f.Times, f.Values = append(f.Times, t), append(f.Values, float64(i))
	}
	return f
}

// outcome waits for the Done that it makes.
type outcome struct {
	ch       chan struct{}
	rejected []frame.Rejected
	err      error
}

func newOutcome() *outcome { return &outcome{ch: make(chan struct{})} }

func (o *outcome) done(rejected []frame.Rejected, err error) {
	o.rejected, o.err = rejected, err
	close(o.ch)
}

func (o *outcome) wait() error {
	<-o.ch
	return o.err
}

// send sends f and waits for its end.
func (h *harness) once(t *testing.T, f *frame.Frame) ([]frame.Rejected, error) {
	t.Helper()
	o := newOutcome()
	require.NoError(t, h.sender.Send(f, o.done))
	err := o.wait()
	return o.rejected, err
}

// started is start that waits until the stream is up.
func started(t *testing.T, o Options, ro ReceiverOptions, store *fakeStore, fault func(conn, way int, msg []byte) bool) *harness {
	h := start(t, o, ro, store, fault)
	synctest.Wait()
	return h
}

// Labels go over a stream once, and are asked for once.
func TestLabelsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		reg := prometheus.NewPedanticRegistry()
		o := Options{Registerer: reg, Labels: func(ref series.Ref) series.Labels {
			asked.Add(1)
			return labelsOf(ref)
		}}
		h := started(t, o, ReceiverOptions{}, newFakeStore(false), nil)
		for i := range 10 {
			_, err := h.once(t, row(0, 100+i, int64(i)))
			require.NoError(t, err)
		}
		require.EqualValues(t, 109, asked.Load())
		require.EqualValues(t, 109, testutil.ToFloat64(h.sender.metrics.definitions))
		h.connections()[0].sever()
		synctest.Wait()
		time.Sleep(5 * time.Second)
		_, err := h.once(t, row(50, 10, 1))
		require.NoError(t, err)
		require.EqualValues(t, 119, asked.Load(), "the new stream knows nothing")
	})
}

// A series that the store has forgotten is defined again without the caller's knowledge, and only its
// samples are repeated. A new generation of an index is another series.
func TestForgottenSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(true)
		h := started(t, Options{}, ReceiverOptions{}, store, nil)
		_, err := h.once(t, row(0, 100, 1))
		require.NoError(t, err)
		store.forget(func(n int) bool { return n%10 == 3 })
		f := row(0, 100, 7) // Times that the store refuses.
		f.Times[3], f.Times[4], f.Times[5] = 10, 11, 12
		slices.Reverse(f.Refs)
		slices.Reverse(f.Times)
		rejected, err := h.once(t, f)
		require.NoError(t, err)
		require.Len(t, rejected, 97)
		for _, r := range rejected {
			require.EqualValues(t, 7, f.Times[r.Index])
		}
		require.Equal(t, 3, store.mu.frames, "the second one came twice")
		require.EqualValues(t, 110, testutil.ToFloat64(h.sender.metrics.definitions))
		f = &frame.Frame{Refs: []series.Ref{series.MakeRef(5, 2), series.MakeRef(5, 1)}, Times: []int64{20, 20}, Values: []float64{2, 1}}
		_, err = h.once(t, f)
		require.NoError(t, err)
		for _, ref := range f.Refs {
			require.Contains(t, store.mu.samples[string(labelsOf(ref))], fmt.Sprintf("float 20 0 %x", map[uint32]uint64{1: 0x3ff0000000000000, 2: 0x4000000000000000}[ref.Generation()]))
		}
	})
}

// A store that forgets a series faster than it is defined ends the tries.
func TestTriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(true)
		store.append = func(context.Context, *frame.Frame) error {
			store.forget(func(int) bool { return true })
			return nil
		}
		h := started(t, Options{}, ReceiverOptions{}, store, nil)
		_, err := h.once(t, row(0, 3, 1))
		require.ErrorIs(t, err, ErrTries)
		require.Equal(t, maxTries, store.mu.frames)
	})
}

// What the sender's own table has forgotten is unknown to the caller, and the rest is sent.
func TestLostLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(true)
		o := Options{Labels: func(ref series.Ref) series.Labels {
			if ref.Index()%2 == 1 {
				return nil
			}
			return labelsOf(ref)
		}}
		h := started(t, o, ReceiverOptions{}, store, nil)
		f := row(0, 4, 1)
		f.Exemplars = []frame.Exemplar{{Ref: series.MakeRef(3, 1), T: 1}, {Ref: series.MakeRef(2, 1), T: 1}, {T: 1}}
		rejected, err := h.once(t, f)
		require.NoError(t, err)
		require.Equal(t, []frame.Rejected{
			{Index: 1, Reason: frame.UnknownRef},
			{Index: 3, Reason: frame.UnknownRef},
			{Index: 4, Reason: frame.UnknownRef},
			{Index: 6, Reason: frame.UnknownRef},
		}, rejected)
		require.Equal(t, map[string]int{"float 1 0 0": 1}, store.mu.samples[string(labelsOf(series.MakeRef(0, 1)))])
		rejected, err = h.once(t, row(1, 1, 1))
		require.NoError(t, err)
		require.Len(t, rejected, 1)
		require.Equal(t, 1, store.mu.frames, "nothing was left to send")
	})
}

// An error of the store is the frame's, and the stream lives on, also where series could not be made.
func TestStoreErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk is full")
		var failing atomic.Bool
		store := newFakeStore(true)
		store.append = func(context.Context, *frame.Frame) error {
			if failing.Load() {
				return full
			}
			return nil
		}
		ro := ReceiverOptions{Code: func(err error) Code {
			if errors.Is(err, full) {
				return Full
			}
			return Unavailable
		}}
		h := started(t, Options{}, ro, store, nil)
		store.refs = func() error { return store.append(t.Context(), nil) }
		for i := range 3 {
			failing.Store(true)
			for _, f := range []*frame.Frame{row(i*5, 5, 1), row(100+i, 1, 1)} {
				_, err := h.once(t, f)
				var refused *RefusedError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, Full, refused.Code)
				require.Contains(t, refused.Error(), "disk is full")
			}
			failing.Store(false)
			_, err := h.once(t, row(i*5, 5, 1))
			require.NoError(t, err)
		}
		require.Len(t, h.connections(), 1)
	})
}

// A frame that is too large for a message goes in parts, and is done once.
func TestLargeFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(false)
		h := started(t, Options{MaxBytes: 1 << 20}, ReceiverOptions{}, store, nil)
		f := row(0, 100_000, 1)
		for i := range 3000 {
			f.Histograms = append(f.Histograms, frame.Histogram{Ref: series.MakeRef(uint32(i), 1), T: 2, H: randomHistogram(newRand(1))})
		}
		f.Exemplars = append(f.Exemplars, frame.Exemplar{Ref: series.MakeRef(1<<27, 1), T: 3})
		f.Metadata = append(f.Metadata, frame.Metadata{Metric: "m"})
		_, err := h.once(t, f)
		require.ErrorIs(t, err, ErrTooLarge, "the exemplar's index")
		f.Exemplars[0].Ref = series.MakeRef(1, 1)
		rejected, err := h.once(t, f)
		require.NoError(t, err)
		require.Empty(t, rejected)
		require.Greater(t, store.mu.frames, 5)
		require.Len(t, h.connections(), 1)

		store.keep = true
		f.Times[70_000], f.Histograms[2999].T, f.Exemplars[0].T = 7, 7, 7
		rejected, err = h.once(t, f)
		require.NoError(t, err)
		require.Equal(t, []frame.Rejected{
			{Index: 70_000, Reason: frame.TooOld}, {Index: 102_999, Reason: frame.TooOld}, {Index: 103_000, Reason: frame.TooOld},
		}, rejected)
	})
}

// Labels of many bytes go ahead of the frame; one set of too many fails it and claims nothing.
func TestLongLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("x", 3000)
		var size atomic.Int64
		o := Options{Labels: func(ref series.Ref) series.Labels {
			if ref.Index() == 999 {
				return series.FromStrings("__name__", strings.Repeat("x", int(size.Load())))
			}
			return series.FromStrings("__name__", long, "i", fmt.Sprint(ref.Index()))
		}}
		store := newFakeStore(false)
		h := started(t, o, ReceiverOptions{}, store, nil)
		size.Store(2 << 20)
		_, err := h.once(t, row(0, 1000, 1))
		require.ErrorIs(t, err, ErrTooLarge)
		_, err = h.once(t, row(0, 999, 1))
		require.NoError(t, err)
		size.Store(1000)
		_, err = h.once(t, row(0, 1000, 1))
		require.NoError(t, err)
		require.Len(t, store.mu.series, 1000)
		require.Len(t, h.connections(), 1)
	})
}

// While a slow peer has too much to do, frames are refused at once, and the peer learns how many.
func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		store := newFakeStore(false)
		store.append = func(context.Context, *frame.Frame) error { <-release; return nil }
		h := started(t, Options{MaxFrames: 200}, ReceiverOptions{InFlightBytes: 640_000}, store, nil)
		var group sync.WaitGroup
		refused := 0
		for i := range 300 {
			group.Add(1)
			err := h.sender.Send(row(i*10, 10, 1), func(_ []frame.Rejected, err error) {
				require.NoError(t, err)
				group.Done()
			})
			if err != nil {
				require.ErrorIs(t, err, ErrFull)
				refused++
				group.Done()
			}
			synctest.Wait()
		}
		require.Equal(t, 100, refused)
		require.LessOrEqual(t, testutil.ToFloat64(h.receiver.metrics.inFlight), float64(minFlown))
		require.Zero(t, h.receiver.Senders()[0].Answered)
		close(release)
		group.Wait()
		time.Sleep(time.Second)
		heard := h.receiver.Senders()
		require.Len(t, heard, 1)
		require.EqualValues(t, 100, heard[0].Missed)
		require.EqualValues(t, 200, heard[0].Answered)
	})
}

// A frame that is not answered in time fails; its answer comes too late for anyone. Bytes bound the
// queue too.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		store := newFakeStore(false)
		store.append = func(context.Context, *frame.Frame) error { <-release; return nil }
		h := started(t, Options{MaxBytes: 10_000}, ReceiverOptions{}, store, nil)
		begin := time.Now()
		o := newOutcome()
		require.NoError(t, h.sender.Send(row(0, 1000, 1), o.done), "one always has room")
		require.ErrorIs(t, h.sender.Send(row(0, 1, 1), nil), ErrFull)
		require.ErrorIs(t, o.wait(), ErrTimeout)
		require.WithinRange(t, time.Now(), begin.Add(10*time.Second), begin.Add(11*time.Second))
		close(release)
		_, err := h.once(t, row(0, 1000, 1))
		require.NoError(t, err)
		require.Len(t, h.connections(), 1)
	})
}

// A peer that can't be reached fails what is pending and refuses the rest; it is tried until it is back.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(false)
		block := make(chan struct{})
		store.append = func(context.Context, *frame.Frame) error { <-block; return nil }
		h := started(t, Options{}, ReceiverOptions{}, store, nil)
		o := newOutcome()
		require.NoError(t, h.sender.Send(row(0, 5, 1), o.done))
		time.Sleep(2 * time.Second)
		h.set(nil)
		close(block)
		require.ErrorIs(t, o.wait(), ErrDown)
		require.ErrorIs(t, h.sender.Send(row(0, 5, 1), nil), ErrDown)
		time.Sleep(time.Minute)
		h.set(h.receiver)
		time.Sleep(2 * maxBackoff)
		_, err := h.once(t, row(0, 5, 1))
		require.NoError(t, err)
		h.stop()
		require.ErrorIs(t, h.sender.Send(row(0, 5, 1), nil), ErrClosed)
	})
}

// What is handed in before the first stream is open is sent over it.
func TestFirstStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, Options{}, ReceiverOptions{}, newFakeStore(false), nil)
		h.stop()
		senders, err := NewSenders(Options{Labels: labelsOf})
		require.NoError(t, err)
		h.sender = senders.New("peer", h.open, func() bool { return false })
		o := newOutcome()
		require.NoError(t, h.sender.Send(row(0, 5, 1), o.done))
		defer h.run()()
		require.NoError(t, o.wait())
	})
}

// A peer that leaves a frame unanswered is given no more of them after a while, until it answers.
func TestSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(false)
		block := make(chan struct{})
		store.append = func(context.Context, *frame.Frame) error { <-block; return nil }
		h := started(t, Options{}, ReceiverOptions{}, store, nil)
		first, second := newOutcome(), newOutcome()
		require.NoError(t, h.sender.Send(row(0, 5, 1), first.done))
		time.Sleep(slowAfter)
		require.NoError(t, h.sender.Send(row(0, 5, 2), second.done))
		time.Sleep(time.Millisecond)
		require.ErrorIs(t, h.sender.Send(row(0, 5, 3), nil), ErrSlow)
		close(block)
		require.NoError(t, first.wait())
		require.NoError(t, second.wait())
		_, err := h.once(t, row(0, 5, 3))
		require.NoError(t, err)
	})
}

// A receiver knows whether something is kept for it elsewhere, and until it does believes so.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, Options{}, ReceiverOptions{}, newFakeStore(false), nil)
		h.stop()
		senders, err := NewSenders(Options{Labels: labelsOf})
		require.NoError(t, err)
		var behind atomic.Bool
		h.sender = senders.New("peer", h.open, behind.Load)
		defer h.run()()
		synctest.Wait()
		require.True(t, h.receiver.Senders()[0].Behind, "nothing was said yet")
		for _, is := range []bool{false, true, false} {
			behind.Store(is)
			time.Sleep(2 * beatEvery)
			require.Equal(t, is, h.receiver.Senders()[0].Behind)
		}
	})
}

// A peer that takes a stream and then says nothing is as good as one that can't be reached.
func TestNoWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, Options{}, ReceiverOptions{}, newFakeStore(false), nil)
		time.Sleep(2 * lived)
		h.silent.Store(true)
		h.connections()[0].sever()
		synctest.Wait()
		begin := time.Now()
		_, err := h.once(t, row(0, 5, 1)) // It waits for the first attempt.
		require.ErrorIs(t, err, ErrDown)
		require.WithinRange(t, time.Now(), begin.Add(2*time.Second), begin.Add(3*time.Second))
		h.silent.Store(false)
		time.Sleep(10 * time.Second)
		_, err = h.once(t, row(0, 5, 1))
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, h.receiver.Senders()[0].Missed)
		h.silent.Store(true)
		h.connections()[len(h.connections())-1].sever()
		h.stop() // While it is being opened.
	})
}

// The metrics have proper names, and those of a peer go with its sender.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		h := started(t, Options{Registerer: reg}, ReceiverOptions{Registerer: reg}, newFakeStore(false), nil)
		_, err := h.once(t, row(0, 5, 1))
		require.NoError(t, err)
		require.EqualValues(t, 1, testutil.ToFloat64(h.sender.metrics.frames[resultTaken]))
		require.EqualValues(t, 1, testutil.ToFloat64(h.sender.metrics.up))
		require.Zero(t, testutil.ToFloat64(h.sender.metrics.pending))
		require.EqualValues(t, 5, testutil.ToFloat64(h.receiver.metrics.samples))
		problems, err := testutil.GatherAndLint(reg)
		require.NoError(t, err)
		require.Empty(t, problems)
		h.stop()
		families, err := reg.Gather()
		require.NoError(t, err)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					require.NotEqual(t, "peer", l.GetName(), f.GetName())
				}
			}
		}
	})
}

// A process that starts anew is another sender, and defines its references anew.
func TestRestartOfSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(true)
		h := started(t, Options{ID: 1}, ReceiverOptions{}, store, nil)
		_, err := h.once(t, row(0, 5, 1))
		require.NoError(t, err)
		h.connections()[0].sever() // As a process that is killed.
		h.stop()
		shifted := func(ref series.Ref) series.Labels { return labelsOf(ref + 100) }
		senders, err := NewSenders(Options{ID: 2, Labels: shifted})
		require.NoError(t, err)
		h.sender = senders.New("peer", h.open, func() bool { return false })
		stop := h.run()
		defer stop()
		synctest.Wait()
		_, err = h.once(t, row(0, 5, 2))
		require.NoError(t, err)
		require.Contains(t, store.mu.samples[string(labelsOf(series.MakeRef(101, 1)))], "float 2 0 3ff0000000000000")
		heard := h.receiver.Senders()
		require.Len(t, heard, 2)
		require.EqualValues(t, 0, heard[0].Streams)
		require.EqualValues(t, 1, heard[1].Streams)
		require.Len(t, h.receiver.Silent(time.Now().Add(2*time.Second)), 2)
	})
}

// The end of a sender fails what is pending.
func TestEndOfSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(false)
		block := make(chan struct{})
		store.append = func(ctx context.Context, _ *frame.Frame) error { <-block; return nil }
		h := started(t, Options{}, ReceiverOptions{}, store, nil)
		o := newOutcome()
		require.NoError(t, h.sender.Send(row(0, 5, 1), o.done))
		synctest.Wait()
		go h.stop()
		require.ErrorIs(t, o.wait(), ErrClosed)
		close(block)
		h.stop()
	})
}

// Another version or damage is refused before anything is believed.
func TestRefusals(t *testing.T) {
	hello := appendHello(nil, 7)
	hello[1] = 2
	_, err := readHello(seal(hello[:len(hello)-crcSize]))
	require.ErrorContains(t, err, "version")
	for i := range hello {
		bad := slices.Clone(appendHello(nil, 7))
		bad[i] ^= 0x40
		_, err := readHello(bad)
		require.ErrorIs(t, err, errMessage)
	}
	_, err = NewSenders(Options{})
	require.Error(t, err)
	for _, o := range []Options{{MaxRefs: -1}, {MaxFrames: -1}, {MaxBytes: -1}, {Timeout: -1}, {OpenTimeout: -1}} {
		o.Labels = labelsOf
		_, err = NewSenders(o)
		require.Error(t, err)
	}
	for _, o := range []ReceiverOptions{{MaxRefs: -1}, {MaxStreams: -1}, {InFlightBytes: -1}, {MaxSenders: -1}, {Remember: -1}, {Silence: -1}} {
		_, err = NewReceiver(gathered(newFakeStore(false)), o)
		require.Error(t, err)
	}
}
