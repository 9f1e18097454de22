package dedup

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// memory is an ingest.Store of float samples.
type memory struct {
	mu      sync.Mutex
	refs    map[string]series.Ref
	names   []string
	samples map[string][]sample
}

type sample struct {
	t int64
	v float64
}

func newMemory() *memory {
	return &memory{refs: map[string]series.Ref{}, samples: map[string][]sample{}}
}

func (m *memory) Find(dst []series.Ref, sets []series.Labels) []series.Ref {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range sets {
		dst = append(dst, m.refs[l.String()])
	}
	return dst
}

func (m *memory) Active() int { return len(m.names) }

func (m *memory) Refs(_ context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range sets {
		name := l.String()
		if m.refs[name] == 0 {
			m.names = append(m.names, name)
			m.refs[name] = series.Ref(len(m.names))
		}
		dst = append(dst, m.refs[name])
	}
	return dst, nil
}

func (m *memory) Append(_ context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range f.Refs {
		name := m.names[r-1]
		m.samples[name] = append(m.samples[name], sample{f.Times[i], f.Values[i]})
	}
	return nil, nil
}

// sets is a Labeler.
type sets [][]series.Pair

func (s sets) AppendPairs(dst []series.Pair, run int) ([]series.Pair, error) {
	return append(dst, s[run]...), nil
}

var hasher = ingest.NewHasher()

// add adds a run of one sample.
func add(b *ingest.Batch, labels []series.Pair, t int64, v float64) {
	var raw []byte
	for _, p := range labels {
		raw = series.AppendPair(raw, p.Name, p.Value)
	}
	i := uint32(len(b.Times))
	b.Times, b.Values = append(b.Times, t), append(b.Values, v)
	b.Runs = append(b.Runs, ingest.Run{Key: hasher.Sum(raw), Floats: ingest.Span{From: i, To: i + 1}})
	s, _ := b.Source.(sets)
	b.Source = append(s, labels)
}

const (
	interval = 15 * time.Second
	deadline = 5 * time.Second // of a sender's batch
)

// replica scrapes counters that both see and sends what it has to any node; it is away at times.
type replica struct {
	name    string
	rng     *rand.Rand
	phase   time.Duration
	away    [][2]time.Duration // from, to
	queue   []sample
	writers []*ingest.Writer
}

func (r *replica) down(at time.Duration) bool {
	return slices.ContainsFunc(r.away, func(a [2]time.Duration) bool { return at >= a[0] && at < a[1] })
}

func (r *replica) run(t *testing.T, begin time.Time, most time.Duration) {
	next := begin.Add(r.phase)
	for time.Since(begin) < most {
		time.Sleep(time.Until(next))
		at := time.Since(begin)
		next = next.Add(interval)
		if r.down(at) {
			r.queue = nil // It is dead.
			continue
		}
		jitter := time.Duration(r.rng.Int64N(int64(50 * time.Millisecond)))
		ms := time.Now().Add(jitter).UnixMilli()
		r.queue = append(r.queue, sample{ms, float64(ms)})
		time.Sleep(jitter + time.Duration(r.rng.Int64N(int64(deadline))))
		w := r.writers[r.rng.IntN(len(r.writers))]
		b := &ingest.Batch{}
		for _, s := range r.queue {
			for i := range 3 {
				add(b, pairs("__name__", fmt.Sprint("x", i), "cluster", "p", "__replica__", r.name), s.t, s.v)
			}
			add(b, pairs("__name__", "own", "of", r.name), s.t, s.v) // Of no pair.
		}
		res, err := w.Append(t.Context(), b)
		if err == nil && res.Rejections.Status() == 0 {
			r.queue = nil
		}
	}
}

// Whatever two replicas with the same data, jitter, delays and deaths send to two nodes, what is stored
// is of one at a time, goes forward, and has no gap beyond a failover and an interval while one of them lives.
func TestOneReplicaAtATime(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 1))
				c := newNodes(t, 2, Options{})
				defer c.stop()
				c.lag = time.Duration(rng.Int64N(int64(time.Second)))
				store := newMemory()
				var writers []*ingest.Writer
				for _, e := range c.list {
					w, err := ingest.NewWriter(store, ingest.Options{Elector: e})
					require.NoError(t, err)
					writers = append(writers, w)
				}
				a := &replica{name: "a", rng: rand.New(rand.NewPCG(seed, 2)), writers: writers, phase: time.Duration(rng.Int64N(int64(interval)))}
				b := &replica{name: "b", rng: rand.New(rand.NewPCG(seed, 3)), writers: writers, phase: time.Duration(rng.Int64N(int64(interval)))}
				if seed%3 == 0 { // Each to its own node.
					a.writers, b.writers = writers[:1], writers[1:]
				}
				const most = time.Hour
				for at := time.Duration(0); at < most; { // One at a time is away, with a while between.
					at += time.Duration(rng.Int64N(int64(5*time.Minute))) + 2*time.Minute
					r := []*replica{a, b}[rng.IntN(2)]
					until := at + time.Duration(rng.Int64N(int64(3*time.Minute)))
					r.away = append(r.away, [2]time.Duration{at, until})
					at = until
				}
				var wg sync.WaitGroup
				for _, r := range []*replica{a, b} {
					wg.Go(func() { r.run(t, c.begin, most) })
				}
				wg.Wait()
				inspect(t, store, c.begin, most)
				require.Greater(t, testutil.ToFloat64(c.list[0].metrics.elections.WithLabelValues("p")), 1.0, "it failed over")
			})
		})
	}
}

func inspect(t *testing.T, store *memory, begin time.Time, most time.Duration) {
	t.Helper()
	require.Len(t, store.samples, 5)
	allowed := (30*time.Second + 2*interval + deadline).Milliseconds()
	for i := range 3 {
		name := fmt.Sprintf(`{__name__="x%d", cluster="p"}`, i)
		list := store.samples[name]
		require.NotEmpty(t, list, "%v", store.names)
		last, close := begin.UnixMilli(), 0
		for _, s := range list {
			require.Equal(t, float64(s.t), s.v)
			require.Greater(t, s.t, last, "it goes forward, and nothing comes twice")
			require.LessOrEqual(t, s.t-last, allowed)
			if s.t-last < (interval - 100*time.Millisecond).Milliseconds() {
				close++
			}
			last = s.t
		}
		require.LessOrEqual(t, close, 1, "only the first may be close to the beginning")
		require.GreaterOrEqual(t, last, begin.Add(most-30*time.Second-2*interval-deadline).UnixMilli())
	}
}
