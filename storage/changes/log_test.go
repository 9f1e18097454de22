package changes

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func covered(spans []Span, s Span) bool {
	return slices.ContainsFunc(spans, func(c Span) bool { return c.Mint <= s.Mint && s.Maxt <= c.Maxt })
}

func TestSince(t *testing.T) {
	l := New()
	begin, changed := l.Since(Stamp{})
	require.Equal(t, []Span{All()}, changed)
	_, changed = l.Since(begin)
	require.Empty(t, changed)

	l.Add(Span{100_000, 100_000})
	one, changed := l.Since(begin)
	require.Equal(t, []Span{{100_000, 109_999}}, changed)
	l.Add(Span{112_000, 119_000}, Span{-5, -3}, Span{5, 4})
	_, changed = l.Since(begin)
	require.Equal(t, []Span{{-10_000, -1}, {100_000, 119_999}}, changed)
	_, changed = l.Since(one)
	require.Equal(t, []Span{{-10_000, -1}, {110_000, 119_999}}, changed)

	_, changed = New().Since(one)
	require.Equal(t, []Span{All()}, changed, "of another life")
}

func TestExtremes(t *testing.T) {
	l := New()
	begin, _ := l.Since(Stamp{})
	l.Add(All())
	after, changed := l.Since(begin)
	require.Equal(t, []Span{All()}, changed)
	l.Add(Span{math.MinInt64, math.MinInt64}, Span{math.MaxInt64, math.MaxInt64})
	_, changed = l.Since(after)
	require.True(t, covered(changed, Span{math.MinInt64, math.MinInt64}))
	require.True(t, covered(changed, Span{math.MaxInt64, math.MaxInt64}))
}

// TestPrecision sees that old times that change do not seem to change new ones, and the other way round.
func TestPrecision(t *testing.T) {
	l := New()
	const now = int64(1_700_000_000_000)
	for s := int64(0); s < 3*day; s += 5000 {
		l.Add(Span{now + s, now + s})
	}
	before, _ := l.Since(Stamp{})
	l.Add(Span{now + 1000, now + 1000})
	l.Add(Span{now + 3*day, now + 3*day + 14_000})
	_, changed := l.Since(before)
	require.Len(t, changed, 2)
	require.Less(t, changed[0].Maxt-changed[0].Mint, int64(300*second))
	require.LessOrEqual(t, changed[1].Maxt-changed[1].Mint, int64(30*second))
}

func TestManySpans(t *testing.T) {
	l := New()
	before, _ := l.Since(Stamp{})
	for i := range int64(100) {
		l.Add(Span{i * 60_000, i * 60_000})
	}
	_, changed := l.Since(before)
	require.Len(t, changed, MaxSpans)
	require.Equal(t, int64(0), changed[0].Mint)
	require.Equal(t, Span{99 * 60_000, 99*60_000 + 9999}, changed[MaxSpans-1])
}

// TestNothingIsForgotten compares the log with a list of all changes.
func TestNothingIsForgotten(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		l := New()
		type change struct {
			Span
			count uint64
		}
		var all []change
		var stamps []Stamp
		now := rng.Int64N(1 << 40)
		for range 500 {
			now += rng.Int64N(100_000)
			s := Span{Mint: now}
			switch rng.IntN(10) {
			case 0:
				s.Mint -= rng.Int64N(10 * day)
			case 1:
				s.Mint -= rng.Int64N(5000 * day)
			case 2:
				s.Mint += rng.Int64N(2000 * day)
			}
			s.Maxt = s.Mint + rng.Int64N(int64(1)<<rng.IntN(40))
			l.Add(s)
			stamp, _ := l.Since(Stamp{})
			all, stamps = append(all, change{s, stamp.Count}), append(stamps, stamp)
		}
		for range 30 {
			since := stamps[rng.IntN(len(stamps))]
			_, changed := l.Since(since)
			require.LessOrEqual(t, len(changed), MaxSpans)
			for _, c := range all {
				if c.count > since.Count && !covered(changed, c.Span) {
					t.Fatalf("%v is not in %v", c, changed)
				}
			}
		}
	}
}

// TestConcurrently has a reader that looks at what was changed and then asks.
func TestConcurrently(t *testing.T) {
	l := New()
	var writers sync.WaitGroup
	for w := range int64(4) {
		writers.Go(func() {
			for i := range int64(1000) {
				before, _ := l.Since(Stamp{})
				l.Add(Span{w * 1_000_000, w*1_000_000 + i})
				if _, changed := l.Since(before); !covered(changed, Span{w * 1_000_000, w*1_000_000 + i}) {
					t.Errorf("a change of %d is not in %v", w, changed)
				}
			}
		})
	}
	writers.Wait()
}

func FuzzLog(f *testing.F) {
	f.Add(int64(0), int64(5), int64(-7), int64(1)<<62)
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, a, b, c, d int64) {
		l := New()
		before, _ := l.Since(Stamp{})
		x, y := Span{min(a, b), max(a, b)}, Span{min(c, d), max(c, d)}
		l.Add(x)
		middle, _ := l.Since(before)
		l.Add(y)
		if _, changed := l.Since(before); !covered(changed, x) || !covered(changed, y) {
			t.Errorf("%v and %v are not in %v", x, y, changed)
		}
		if _, changed := l.Since(middle); !covered(changed, y) {
			t.Errorf("%v is not in %v", y, changed)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	l := New()
	t := int64(1_700_000_000_000)
	for b.Loop() {
		t += 3
		l.Add(Span{t, t + 14_000})
	}
}

func BenchmarkSince(b *testing.B) {
	l := New()
	t := int64(1_700_000_000_000)
	var before Stamp
	for i := range int64(5000) {
		l.Add(Span{t + i*10_000, t + i*10_000})
		if i == 4990 {
			before, _ = l.Since(before)
		}
	}
	for b.Loop() {
		l.Since(before)
	}
}
