package storagetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Base is the time around which the suite's samples lie, in milliseconds: the start of some slot,
// years ago. A store under test must have neither a window nor a retention that shuts it out.
const Base = 1_699_999_200_000

// Run holds a store to the oracle. open opens the store whose data are in dir: it is called with a
// new folder for each test, and again with the same one after Close. The store is closed at the
// end.
func Run(t *testing.T, open func(t *testing.T, dir string) Store) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("random operations %d", seed), func(t *testing.T) { runRandom(t, seed, open) })
	}
	t.Run("concurrent appends", func(t *testing.T) { runConcurrent(t, open) })
	t.Run("unknown reference", func(t *testing.T) { runUnknownRef(t, open) })
}

// suite is one run of random operations on a store and the oracle.
type suite struct {
	t      *testing.T
	r      *rand.Rand
	open   func(t *testing.T, dir string) Store
	dir    string
	store  Store
	oracle *Oracle

	series  []*testSeries
	deleted bool     // There was a Delete: labels of what is gone may stay for a while.
	history []string // For whoever has to find out what went wrong.
}

// testSeries is a series the suite writes to.
type testSeries struct {
	labels series.Labels
	gen    sampler
	ref    series.Ref // The store's; 0 when it has to be looked up.
	mine   series.Ref // The oracle's.
	sent   []series.Sample
}

const steps = 120

func runRandom(t *testing.T, seed uint64, open func(t *testing.T, dir string) Store) {
	s := &suite{t: t, r: rand.New(rand.NewPCG(seed, 0)), open: open, dir: t.TempDir(), oracle: NewOracle()}
	s.store = open(t, s.dir)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, operations:\n%s", seed, strings.Join(s.history, "\n"))
		}
		require.NoError(t, s.store.Close())
	}()
	for range steps {
		switch n := s.r.IntN(100); {
		case n < 45:
			s.append()
		case n < 55:
			s.flush()
		case n < 59:
			s.reopen()
		case n < 63:
			s.delete()
		case n < 90:
			s.query()
		default:
			s.queryLabels()
		}
	}
	s.compare(series.Selector{Mint: Base - 1<<40, Maxt: Base + 1<<40})
	s.flush()
	s.reopen()
	s.compare(series.Selector{Mint: Base - 1<<40, Maxt: Base + 1<<40})
}

func (s *suite) note(format string, args ...any) {
	s.history = append(s.history, fmt.Sprintf(format, args...))
}

// pick returns some series, old or new.
func (s *suite) pick() *testSeries {
	if len(s.series) > 0 && (len(s.series) > 60 || s.r.IntN(4) > 0) {
		return s.series[s.r.IntN(len(s.series))]
	}
	ls := randomLabels(s.r)
	for _, old := range s.series {
		if string(old.labels) == string(ls) {
			return old
		}
	}
	x := &testSeries{labels: ls, gen: newSampler(s.r)}
	s.series = append(s.series, x)
	return x
}

// append writes one frame: runs of new samples, late ones, repeated ones and contradicting ones.
func (s *suite) append() {
	batch := map[*testSeries][]series.Sample{}
	var order []*testSeries
	for range 1 + s.r.IntN(12) {
		x := s.pick()
		if _, ok := batch[x]; ok {
			continue
		}
		order = append(order, x)
		for range 1 + s.r.IntN(1<<s.r.IntN(9)) {
			sample := x.gen.next(s.r)
			if n := len(x.sent); n > 0 {
				switch s.r.IntN(40) {
				case 0: // Again.
					sample = x.sent[s.r.IntN(n)]
				case 1: // Another value, perhaps another kind, for a time that is taken.
					other := newSampler(s.r)
					sample = other.next(s.r)
					sample.T = x.sent[s.r.IntN(n)].T
				case 2: // Late.
					sample.T = Base + s.r.Int64N(max(1, sample.T-Base))
				}
			}
			x.sent = append(x.sent, sample)
			batch[x] = append(batch[x], sample)
		}
	}
	n := 0
	for _, x := range order {
		n += len(batch[x])
	}
	s.note("append %d samples of %d series", n, len(order))
	s.write(order, batch)
}

// write sends the batch to both. References that the store does not know any more are looked up
// anew, once.
func (s *suite) write(order []*testSeries, batch map[*testSeries][]series.Sample) {
	ctx := context.Background()
	for try := 0; ; try++ {
		var f, mine frame.Frame
		var owner []*testSeries // By index in f: floats, then histograms.
		var histograms []*testSeries
		for _, x := range order {
			s.lookUp(x)
			for _, sample := range batch[x] {
				addSample(&f, x.ref, sample)
				addSample(&mine, x.mine, sample)
				if sample.Kind() == series.Float {
					owner = append(owner, x)
				} else {
					histograms = append(histograms, x)
				}
			}
		}
		if len(f.Starts) > 0 {
			f.Starts = append(f.Starts, make([]int64, len(f.Refs)-len(f.Starts))...)
			mine.Starts = append(mine.Starts, make([]int64, len(mine.Refs)-len(mine.Starts))...)
		}
		owner = append(owner, histograms...)
		rejected, err := s.store.Append(ctx, &f)
		require.NoError(s.t, err)
		if len(rejected) == 0 {
			_, err := s.oracle.Append(ctx, &mine)
			require.NoError(s.t, err)
			return
		}
		require.Less(s.t, try, 1, "samples rejected: %v", rejected)
		for _, r := range rejected {
			require.Equal(s.t, frame.UnknownRef, r.Reason, "sample of %s", owner[r.Index].labels)
			owner[r.Index].ref = 0
		}
	}
}

func (s *suite) lookUp(x *testSeries) {
	ctx := context.Background()
	if x.mine == 0 {
		refs, err := s.oracle.Refs(ctx, nil, []series.Labels{x.labels})
		require.NoError(s.t, err)
		x.mine = refs[0]
	}
	if x.ref == 0 {
		refs, err := s.store.Refs(ctx, nil, []series.Labels{x.labels})
		require.NoError(s.t, err)
		require.Len(s.t, refs, 1)
		require.NotZero(s.t, refs[0])
		x.ref = refs[0]
	}
}

func (s *suite) flush() {
	s.note("flush")
	require.NoError(s.t, s.store.Flush(context.Background()))
}

func (s *suite) reopen() {
	s.note("reopen")
	require.NoError(s.t, s.store.Close())
	s.store = s.open(s.t, s.dir)
	for _, x := range s.series {
		x.ref = 0
	}
}

func (s *suite) delete() {
	mint, maxt := s.span()
	ms := randomMatchers(s.r)
	s.note("delete %d to %d of %v", mint-Base, maxt-Base, ms)
	require.NoError(s.t, s.store.Delete(context.Background(), mint, maxt, ms...))
	require.NoError(s.t, s.oracle.Delete(context.Background(), mint, maxt, ms...))
	s.deleted = true
}

// span is a stretch of time from nothing to all there is.
func (s *suite) span() (mint, maxt int64) {
	if s.r.IntN(4) == 0 {
		return Base - 1<<40, Base + 1<<40
	}
	mint = Base + s.r.Int64N(12*hour) - hour
	return mint, mint + s.r.Int64N(1<<(10+s.r.IntN(16)))
}

func (s *suite) selector() series.Selector {
	sel := series.Selector{Matchers: randomMatchers(s.r)}
	sel.Mint, sel.Maxt = s.span()
	if s.r.IntN(5) == 0 {
		sel.Shards = &series.ShardSet{Bits: uint8(s.r.IntN(5))}
		for i := range 1 << sel.Shards.Bits {
			if s.r.IntN(2) == 0 {
				sel.Shards.Add(series.Shard(i))
			}
		}
	}
	return sel
}

func (s *suite) query() {
	sel := s.selector()
	s.note("select %d to %d of %v", sel.Mint-Base, sel.Maxt-Base, sel.Matchers)
	s.compare(sel)
}

// runConcurrent writes the same samples from several goroutines, each in its own order and with
// contradictions among them: in the end all stores agree.
func runConcurrent(t *testing.T, open func(t *testing.T, dir string) Store) {
	const writers, rounds = 4, 20
	s := &suite{t: t, r: rand.New(rand.NewPCG(99, 0)), open: open, dir: t.TempDir(), oracle: NewOracle()}
	s.store = open(t, s.dir)
	defer func() { require.NoError(t, s.store.Close()) }()
	var sets []series.Labels
	for range 40 {
		sets = append(sets, s.pick().labels)
	}
	ctx := context.Background()
	var wg sync.WaitGroup
	errs := make(chan error, writers+1)
	for w := range writers {
		wg.Go(func() { errs <- writeShuffled(ctx, s.store, s.oracle, sets, uint64(w), rounds) })
	}
	wg.Go(func() {
		for range 5 {
			if err := s.store.Flush(ctx); err != nil {
				errs <- err
				return
			}
		}
		errs <- nil
	})
	wg.Wait()
	for range writers + 1 {
		require.NoError(t, <-errs)
	}
	s.compare(series.Selector{Mint: Base - hour, Maxt: Base + 1<<40})
	s.reopen()
	s.compare(series.Selector{Mint: Base - hour, Maxt: Base + 1<<40})
}

func writeShuffled(ctx context.Context, store, oracle Store, sets []series.Labels, seed uint64, rounds int) error {
	r := rand.New(rand.NewPCG(seed, 1))
	for round := range rounds {
		var points []int
		for i := range sets {
			points = append(points, i)
		}
		r.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		for _, to := range []Store{oracle, store} {
			refs, err := to.Refs(ctx, nil, sets)
			if err != nil {
				return err
			}
			values := rand.New(rand.NewPCG(seed, uint64(round)))
			var f frame.Frame
			for _, i := range points {
				for k := range 5 {
					t := Base + int64(round*5+k)*15000
					addSample(&f, refs[i], series.Sample{T: t, V: float64(values.IntN(3))})
				}
			}
			rejected, err := to.Append(ctx, &f)
			if err != nil {
				return err
			}
			if len(rejected) > 0 {
				return fmt.Errorf("samples rejected: %v", rejected)
			}
		}
	}
	return nil
}

// runUnknownRef holds that a reference nobody gave out is refused, and nothing else with it.
func runUnknownRef(t *testing.T, open func(t *testing.T, dir string) Store) {
	ctx := context.Background()
	store := open(t, t.TempDir())
	defer func() { require.NoError(t, store.Close()) }()
	refs, err := store.Refs(ctx, nil, []series.Labels{series.FromStrings("__name__", "up")})
	require.NoError(t, err)
	var f frame.Frame
	addSample(&f, series.MakeRef(12345, 1), series.Sample{T: Base, V: 1})
	addSample(&f, refs[0], series.Sample{T: Base, V: 2})
	addSample(&f, series.MakeRef(refs[0].Index(), 77), series.Sample{T: Base, V: 3})
	rejected, err := store.Append(ctx, &f)
	require.NoError(t, err)
	require.Equal(t, []frame.Rejected{
		{Index: 0, Reason: frame.UnknownRef}, {Index: 2, Reason: frame.UnknownRef},
	}, rejected)
	all := labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+")
	got := collect(t, store, series.Selector{Mint: Base, Maxt: Base, Matchers: []*labels.Matcher{all}})
	require.Len(t, got, 1)
	require.Equal(t, []series.Sample{{T: Base, V: 2}}, got[0].samples)
}
