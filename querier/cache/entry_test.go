package cache

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/storage/changes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what would be computed: a value for each series and step, which depends on when the step was
// changed last.
type world struct {
	key     Key
	series  int
	changed map[int64]int // by step
}

func (w *world) compute(steps Steps) Computed {
	c := Computed{Steps: steps, Notes: annotations.New().Add(fmt.Errorf("of %d", steps.First/100))}
	for i := range w.series {
		s := promql.Series{Metric: labels.FromStrings("i", fmt.Sprintf("%03d", i))}
		for n := steps.First; n <= steps.Last; n++ {
			v := float64(n*1000) + float64(w.changed[n])
			switch (int(n) + i*7) % (i + 3) {
			case 0: // No value.
			case 1:
				if i%5 == 0 {
					s.Histograms = append(s.Histograms, promql.HPoint{T: w.key.Time(n), H: &histogram.FloatHistogram{Count: v}})
					continue
				}
				fallthrough
			default:
				if i%11 == 10 && n%500 < 400 { // It comes and goes.
					continue
				}
				s.Floats = append(s.Floats, promql.FPoint{T: w.key.Time(n), F: v})
			}
		}
		if len(s.Floats)+len(s.Histograms) > 0 {
			c.Matrix = append(c.Matrix, s)
		}
	}
	return c
}

func free(int64) error { return nil }

// ask does what the engine does and compares the answer with what would be computed.
func (w *world) ask(t testing.TB, e *Entry, want Steps, changed []changes.Span) *Entry {
	e, _ = e.Current(&w.key, changed, Stamps{})
	missing := e.Missing(want)
	require.LessOrEqual(t, len(missing), maxHoles)
	var computed []Computed
	for _, m := range missing {
		require.Equal(t, m, m.both(want), "only what was asked for")
		require.True(t, m.Len() > 1 || want.Len() == 1, "a single step")
		computed = append(computed, w.compute(m))
	}
	e = e.With(&w.key, want, computed...)
	w.check(t, e)
	require.Empty(t, e.Missing(want))
	got, notes, err := e.Matrix(&w.key, want, free)
	require.NoError(t, err)
	require.Equal(t, w.compute(want).Matrix, got)
	require.NotEmpty(t, notes)
	return e
}

// check looks at what is always true of an entry.
func (w *world) check(t testing.TB, e *Entry) {
	require.LessOrEqual(t, e.Steps(), 2*e.longest)
	for i, s := range e.segments {
		require.Positive(t, s.Len())
		require.Equal(t, s.Steps, s.both(s.block.steps))
		require.True(t, i == 0 || e.segments[i-1].Last < s.First)
		require.True(t, slices.IsSortedFunc(s.block.series, func(a, b column) int { return labels.Compare(a.labels, b.labels) }))
		require.LessOrEqual(t, len(s.block.notes), maxNotes)
	}
}

func newWorld(series int) *world {
	return &world{key: Key{Step: 60_000, Phase: 17_000}, series: series, changed: map[int64]int{}}
}

func TestRefresh(t *testing.T) {
	w := newWorld(10)
	e := &Entry{Reach: Reach{Moves: true, Back: 300_000}}
	for n := int64(0); n < 900; n++ {
		e = w.ask(t, e, Steps{n, n + 300}, nil)
		require.LessOrEqual(t, len(e.segments), 24)
		require.LessOrEqual(t, e.bytes(), int64(10*(2*300*16+600)+1<<16))
		n += n % 3
	}
}

// TestRandomly asks for random steps while others are changed.
func TestRandomly(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(1 + rng.IntN(20))
		e := &Entry{Reach: Reach{Moves: true, Back: rng.Int64N(200_000), Ahead: rng.Int64N(200_000) - 100_000}}
		at, span := rng.Int64N(10_000)-5000, 1+rng.Int64N(200)
		for range 60 {
			switch rng.IntN(6) {
			case 0:
				at, span = rng.Int64N(10_000)-5000, 1+rng.Int64N(200)
			case 1:
				at -= rng.Int64N(400)
			default:
				at += rng.Int64N(4)
			}
			var changed []changes.Span
			for rng.IntN(3) == 0 {
				// A change of so many steps, of samples that these see.
				s := Steps{First: at + rng.Int64N(2*span) - span/2}
				s.Last = s.First + rng.Int64N(3)
				for n := s.First; n <= s.Last; n++ {
					w.changed[n]++
				}
				changed = append(changed, changes.Span{
					Mint: w.key.Time(s.First) + e.Reach.Ahead, Maxt: w.key.Time(s.Last) - e.Reach.Back,
				})
			}
			for i := range changed { // Back and Ahead may be such that no sample is seen by so few steps.
				c := &changed[i]
				c.Mint, c.Maxt = min(c.Mint, c.Maxt), max(c.Mint, c.Maxt)
			}
			e = w.ask(t, e, Steps{at, at + span}, changed)
		}
	}
}

// TestStaleSteps compares which steps go with those that see a change.
func TestStaleSteps(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		w := newWorld(1)
		w.key.Step, w.key.Phase = 1+rng.Int64N(20), 0
		w.key.Phase = rng.Int64N(w.key.Step)
		e := &Entry{Reach: Reach{Moves: true, Back: rng.Int64N(100) - 20}}
		e.Reach.Ahead = -e.Reach.Back + rng.Int64N(60)
		e = e.With(&w.key, Steps{-50, 50}, w.compute(Steps{-50, 50}))
		c := changes.Span{Mint: rng.Int64N(2000) - 1000}
		c.Maxt = c.Mint + rng.Int64N(100)
		e, gone := e.Current(&w.key, []changes.Span{c}, Stamps{})
		stale := int64(0)
		for n := int64(-50); n <= 50; n++ {
			at := w.key.Time(n)
			sees := c.Overlaps(changes.Span{Mint: at - e.Reach.Back, Maxt: at + e.Reach.Ahead})
			if sees {
				stale++
			}
			has := slices.ContainsFunc(e.segments, func(s segment) bool { return s.First <= n && n <= s.Last })
			require.Equal(t, !sees, has, "step %d of %v, %v %v", n, w.key, e.Reach, c)
		}
		require.Equal(t, stale, gone)
	}
}

func TestFixedTimes(t *testing.T) {
	w := newWorld(3)
	steps := Steps{0, 20}
	for _, moves := range []bool{false, true} {
		e := (&Entry{Reach: Reach{Moves: moves, Fixed: []changes.Span{{Mint: 5000, Maxt: 9000}}}}).With(&w.key, steps, w.compute(steps))
		same, _ := e.Current(&w.key, []changes.Span{{Mint: 9001, Maxt: 9001}, {Mint: 0, Maxt: 4999}}, Stamps{})
		require.Empty(t, same.Missing(steps))
		none, gone := e.Current(&w.key, []changes.Span{{Mint: 9000, Maxt: 9000}}, Stamps{})
		require.Equal(t, []Steps{steps}, none.Missing(steps))
		require.Equal(t, steps.Len(), gone)
	}
}

func TestNotesStayWithTheirSteps(t *testing.T) {
	w := newWorld(1)
	e := &Entry{Reach: Reach{Moves: true}}
	note := func(text string) annotations.Annotations { return annotations.New().Add(fmt.Errorf("%s", text)) }
	for n, text := range []string{"a", "a", "b", "", "c"} {
		c := w.compute(Steps{int64(n * 2), int64(n*2 + 1)})
		if c.Notes = nil; text != "" {
			c.Notes = note(text)
		}
		e = e.With(&w.key, Steps{0, 10}, c)
	}
	for first, want := range map[int64][]string{0: {"a", "b", "c"}, 3: {"a", "b", "c"}, 4: {"b", "c"}, 6: {"c"}, 9: {"c"}} {
		_, notes, err := e.Matrix(&w.key, Steps{first, 9}, free)
		require.NoError(t, err)
		var texts []string
		for text := range notes {
			texts = append(texts, text)
		}
		slices.Sort(texts)
		require.Equal(t, want, texts, "from %d", first)
	}
	_, notes, err := e.Matrix(&w.key, Steps{6, 7}, free)
	require.NoError(t, err)
	require.Empty(t, notes)
}

func TestBytesAreAskedFor(t *testing.T) {
	w := newWorld(10)
	e := (&Entry{}).With(&w.key, Steps{0, 99}, w.compute(Steps{0, 99}))
	_, _, err := e.Matrix(&w.key, Steps{0, 99}, func(n int64) error {
		require.Greater(t, n, int64(10*60*16))
		return errFull
	})
	require.ErrorIs(t, err, errFull)
}

var errFull = fmt.Errorf("full")

func TestCacheIsBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := New(1<<20, reg)
	w := newWorld(10)
	key := func(i int) Key { return Key{Text: fmt.Sprint(i), Step: 1} }
	for i := range 100 {
		c.Put(key(i), (&Entry{}).With(&w.key, Steps{0, 299}, w.compute(Steps{0, 299})))
		require.NotNil(t, c.Get(key(0)), "it was used")
		_, bytes := c.size()
		require.LessOrEqual(t, bytes, int64(1<<20))
	}
	entries, bytes := c.size()
	require.Greater(t, entries, 10)
	require.Nil(t, c.Get(key(1)))
	require.NotNil(t, c.Get(key(99)))
	c.Put(key(99), c.Get(key(99)))
	again, same := c.size()
	require.Equal(t, entries, again)
	require.Equal(t, bytes, same)

	w.series = 200
	c.Put(key(99), (&Entry{}).With(&w.key, Steps{0, 299}, w.compute(Steps{0, 299})))
	require.Nil(t, c.Get(key(99)), "it is too large")
	require.Positive(t, testutil.ToFloat64(c.metrics.evictions))
	lint, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, lint)
}

// FuzzSteps asks for steps, some of which are changed in between.
func FuzzSteps(f *testing.F) {
	f.Add([]byte{0, 10, 0, 0, 1, 10, 0, 0, 2, 10, 9, 4})
	f.Add([]byte{100, 10, 0, 0, 50, 3, 0, 0, 60, 200, 70, 9, 0, 255, 0, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(3)
		e := &Entry{Reach: Reach{Moves: true}}
		for len(data) >= 4 && len(data) < 400 {
			first, length, changed, n := int64(int8(data[0])), int64(data[1]), int64(int8(data[2])), int64(data[3])
			data = data[4:]
			var spans []changes.Span
			if n > 0 {
				spans = []changes.Span{{Mint: w.key.Time(changed), Maxt: w.key.Time(changed + n - 1)}}
				for s := changed; s < changed+n; s++ {
					w.changed[s]++
				}
			}
			e = w.ask(t, e, Steps{first, first + length}, spans)
		}
	})
}

func TestExtremeSpans(t *testing.T) {
	w := newWorld(2)
	steps := Steps{-3, 20}
	for _, s := range []changes.Span{
		changes.All(), {Mint: math.MinInt64, Maxt: w.key.Time(30)}, {Mint: w.key.Time(-30), Maxt: math.MaxInt64},
	} {
		e := (&Entry{Reach: Reach{Moves: true, Back: 5, Ahead: 5}}).With(&w.key, steps, w.compute(steps))
		e, gone := e.Current(&w.key, []changes.Span{s}, Stamps{})
		require.Equal(t, steps.Len(), gone)
		require.Empty(t, e.segments)
	}
	for _, s := range []changes.Span{{Mint: math.MinInt64, Maxt: math.MinInt64}, {Mint: math.MaxInt64, Maxt: math.MaxInt64}} {
		e := (&Entry{Reach: Reach{Moves: true, Back: 5, Ahead: 5}}).With(&w.key, steps, w.compute(steps))
		_, gone := e.Current(&w.key, []changes.Span{s}, Stamps{})
		require.Zero(t, gone)
	}
}
