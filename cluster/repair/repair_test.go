package repair

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

const retention = 20 * 24 * time.Hour

// sample is one of a series that has none but its fingerprint.
type sample struct {
	fp series.Fingerprint
	t  int64
}

// world is some nodes that hold the same.
type world struct {
	t         *testing.T
	placement *placement.Placement
	nodes     map[placement.NodeID]*member

	mu      sync.Mutex
	changed chan struct{}
}

type member struct {
	*Repairer // for the test itself
	running   atomic.Pointer[Repairer]
	world     *world
	id        placement.NodeID
	disk      vfs.FS
	reg       *prometheus.Registry
	stop      func()

	// Guarded by world.mu.
	samples map[sample]bool
	dead    bool
	fail    error
	lost    map[placement.NodeID]Loss
	fetched int
	dropped []string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, placement: three(t), nodes: map[placement.NodeID]*member{}, changed: make(chan struct{})}
	for i := range 3 {
		disk := vfs.NewMem()
		require.NoError(t, disk.MkdirAll("data", 0o755))
		m := &member{world: w, id: node(i + 1), disk: disk, samples: map[sample]bool{}, lost: map[placement.NodeID]Loss{}}
		w.nodes[m.id] = m
	}
	return w
}

func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// start runs the node's Repairer until stop.
func (m *member) start() {
	w := m.world
	m.reg = prometheus.NewRegistry()
	r, err := New(Options{
		Self: m.id, Dir: "data", FS: m.disk, Registerer: m.reg,
		Placement: func() *placement.Placement { w.mu.Lock(); defer w.mu.Unlock(); return w.placement },
		Changed:   func() <-chan struct{} { w.mu.Lock(); defer w.mu.Unlock(); return w.changed },
		Alive:     func(n placement.NodeID) bool { w.mu.Lock(); defer w.mu.Unlock(); return !w.nodes[n].dead },
		Tellers: func() (ids []placement.NodeID) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for id, n := range w.nodes {
				if _, ok := n.lost[m.id]; ok {
					ids = append(ids, id)
				}
			}
			return ids
		},
		KeptFrom: func(now time.Time) int64 { return now.Add(-retention).UnixMilli() },
		Digests:  m.digests,
		Call: func(ctx context.Context, to placement.NodeID, method string, req []byte) ([]byte, error) {
			w.mu.Lock()
			fail := w.nodes[to].fail
			w.mu.Unlock()
			other := w.nodes[to].running.Load()
			switch {
			case fail != nil:
				return nil, fail
			case other == nil:
				return nil, errors.New("it does not run")
			case method == LostMethod:
				return other.ServeLost(ctx, m.id, req)
			case method == RepairedMethod:
				return other.ServeRepaired(ctx, m.id, req)
			}
			return other.Serve(ctx, req)
		},
		Lost: func(n placement.NodeID) (Loss, bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			l, ok := m.lost[n]
			return l, ok
		},
		Repaired: func(n placement.NodeID, l Loss) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if m.lost[n] == l {
				delete(m.lost, n)
			}
			return nil
		},
		Fetch: m.fetch,
		Closed: func(_ context.Context, g Gap) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			m.dropped = append(m.dropped, g.Parts...)
			return nil
		},
	})
	require.NoError(w.t, err)
	m.Repairer = r
	m.running.Store(r)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	m.stop = func() {
		m.running.Store(nil)
		cancel()
		require.NoError(w.t, <-done)
	}
}

func (m *member) digests(_ context.Context, q Question) ([]series.Digest, error) {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	place := map[series.Shard]int{}
	for i, s := range list(q.Shards) {
		place[s] = i * q.slots()
	}
	out := make([]series.Digest, len(place)*q.slots())
	for s := range m.samples {
		if s.t >= q.Mint && s.t <= q.Maxt && q.Shards.Has(s.fp) {
			h := fnv.New64()
			fmt.Fprint(h, s)
			out[place[s.fp.Shard(q.Shards.Bits)]+int((s.t-q.Mint)/q.Slot)].Add(series.Digest{Sum: h.Sum64(), Samples: 1})
		}
	}
	return out, nil
}

func (m *member) fetch(_ context.Context, from placement.NodeID, s Stretch, take Take) (n int64, err error) {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	for o := range m.world.nodes[from].samples {
		if o.t >= s.Mint && o.t <= s.Maxt && s.Shards.Has(o.fp) {
			m.fetched++
			if !m.samples[o] {
				m.samples[o] = true
				n++
			}
		}
	}
	return n, take(int(n))
}

// everywhere puts samples of the last days on all nodes.
func (w *world) everywhere(days int) {
	now := time.Now().UnixMilli()
	for i := range int64(days) * 24 * 4 {
		s := sample{series.Fingerprint(i * 0x9e3779b97f4a7c1), now - i*hourMillis/4}
		for _, n := range w.nodes {
			n.samples[s] = true
		}
	}
}

// lose takes samples of a stretch of time from a node, those of which one in n is kept.
func (m *member) lose(from, to int64, n int) (lost int) {
	for s := range m.samples {
		if s.t >= from && s.t <= to && (n == 0 || s.t/(hourMillis/4)%int64(n) != 0) {
			delete(m.samples, s)
			lost++
		}
	}
	return lost
}

// same reports whether two nodes have the same samples up to some time.
func (w *world) same(a, b placement.NodeID, until int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := func(n placement.NodeID) map[sample]bool {
		all := maps.Clone(w.nodes[n].samples)
		maps.DeleteFunc(all, func(s sample, _ bool) bool { return s.t > until })
		return all
	}
	return maps.Equal(of(a), of(b))
}

// wait waits for something, and returns how long that took.
func (w *world) wait(what string, most time.Duration, f func() bool) time.Duration {
	w.t.Helper()
	begin := time.Now()
	for !f() {
		if time.Since(begin) > most {
			w.t.Fatal(what)
		}
		time.Sleep(max(time.Second, most/200))
	}
	return time.Since(begin)
}

func inWorld(t *testing.T, f func(t *testing.T, w *world, one *member)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(100 * 24 * time.Hour) // The clock of a bubble begins with a day.
		w := newWorld(t)
		w.everywhere(15)
		f(t, w, w.nodes[node(1)])
	})
}

func (w *world) startAll() (stop func()) {
	for _, n := range w.nodes {
		n.start()
	}
	return func() {
		for _, n := range w.nodes {
			n.stop()
		}
	}
}

// What differs is found within a week, whoever lacks it, and only what differs is fetched.
func TestRounds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, one *member) {
		old := time.Now().UnixMilli() - 10*dayMillis
		stop := w.startAll()
		defer func() { stop() }()
		passed := func() bool {
			c := one.calendar(time.Now())
			_, ok := c.pass()
			return ok
		}
		require.True(t, math.IsInf(one.passed(), 1))
		w.wait("a first pass", time.Hour, passed)
		require.Less(t, one.passed(), time.Hour.Seconds())
		require.Zero(t, one.fetched, "all are the same")

		var lost int
		w.change(func() {
			lost = one.lose(old, old+3*hourMillis, 3)
			w.nodes[node(2)].lose(old+2*hourMillis, old+5*hourMillis, 0)
		})
		require.Positive(t, lost)
		until := time.Now().UnixMilli()
		stop()
		time.Sleep(pastEvery - 2*time.Hour)
		stop = w.startAll()
		w.wait("differences are found", 3*time.Hour, func() bool {
			return w.same(node(1), node(3), until) && w.same(node(2), node(3), until)
		})
		require.Less(t, one.fetched, 2*lost+100, "and little beside")
		require.LessOrEqual(t, one.passed(), (pastEvery + time.Hour).Seconds())
		require.Empty(t, one.Gaps())

		// What is known is known after a restart.
		stop()
		before := one.calendar(time.Now()).compared
		stop = w.startAll()
		require.Equal(t, before, one.calendar(time.Now()).compared)
	})
}

// Nodes that fail, or are dead, keep no day from being compared with others.
func TestRoundsGoOn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, one *member) {
		day := time.Now().UnixMilli() - 5*dayMillis
		w.change(func() {
			one.lose(day, day+dayMillis, 0)
			w.nodes[node(2)].fail = errors.New("no")
		})
		stop := w.startAll()
		defer stop()
		w.wait("it is fetched from the other", time.Hour, func() bool { return w.same(node(1), node(3), math.MaxInt64) })
		time.Sleep(time.Hour)
		require.True(t, math.IsInf(one.passed(), 1), "not all were compared")
		w.change(func() { w.nodes[node(2)].dead = true })
		w.wait("all that live were compared", time.Hour, func() bool { return !math.IsInf(one.passed(), 1) })
	})
}

// What a sender has given up is fetched at once, and the sender forgets it, unless it gives up more.
func TestMissed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, one *member) {
		now := time.Now().UnixMilli()
		three := w.nodes[node(3)]
		w.change(func() {
			one.lose(now-30*hourMillis, now, 2)
			three.lost[one.id] = Loss{From: now - 30*hourMillis, To: now, Number: 1}
			w.nodes[node(2)].fail = errors.New("no")
		})
		stop := w.startAll()
		defer stop()
		time.Sleep(time.Minute)
		require.Contains(t, three.lost, one.id, "a node that lives could not be asked")
		w.change(func() { w.nodes[node(2)].dead = true })
		w.wait("it is closed", lastWait+time.Minute, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(three.lost) == 0
		})
		require.True(t, w.same(node(1), node(3), math.MaxInt64))
		require.Zero(t, one.countGaps())

		// While it is being repaired, it becomes another.
		one.stop()
		defer one.start()
		w.change(func() {
			one.lose(now-hourMillis, now, 0)
			three.lost[one.id] = Loss{From: now - hourMillis, To: now, Number: 2}
		})
		l, _, err := one.loss(t.Context(), three.id)
		require.NoError(t, err)
		w.change(func() { three.lost[one.id] = Loss{From: now - hourMillis, To: now, Number: 3} })
		require.NoError(t, one.repaired(t.Context(), three.id, l))
		require.Contains(t, three.lost, one.id)
	})
}

// What a node forgot it has again only when enough of the others were compared; until then others don't count
// on it.
func TestForgot(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, one *member) {
		now := time.Now().UnixMilli()
		w.change(func() {
			one.lose(0, math.MaxInt64, 0)
			w.nodes[node(3)].dead = true
		})
		stop := w.startAll()
		defer func() { stop() }()
		gap := Gap{From: math.MinInt64, To: now, Forgot: true, Parts: []string{"a"}}
		require.NoError(t, one.Lacks(gap))
		<-one.Changed()
		w.wait("what one other has is fetched", time.Minute, func() bool { return w.same(node(1), node(2), math.MaxInt64) })
		time.Sleep(time.Hour)
		require.Equal(t, []Gap{gap}, one.Gaps(), "that may not be all")
		require.True(t, one.forgot(now-1000, now-1000))
		require.EqualValues(t, 1, one.countGaps())

		one.stop()
		one.start()
		require.Equal(t, []Gap{gap}, one.Gaps(), "it is remembered")
		w.change(func() { w.nodes[node(3)].dead = false })
		w.wait("the gap is closed", lastWait+time.Minute, func() bool { return len(one.Gaps()) == 0 })
		require.Equal(t, []string{"a"}, one.dropped)
		require.False(t, one.forgot(now-1000, now-1000))
	})
}

// When all have forgotten something of one time, nobody waits for ever.
func TestAllForgot(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, one *member) {
		now := time.Now().UnixMilli()
		stop := w.startAll()
		defer stop()
		w.change(func() {
			for i := range int64(3) {
				w.nodes[node(int(i)+1)].lose(now-(i+2)*hourMillis, now-(i+1)*hourMillis, 0)
			}
		})
		for _, n := range w.nodes {
			require.NoError(t, n.Lacks(Gap{From: now - dayMillis, To: now, Forgot: true}))
		}
		w.wait("the gaps are closed", time.Hour, func() bool {
			return len(one.Gaps())+len(w.nodes[node(2)].Gaps())+len(w.nodes[node(3)].Gaps()) == 0
		})
		require.True(t, w.same(node(1), node(2), math.MaxInt64))
		require.True(t, w.same(node(1), node(3), math.MaxInt64))
	})
}

// A gap is not closed while shards are filled, whose copy may lack the same.
func TestNotWhileFilling(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, one *member) {
		whole := w.placement
		p, err := placement.Found(2, 2, []placement.Node{{ID: node(2), Name: "two", Weight: 1}, {ID: node(3), Name: "three", Weight: 1}})
		require.NoError(t, err)
		p, err = p.Join(placement.Node{ID: node(1), Name: "one", Weight: 1})
		require.NoError(t, err)
		w.placement = p.Next(1)
		require.True(t, fills(w.placement, node(1)))
		stop := w.startAll()
		defer stop()
		require.NoError(t, one.Lacks(Gap{From: 0, To: time.Now().UnixMilli()}))
		time.Sleep(time.Hour)
		require.Len(t, one.Gaps(), 1)
		q := Question{Shards: setOf(2, []series.Shard{0, 1, 2, 3}), Maxt: 1, Slot: 1}
		_, err = one.Serve(t.Context(), q.encode())
		require.ErrorIs(t, err, ErrNotWhole)
		w.change(func() { w.placement = whole })
		w.wait("the gap is closed", lastWait+time.Minute, func() bool { return len(one.Gaps()) == 0 })
		_, err = one.Serve(t.Context(), q.encode())
		require.NoError(t, err)
		fine := finer(2, []series.Shard{3})
		fine.Maxt, fine.Slot = 1, 1
		_, err = one.Serve(t.Context(), fine.encode())
		require.NoError(t, err)
		_, err = one.Serve(t.Context(), []byte{9})
		require.ErrorIs(t, err, errMessage)
	})
}

func TestOptions(t *testing.T) {
	_, err := New(Options{})
	require.Error(t, err)
	_, err = New(Options{Self: node(1), Dir: "x"})
	require.Error(t, err)
}
