package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/storagetest"
)

// labelsOf are the labels of any reference of these tests.
func labelsOf(ref series.Ref) series.Labels {
	if ref == 0 {
		return nil
	}
	return series.FromStrings("__name__", "m", "generation", fmt.Sprint(ref.Generation()), "i", fmt.Sprint(ref.Index()))
}

// harness is a running sender and what it sends to.
type harness struct {
	network
	*expectations
	sender   *Sender
	receiver *Receiver
	store    *fakeStore
	stop     func()
}

func start(t testing.TB, o Options, ro ReceiverOptions, store *fakeStore, fault func(conn, way int, msg []byte) bool) *harness {
	t.Helper()
	h := &harness{expectations: newExpectations(), store: store}
	h.fault = fault
	if o.Labels == nil {
		o.Labels = labelsOf
	}
	senders, err := NewSenders(o)
	require.NoError(t, err)
	h.receiver, err = NewReceiver(gathered(store), ro)
	require.NoError(t, err)
	h.set(h.receiver)
	h.sender = senders.New("peer", h.open, func() bool { return false })
	h.stop = h.run()
	t.Cleanup(h.stop)
	return h
}

// run runs the sender until the function returned is called.
func (h *harness) run() func() {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		_ = h.sender.Run(ctx)
		close(ran)
	}()
	return sync.OnceFunc(func() {
		cancel()
		<-ran
		h.served.Wait()
	})
}

// send sends f, again and again while it is refused.
func (h *harness) send(t testing.TB, f *frame.Frame) {
	done := h.expect(t, f, h.sender.opts.Labels)
	for {
		err := h.sender.Send(f, done)
		if err == nil {
			return
		}
		if !errors.Is(err, ErrDown) && !errors.Is(err, ErrFull) {
			t.Errorf("send: %v", err)
			h.done.Done()
			return
		}
		time.Sleep(time.Millisecond) // Whoever is refused tries again later.
	}
}

func randomHistogram(r *rand.Rand) *histogram.Histogram {
	return storagetest.Histogram(map[int]int64{r.IntN(9): 1 + r.Int64N(9), 10 + r.IntN(9): 3}, r.Uint64N(4), r.Float64())
}

// randomFrame has samples of all kinds of up to so many series; each sample comes once.
func randomFrame(r *rand.Rand, indexes int, clock *int64) *frame.Frame {
	f := &frame.Frame{}
	ref := func() series.Ref { return series.MakeRef(uint32(r.IntN(indexes)), 1+r.Uint32N(2)) }
	starts := r.IntN(4) == 0
	inOrder := r.IntN(2) == 0
	last := uint32(0)
	for range r.IntN(60) {
		*clock++
		x := ref()
		if inOrder {
			if last += r.Uint32N(3); int(last) >= indexes {
				last = 0
			}
			x = series.MakeRef(last, x.Generation())
		}
		f.Refs = append(f.Refs, x)
		f.Times = append(f.Times, *clock)
		f.Values = append(f.Values, []float64{float64(*clock), r.NormFloat64(), 0, 0.25}[r.IntN(4)])
		if starts {
			f.Starts = append(f.Starts, *clock-r.Int64N(3))
		}
	}
	if r.IntN(3) == 0 {
		for range r.IntN(10) {
			*clock++
			h := frame.Histogram{Ref: ref(), T: *clock, H: randomHistogram(r)}
			if r.IntN(2) == 0 {
				h.FH, h.H = h.H.ToFloat(nil), nil
			}
			f.Histograms = append(f.Histograms, h)
		}
	}
	if r.IntN(3) == 0 {
		for range r.IntN(10) {
			*clock++
			labels := series.FromStrings("trace_id", fmt.Sprint(r.Uint64()))
			f.Exemplars = append(f.Exemplars, frame.Exemplar{Ref: ref(), T: *clock, V: r.Float64(), Labels: labels})
		}
	}
	if r.IntN(5) == 0 {
		f.Metadata = append(f.Metadata, frame.Metadata{Metric: fmt.Sprint("m", r.IntN(4)), Type: "counter", Help: "x"})
	}
	return f
}

// scribble spoils f, which belongs to the caller again.
func scribble(f *frame.Frame) {
	for i := range f.Refs {
		f.Refs[i], f.Times[i], f.Values[i] = 99, 99, 99
	}
	for i := range f.Exemplars {
		clear(f.Exemplars[i].Labels)
	}
	for i := range f.Histograms {
		if h := f.Histograms[i].H; h != nil {
			h.Sum = 99
			clear(h.PositiveBuckets)
		}
	}
	clear(f.Starts)
}

// Whatever happens to connections, stores and ends, a frame is done once, what is acknowledged is
// stored with its bits and labels, and nothing else is.
func TestOracle(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testOracle(t, seed) })
		})
	}
}

func testOracle(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	faulty := seed%4 != 0
	var budget [2]atomic.Int64 // messages until the next cut
	budget[0].Store(20)
	budget[1].Store(20)
	var dice struct {
		sync.Mutex
		*rand.Rand
	}
	dice.Rand = rand.New(rand.NewPCG(seed, 2))
	roll := func(n int) int {
		dice.Lock()
		defer dice.Unlock()
		return dice.IntN(n)
	}
	store := newFakeStore(true)
	if faulty {
		store.append = func(context.Context, *frame.Frame) error {
			switch roll(30) {
			case 0:
				return errors.New("disk is full")
			case 1:
				store.forget(func(int) bool { return roll(4) == 0 })
			}
			return nil
		}
		store.refs = func() error {
			if roll(20) == 0 {
				return errors.New("disk is full")
			}
			return nil
		}
	}
	fault := func(_, way int, _ []byte) bool {
		if faulty && budget[way].Add(-1) == 0 {
			budget[way].Store(int64(1 + roll(80)))
			return false
		}
		return true
	}
	h := start(t, Options{MaxFrames: 50}, ReceiverOptions{InFlightBytes: 1 << 17}, store, fault)
	stores := []*fakeStore{store}
	clock := int64(1)
	for i := range 200 {
		f := randomFrame(r, 150, &clock)
		h.send(t, f)
		scribble(f)
		if i%8 == 0 {
			time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
		}
		if seed%4 == 3 && i%100 == 50 { // The receiver starts anew, with another store.
			stores = append(stores, newFakeStore(true))
			_, _ = stores[len(stores)-1].Refs(t.Context(), nil, []series.Labels{series.FromStrings("__name__", "other")})
			next, err := NewReceiver(gathered(stores[len(stores)-1]), ReceiverOptions{})
			require.NoError(t, err)
			h.set(next)
		}
	}
	h.done.Wait()
	h.stop()
	h.check(t, stores...)
	if !faulty {
		require.Empty(t, h.outcome.errs)
	}
	for _, err := range h.outcome.errs {
		require.NotErrorIs(t, err, ErrTimeout)
	}
	counts := map[string]int{}
	for _, err := range h.outcome.errs {
		counts[result(err)]++
	}
	t.Logf("%d taken, failed %v, %d connections", h.outcome.taken, counts, len(h.connections()))
	require.Greater(t, h.outcome.taken, 120)
}

// A connection cut at any one message costs no frame more than it must: each is done once.
func TestCutAtAnyMessage(t *testing.T) {
	for way := range 2 {
		for at := range 8 {
			synctest.Test(t, func(t *testing.T) { testCut(t, way, at) })
		}
	}
}

func testCut(t *testing.T, way, at int) {
	r := rand.New(rand.NewPCG(uint64(at), 3))
	var armed atomic.Bool
	var messages atomic.Int64
	store := newFakeStore(true)
	fault := func(conn, w int, _ []byte) bool {
		return conn != 0 || w != way || !armed.Load() || messages.Add(1) != int64(at+1)
	}
	h := start(t, Options{}, ReceiverOptions{}, store, fault)
	clock := int64(1)
	for i := range 20 {
		if i == 1 {
			time.Sleep(lived + 50*time.Millisecond) // The next stream is opened at once then, and nothing fails.
			armed.Store(true)
		}
		h.send(t, randomFrame(r, 20, &clock))
		synctest.Wait()
	}
	h.done.Wait()
	require.Len(t, h.connections(), 2)
	h.stop()
	h.check(t, store)
	require.Empty(t, h.outcome.errs)
	require.Equal(t, 20, h.outcome.taken)
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
