package move

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/throttle"
	"github.com/barograph-db/barograph/storage/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func id(i int) placement.NodeID { return placement.NodeID{15: byte(i)} }

// world is what a Mover sees, and what it does.
type world struct {
	t    *testing.T
	disk vfs.FS
	rate int64

	mu        sync.Mutex
	changed   chan struct{}
	placement *placement.Placement
	known     uint64
	gaps      []Gap
	fail      error
	bytes     int // of each day
	copied    []Stretch
	filled    []series.Shard
	reports   []Progress
}

// newWorld has 8 shards on node 1, of which node 2 fills n.
func newWorld(t *testing.T, n int) *world {
	p, err := placement.Found(3, 1, []placement.Node{{ID: id(1), Name: "one", Weight: 1}})
	require.NoError(t, err)
	p, err = p.Join(placement.Node{ID: id(2), Name: "two", Weight: 1})
	require.NoError(t, err)
	p = p.Next(n)
	disk := vfs.NewMem()
	require.NoError(t, disk.MkdirAll("data", 0o755))
	return &world{t: t, disk: disk, changed: make(chan struct{}), placement: p, known: p.Epoch, bytes: 1000}
}

func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) copy(_ context.Context, s Stretch, take Take) error {
	w.mu.Lock()
	fail, bytes := w.fail, w.bytes
	w.mu.Unlock()
	if fail != nil {
		return fail
	}
	if err := take(bytes, bytes/2); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.copied = append(w.copied, s)
	return nil
}

func (w *world) fill(_ context.Context, shards []series.Shard) (err error) {
	w.change(func() {
		var next *placement.Placement
		if next, err = w.placement.Filled(id(2), shards...); err == nil {
			w.placement, w.known = next, next.Epoch
			w.filled = append(w.filled, shards...)
		}
	})
	return err
}

// start runs a Mover until stop.
func (w *world) start() (stop func(), reg *prometheus.Registry) {
	w.t.Helper()
	reg = prometheus.NewRegistry()
	m, err := New(Options{
		Self: id(2), Retention: 10 * 24 * time.Hour, Throttle: throttle.New(w.rate), Dir: "data", FS: w.disk, Registerer: reg,
		Placement: func() *placement.Placement { w.mu.Lock(); defer w.mu.Unlock(); return w.placement },
		Changed:   func() <-chan struct{} { w.mu.Lock(); defer w.mu.Unlock(); return w.changed },
		ShutOut: func(epoch uint64, shards []series.Shard) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			require.NotEmpty(w.t, shards)
			return w.known >= epoch
		},
		Gaps: func() []Gap { w.mu.Lock(); defer w.mu.Unlock(); return w.gaps },
		Copy: w.copy, Filled: w.fill,
		Report: func(p Progress) { w.mu.Lock(); defer w.mu.Unlock(); w.reports = append(w.reports, p) },
	})
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(w.t, <-done)
	}, reg
}

// covered asserts that what was copied from some time on is all there may be, for these shards.
func (w *world) covered(from int, shards ...series.Shard) {
	w.t.Helper()
	end := int64(math.MaxInt64)
	for i, s := range w.copies()[from:] {
		if i == 0 {
			require.Equal(w.t, end, s.Maxt)
		} else {
			require.Equal(w.t, end-1, s.Maxt, "without a hole")
		}
		require.LessOrEqual(w.t, s.Mint, s.Maxt)
		end = s.Mint
		for shard := range series.Shard(8) {
			has := s.Shards.Has(series.Fingerprint(shard) << 61)
			require.Equal(w.t, slices.Contains(shards, shard), has, "shard %d", shard)
		}
	}
	require.LessOrEqual(w.t, end, time.Now().Add(-10*24*time.Hour).UnixMilli())
}

func (w *world) wait(what string, f func() bool) {
	w.t.Helper()
	for range 10_000 {
		w.mu.Lock()
		ok := f()
		w.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(time.Second)
	}
	w.t.Fatal(what)
}

func (w *world) copies() []Stretch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.copied)
}

func (w *world) whole() []series.Shard {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.filled)
}

func (w *world) told() []Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.reports)
}

func (w *world) shards() []series.Shard { return shardsOf(filling(w.placement, id(2))) }

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestFills(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 3)
		shards := w.shards()
		require.Len(t, shards, 3)
		w.known--
		stop, reg := w.start()
		time.Sleep(time.Hour)
		require.Empty(t, w.copies(), "too few know of it")

		w.change(func() { w.known++; w.gaps = []Gap{{From: 5, To: math.MaxInt64}} })
		begin := time.Now()
		w.wait("it begins", func() bool { return len(w.copied) > 0 })
		require.GreaterOrEqual(t, time.Since(begin), 12*time.Second)
		time.Sleep(time.Hour)
		require.Empty(t, w.whole(), "something is still to be delivered")
		w.covered(0, shards...)
		copies := len(w.copies())
		require.Less(t, copies, 8, "little came of a day")

		w.change(func() { w.gaps = nil })
		time.Sleep(time.Second)
		require.Equal(t, shards, w.whole())
		require.Len(t, w.copies(), copies)
		require.Zero(t, w.told()[len(w.told())-1], "nothing is being copied")
		require.Equal(t, 3, w.told()[0].Shards)
		require.Equal(t, 11, w.told()[0].DaysLeft)
		require.InDelta(t, float64(copies*1000), testutil.ToFloat64(counterOf(t, reg, "barograph_move_bytes_total")), 0)

		// What begins next is filled next.
		w.change(func() { w.placement = w.placement.Next(1); w.known = w.placement.Epoch })
		w.wait("the next is filled", func() bool { return len(w.filled) == 4 })
		stop()
	})
}

func counterOf(t *testing.T, reg *prometheus.Registry, name string) prometheus.Collector {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			c := prometheus.NewCounter(prometheus.CounterOpts{Name: name})
			c.Add(f.GetMetric()[0].GetCounter().GetValue())
			return c
		}
	}
	t.Fatalf("there is no %s", name)
	return nil
}

// A node that starts again goes on where it was; what was copied is not copied again.
func TestGoesOnAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 2)
		shards := w.shards()
		w.bytes = 30 << 20 // A day stays a day.
		stop, _ := w.start()
		w.wait("some days", func() bool { return len(w.copied) >= 4 })
		w.change(func() { w.fail = errors.New("nobody is there") })
		time.Sleep(time.Minute)
		stop()
		before := len(w.copies())
		require.Less(t, before, 11)

		w.fail, w.known = nil, 0 // It has not heard of anybody yet, and need not.
		stop, reg := w.start()
		w.wait("it is filled", func() bool { return len(w.filled) == 2 })
		stop()
		w.covered(0, shards...)
		require.Zero(t, testutil.ToFloat64(counterOf(t, reg, "barograph_move_restarts_total")))
	})
}

// A copy begins anew when a write may have been missed.
func TestBeginsAnew(t *testing.T) {
	for name, c := range map[string]struct{ do, undo func(*world) }{
		"samples are lost": {
			func(w *world) { w.gaps = []Gap{{From: 7, To: 9}} }, func(*world) {},
		},
		"it was given up and began again": {
			func(w *world) {
				p := *w.placement
				p.Epoch += 2
				p.Shards = slices.Clone(p.Shards)
				for i, replicas := range p.Shards {
					if r := replicas[len(replicas)-1]; r.Filling {
						r.Since = p.Epoch
						p.Shards[i] = append(slices.Clone(replicas[:len(replicas)-1]), r)
					}
				}
				w.placement, w.known = &p, p.Epoch
			}, func(*world) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 2)
				shards := w.shards()
				w.bytes = 30 << 20
				w.gaps = []Gap{{From: 1, To: 2}} // Before: the copy has it.
				stop, _ := w.start()
				w.wait("some days", func() bool { return len(w.copied) >= 4 })
				w.change(func() { c.do(w) })
				time.Sleep(5 * time.Second)
				before := len(w.copies())
				w.change(func() { c.undo(w) })
				w.wait("it is filled", func() bool { return len(w.filled) == 2 })
				stop()
				for i := range w.copies()[1:] {
					if w.copies()[i+1].Maxt == math.MaxInt64 {
						before = i + 1
					}
				}
				require.Positive(t, before)
				w.covered(before, shards...)
			})
		})
	}
}

// What is given up is not copied further.
func TestGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.bytes = 30 << 20
		stop, _ := w.start()
		w.wait("some days", func() bool { return len(w.copied) >= 4 })
		w.change(func() {
			p, err := w.placement.Drain(id(2))
			require.NoError(t, err)
			w.placement = p.Next(2)
		})
		time.Sleep(time.Second)
		before := len(w.copies())
		time.Sleep(time.Hour)
		require.Len(t, w.copies(), before)
		require.Empty(t, w.whole())
		stop()
	})
}

// What fails is tried again, with less at a time.
func TestTriesAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.fail = errors.New("too much")
		stop, reg := w.start()
		time.Sleep(10 * time.Minute)
		failures := testutil.ToFloat64(counterOf(t, reg, "barograph_move_failures_total"))
		require.Greater(t, failures, 10.0)
		require.Less(t, failures, 40.0, "not too often")
		w.change(func() { w.fail = nil })
		w.wait("it is filled", func() bool { return len(w.filled) == 1 })
		stop()
		require.LessOrEqual(t, time.Now().UnixMilli()-w.copies()[0].Mint, 10*60*1000+2*minWidth)
	})
}

func TestThrottle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.rate, w.bytes = 1<<20, 20<<20
		stop, _ := w.start()
		begin := time.Now()
		w.wait("it is filled", func() bool { return len(w.filled) == 1 })
		stop()
		took, bytes := time.Since(begin), len(w.copies())*w.bytes
		require.InEpsilon(t, float64(bytes)/(1<<20), (took - 12*time.Second).Seconds(), 0.05)
	})
}

func TestOptions(t *testing.T) {
	_, err := New(Options{Dir: "x"})
	require.ErrorContains(t, err, "ID")
	_, err = New(Options{Self: id(1)})
	require.ErrorContains(t, err, "directory")
	_, err = New(Options{Self: id(1), Dir: "x"})
	require.ErrorContains(t, err, "function")
}
