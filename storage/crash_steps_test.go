package storage

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// spot is where a sample lies.
type spot struct {
	series int
	t      int64
}

// stepState is what must be there when power is lost in a step: all of what is certain, and of each
// group of what the step takes away all or nothing.
type stepState struct {
	certain []spot
	either  [][]spot
}

// crashed is what a loss of power has left.
type crashed struct {
	fs    *vfs.MemFS
	step  string
	state *stepState
	acked int // of the frames that are written all the while
	path  string
}

// crashable is a MemFS of which clones can be made while files are linked: MemFS.Link takes its lock
// twice, and waits for ever if CrashClone comes in between.
type crashable struct {
	*vfs.MemFS
	linking *sync.Mutex
}

func (c crashable) Link(from, to string) error {
	c.linking.Lock()
	defer c.linking.Unlock()
	return c.MemFS.Link(from, to)
}

func (c crashable) clone(cfg vfs.CrashCloneCfg) *vfs.MemFS {
	c.linking.Lock()
	defer c.linking.Unlock()
	return c.CrashClone(cfg)
}

// stepper goes through a day's life while power is lost at every operation on the disk, and while
// samples of another day are written.
type stepper struct {
	t    *testing.T
	disk crashable
	db   *running
	refs []series.Ref
	wake chan struct{} // an operation has happened that is not the log's

	mu struct {
		sync.Mutex // of what follows: the hook is called from everywhere
		rng        *rand.Rand
		step       string
		state      *stepState
		acked      int
		crashes    []crashed
	}
	certain []spot
}

const (
	stepSeries = 12
	meanwhile  = midnight + 20*dayMillis // the day of what is written all the while
)

// valueAt is the one value that a series ever has at a time.
func valueAt(s spot) float64 { return float64(s.t%100_003)*math.Sqrt2 + float64(s.series) }

func (s *stepper) hook(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	if !strings.Contains(op.Path, walDir+"/") {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.state == nil {
		return nil
	}
	s.mu.crashes = append(s.mu.crashes, crashed{
		fs: s.disk.clone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 50, 100}[s.mu.rng.IntN(3)], RNG: s.mu.rng,
		}),
		step: s.mu.step, state: s.mu.state, acked: s.mu.acked, path: op.Path,
	})
	return nil
}

// frameAt has a sample of the series from one on, up to another.
func (s *stepper) frameAt(t int64, from, to int) *frame.Frame {
	f := &frame.Frame{}
	for i := from; i < to; i++ {
		f.Refs, f.Times, f.Values = append(f.Refs, s.refs[i]), append(f.Times, t), append(f.Values, valueAt(spot{i, t}))
	}
	return f
}

// put writes samples of some series at times a quarter of an hour apart, and returns where.
func (s *stepper) put(start, end, offset int64, from, to int) []spot {
	var spots []spot
	for t := start + offset; t < end; t += 900_000 {
		put(s.t, s.db.DB, s.frameAt(t, from, to))
		for i := from; i < to; i++ {
			spots = append(spots, spot{i, t})
		}
	}
	return spots
}

// during runs fn while power is lost at each operation. Afterwards what it takes away is gone.
func (s *stepper) during(step string, fn func(), takes ...[]spot) {
	gone := map[spot]bool{}
	for _, g := range takes {
		for _, at := range g {
			gone[at] = true
		}
	}
	var left []spot
	for _, at := range s.certain {
		if !gone[at] {
			left = append(left, at)
		}
	}
	s.certain = left
	s.run(step, fn, &stepState{certain: left, either: takes})
}

// brings runs fn while power is lost at each operation. Afterwards what it brings is there.
func (s *stepper) brings(step string, fn func(), spots []spot) {
	before := s.certain
	s.certain = slices.Concat(before, spots)
	s.run(step, fn, &stepState{certain: before, either: [][]spot{spots}})
}

func (s *stepper) run(step string, fn func(), meanwhile *stepState) {
	set := func(step string, state *stepState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.step, s.mu.state = step, state
	}
	set(step, meanwhile)
	fn()
	set("", nil)
	s.check(crashed{step: "after " + step, state: &stepState{certain: s.certain}}, s.db.DB)
}

// write appends a frame whenever something happens, until ctx ends.
func (s *stepper) write(ctx context.Context) {
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		if _, err := s.db.Append(ctx, s.frameAt(meanwhile+int64(n), 0, 2)); err != nil {
			return // Only ctx ends it; what was refused is not acknowledged.
		}
		s.mu.Lock()
		s.mu.acked = n + 1
		s.mu.Unlock()
	}
}

// check holds what is in the db against what must be. No sample is there twice, or with another
// value.
func (s *stepper) check(c crashed, db *DB) {
	have := map[spot]bool{}
	set, err := db.Select(context.Background(), series.Selector{Mint: math.MinInt64, Maxt: math.MaxInt64})
	require.NoError(s.t, err)
	for set.Next() {
		i := int(set.At().Labels.Get("i")[0] - 'a')
		last := int64(math.MinInt64)
		it := chunk.NewIterator(set.At().Chunks)
		for it.Next() != 0 {
			t, v := it.At()
			require.Greater(s.t, t, last, "%s, at %s: some sample is there twice", c.step, c.path)
			require.Equal(s.t, math.Float64bits(valueAt(spot{i, t})), math.Float64bits(v), "%s, at %s", c.step, c.path)
			have[spot{i, t}] = true
			last = t
		}
		require.NoError(s.t, it.Err())
	}
	for _, at := range c.state.certain {
		require.True(s.t, have[at], "%s, at %s: lost %v", c.step, c.path, at)
		delete(have, at)
	}
	for n := range c.acked {
		for i := range 2 {
			require.True(s.t, have[spot{i, meanwhile + int64(n)}], "%s, at %s: lost frame %d of %d", c.step, c.path, n, c.acked)
		}
	}
	for _, group := range c.state.either {
		n := 0
		for _, at := range group {
			if have[at] {
				n++
			}
			delete(have, at)
		}
		require.Contains(s.t, []int{0, len(group)}, n, "%s, at %s: neither the old state nor the new", c.step, c.path)
	}
	for at := range have {
		require.GreaterOrEqual(s.t, at.t, meanwhile, "%s, at %s: %v is back", c.step, c.path, at)
	}
}

// Power is lost at every operation on the disk of two days' flush, seal, overlay, swap, clean-up
// and retention, while other samples are written. Each time all that was acknowledged is there,
// once; and so it is when the store then seals, and opens again.
func TestCrashAtEveryStep(t *testing.T) {
	ctx := context.Background()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &stepper{t: t, disk: crashable{vfs.NewCrashableMem(), &sync.Mutex{}}, wake: make(chan struct{}, 1)}
	s.mu.rng = rand.New(rand.NewPCG(seed, 1))
	const retention = 48 * time.Hour
	s.db = run(t, errorfs.Wrap(s.disk, errorfs.InjectorFunc(s.hook)), Options{
		Retention: retention, SealAfter: 1000 * time.Hour, WALSegmentBytes: 16 << 10,
	})
	var sets []series.Labels
	for i := range stepSeries {
		sets = append(sets, series.FromStrings("__name__", "m", "i", string(rune('a'+i))))
	}
	var err error
	s.refs, err = s.db.Refs(ctx, nil, sets)
	require.NoError(t, err)
	writing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.write(writing) })

	flush := func() { require.NoError(t, s.db.Flush(ctx)) }
	seal := func() { require.NoError(t, s.db.Seal(ctx)) }
	day, next := midnight, midnight+dayMillis
	add := func(spots []spot) []spot {
		s.certain = append(s.certain, spots...)
		return spots
	}
	first := add(s.put(day, next, 0, 0, stepSeries))
	add(s.put(next, next+dayMillis, 1, 0, stepSeries))
	s.during("flush", flush)
	first = append(first, add(s.put(day, next, 5000, 3, 7))...)
	s.during("flush of late samples", flush)
	s.during("seal", seal)
	first = append(first, add(s.put(day, next, 7000, 0, 4))...)
	s.during("flush of an overlay", flush)
	s.during("seal of an overlay", seal)
	var deleted []spot
	var rest []spot
	for _, at := range first {
		if at.series == 3 && at.t < day+dayMillis/2 {
			deleted = append(deleted, at)
		} else {
			rest = append(rest, at)
		}
	}
	s.during("delete", func() {
		m := labels.MustNewMatcher(labels.MatchEqual, "i", "d")
		require.NoError(t, s.db.Delete(ctx, day, day+dayMillis/2-1, m))
	}, deleted)
	s.during("clean", func() { require.NoError(t, s.db.CleanTombstones(ctx)) })
	donor, moved := newDonor(t, sets[5:8], day+dayMillis/2, next+dayMillis/2)
	bring := func() {
		_, err := s.db.Import(ctx, everythingOf(t, donor))
		require.NoError(t, err)
	}
	s.brings("import", bring, moved) // Of a day that is sealed, and of one that is not.
	s.during("import once more", bring)
	for _, at := range moved {
		if at.t < next {
			rest = append(rest, at)
		}
	}
	s.during("seal of what was imported", seal)
	overlay := add(s.put(day, next, 9000, 0, 4))
	s.during("flush of another overlay", flush)
	s.during("retention", func() {
		s.db.Maintain(ctx, time.UnixMilli(next).Add(retention))
	}, partsOfDay(day, rest, overlay)...)
	stop()
	wg.Wait()
	s.db.stop()
	s.recover(seed)
}

// partsOfDay splits a day's samples as its parts have them: retention takes parts, one by one. The
// overlay has one for each slot.
func partsOfDay(day int64, sealed, overlay []spot) [][]spot {
	groups := [][]spot{sealed}
	for slot := day; slot < day+dayMillis; slot += testSlot {
		var in []spot
		for _, at := range overlay {
			if slot <= at.t && at.t < slot+testSlot {
				in = append(in, at)
			}
		}
		groups = append(groups, in)
	}
	return groups
}

// recover opens what each crash has left, or a random choice of them.
func (s *stepper) recover(seed uint64) {
	const tries = 60
	r := rand.New(rand.NewPCG(seed, 2))
	require.Greater(s.t, len(s.mu.crashes), 300)
	steps := map[string]int{}
	for _, c := range s.mu.crashes {
		steps[c.step]++
		if !*thorough && r.IntN(len(s.mu.crashes)) >= tries {
			continue
		}
		again := run(s.t, c.fs, Options{Retention: century})
		s.check(c, again.DB)
		require.NoError(s.t, again.Seal(context.Background()))
		s.check(c, again.DB)
		again.stop()
		again = run(s.t, c.fs, Options{Retention: century})
		s.check(c, again.DB)
		again.stop()
	}
	s.t.Logf("crashes: %v", steps)
	require.Len(s.t, steps, 12)
}
