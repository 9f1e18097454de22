package index_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/series"
)

func matcher(t testing.TB, s string) *labels.Matcher {
	t.Helper()
	for _, op := range []struct {
		text string
		kind labels.MatchType
	}{{"=~", labels.MatchRegexp}, {"!~", labels.MatchNotRegexp}, {"!=", labels.MatchNotEqual}, {"=", labels.MatchEqual}} {
		if name, value, ok := strings.Cut(s, op.text); ok {
			m, err := labels.NewMatcher(op.kind, name, value)
			require.NoError(t, err)
			return m
		}
	}
	t.Fatalf("no operator in %q", s)
	return nil
}

func matchers(t testing.TB, ss ...string) []*labels.Matcher {
	var ms []*labels.Matcher
	for _, s := range ss {
		ms = append(ms, matcher(t, s))
	}
	return ms
}

func add(m *index.Mem, id uint32, ss ...string) {
	m.Add(index.Entry{ID: id, Labels: series.FromStrings(ss...)})
}

func TestSelect(t *testing.T) {
	m := index.NewMem()
	add(m, 0, "n", "1")
	add(m, 1, "n", "1", "i", "a")
	add(m, 2, "n", "1", "i", "b")
	add(m, 3, "n", "1", "i", "\n")
	add(m, 4, "n", "2")
	add(m, 5, "n", "2.5")
	for _, c := range []struct {
		matchers string
		want     []uint32
	}{
		{"n=1", []uint32{0, 1, 2, 3}},
		{"n=1 i=a", []uint32{1}},
		{"n=1 i=missing", nil},
		{"missing=", []uint32{0, 1, 2, 3, 4, 5}},
		{"missing!=", nil},
		{"i=", []uint32{0, 4, 5}},
		{"i!=", []uint32{1, 2, 3}},
		{"n=1 i=", []uint32{0}},
		{"n=1 i!=", []uint32{1, 2, 3}},
		{"n!=1", []uint32{4, 5}},
		{"n=1 i!=a", []uint32{0, 2, 3}},
		{"n=~^1$", []uint32{0, 1, 2, 3}},
		{"n=~1|2", []uint32{0, 1, 2, 3, 4}},
		{"n=~2.*", []uint32{4, 5}},
		{"n=1 i=~^a$", []uint32{1}},
		{"n=1 i=~^a?$", []uint32{0, 1}},
		{"i=~^$", []uint32{0, 4, 5}},
		{"i=~.*", []uint32{0, 1, 2, 3, 4, 5}},
		{"i=~.+", []uint32{1, 2, 3}},
		{"i!~.+", []uint32{0, 4, 5}},
		{"i!~.*", nil},
		{"n!~^1$", []uint32{4, 5}},
		{"n=1 i!~^a?$", []uint32{2, 3}},
		{"n=1 i!~a|b", []uint32{0, 3}},
		{"n=1 i!~|a", []uint32{2, 3}},
		{"n=1 i=~a|", []uint32{0, 1}},
		{"n=~(?i)1 i=~(?i:A)", []uint32{1}},
		{"n=1 i!=a i!~b", []uint32{0, 3}},
		{"", []uint32{0, 1, 2, 3, 4, 5}},
	} {
		t.Run(c.matchers, func(t *testing.T) {
			got, err := index.Select(m, matchers(t, strings.Fields(c.matchers)...))
			require.NoError(t, err)
			require.ElementsMatch(t, c.want, got.ToArray())
		})
	}
}

// model is the naive index.
type model map[uint32]labels.Labels

func (md model) selected(ms []*labels.Matcher) []uint32 {
	var ids []uint32
	for id, ls := range md {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) }) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (md model) names(ids []uint32) (names []string) {
	for _, id := range ids {
		md[id].Range(func(l labels.Label) { names = append(names, l.Name) })
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (md model) values(ids []uint32, name string) (values []string) {
	for _, id := range ids {
		if v := md[id].Get(name); v != "" {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

func TestAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m, md := index.NewMem(), model{}
	next := uint32(0)
	var free []uint32
	pick := func(n int) string { return fmt.Sprint("v", rng.IntN(n)) }
	grow := func(n int) {
		var entries []index.Entry
		for range n {
			id := next
			if len(free) > 0 {
				id, free = free[len(free)-1], free[:len(free)-1]
			} else {
				next++
			}
			ls := labels.FromStrings("__name__", pick(20), "unique", fmt.Sprint(rng.Uint64()))
			b := labels.NewBuilder(ls)
			for _, name := range []string{"a", "b", "c"} {
				if rng.IntN(3) > 0 {
					b.Set(name, pick(4))
				}
			}
			md[id] = b.Labels()
			entries = append(entries, index.Entry{ID: id, Labels: series.FromLabels(nil, md[id])})
		}
		m.Add(entries...)
	}
	shrink := func(part int) {
		gone := roaring.New()
		for id := range md {
			if rng.IntN(part) == 0 {
				gone.Add(id)
			}
		}
		for _, id := range gone.ToArray() {
			delete(md, id)
			free = append(free, id)
		}
		m.Remove(gone)
	}
	check := func() {
		for range 60 {
			var ms []*labels.Matcher
			for range rng.IntN(4) {
				name := []string{"__name__", "a", "b", "c", "none"}[rng.IntN(5)]
				kind := labels.MatchType(rng.IntN(4))
				value := []string{"", "v1", pick(20), "v1|v2", "v(1|2|)", ".*", ".+", "v1.*", "V1", "|v3"}[rng.IntN(10)]
				ms = append(ms, labels.MustNewMatcher(kind, name, value))
			}
			want := md.selected(ms)
			got, err := index.Select(m, ms)
			require.NoError(t, err)
			require.ElementsMatch(t, want, got.ToArray(), "%v", ms)
			names, err := index.LabelNames(m, nil, ms...)
			require.NoError(t, err)
			require.Equal(t, md.names(want), names, "%v", ms)
			name := []string{"__name__", "a", "none"}[rng.IntN(3)]
			values, err := index.LabelValues(m, nil, name, ms...)
			require.NoError(t, err)
			require.ElementsMatch(t, md.values(want, name), values, "%s %v", name, ms)
			require.True(t, slices.IsSorted(values))
		}
		r := m.Read()
		for id, ls := range md {
			b := labels.NewScratchBuilder(8)
			require.Equal(t, ls, r.AppendLabels(nil, id).Labels(&b))
			require.True(t, r.Equal(id, series.FromLabels(nil, ls)))
		}
		r.Close()
		require.Equal(t, len(md), m.Stats(3).Series)
	}
	for range 12 {
		grow(300)
		check()
		shrink(3)
		check()
	}
	shrink(1)
	check()
	s := m.Stats(10)
	require.Zero(t, s.LabelPairs)
	require.Empty(t, s.SeriesByMetric)
	grow(50)
	check()
}

func TestStats(t *testing.T) {
	m := index.NewMem()
	for i := range uint32(10) {
		add(m, i, "__name__", fmt.Sprint("m", i%3), "i", fmt.Sprint(i))
	}
	s := m.Stats(2)
	require.Equal(t, 10, s.Series)
	require.Equal(t, 13, s.LabelPairs)
	require.Equal(t, []index.Stat{{"m0", 4}, {"m1", 3}}, s.SeriesByMetric)
	require.Equal(t, []index.Stat{{"i", 10}, {"__name__", 3}}, s.ValuesByName)
	require.Equal(t, []index.Stat{{"__name__", 20}, {"i", 10}}, s.BytesByName)
	require.Equal(t, []index.Stat{{"__name__=m0", 4}, {"__name__=m1", 3}}, s.SeriesByPair)
	require.Empty(t, m.Stats(0).SeriesByPair)
}

func TestGuardEndsEvaluation(t *testing.T) {
	m := index.NewMem()
	for i := range uint32(1000) {
		add(m, i, "i", fmt.Sprint(i))
	}
	enough := errors.New("enough")
	left := 3
	src := index.Guard(m, func() error {
		if left--; left < 0 {
			return enough
		}
		return nil
	})
	_, err := index.Select(src, matchers(t, "i=~.*7.*"))
	require.ErrorIs(t, err, enough)
	_, err = index.LabelValues(src, nil, "i", matchers(t, "i!~.*7.*")...)
	require.ErrorIs(t, err, enough)
	left = 100
	got, err := index.Select(src, matchers(t, "i=~1.."))
	require.NoError(t, err)
	require.Equal(t, uint64(100), got.GetCardinality())
}

// Readers see whole series and sorted values while series come and go.
func TestConcurrent(t *testing.T) {
	m := index.NewMem()
	var readers, writers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				both, err := index.Select(m, matchers(t, "stays=yes", "part=~1|2"))
				if err != nil || both.GetCardinality()%2 != 0 {
					t.Errorf("half a batch is visible: %d, %v", both.GetCardinality(), err)
					return
				}
				values, err := index.LabelValues(m, nil, "i", matchers(t, "part=1")...)
				if err != nil || !slices.IsSorted(values) {
					t.Errorf("values are not sorted: %v", err)
					return
				}
				m.Stats(5)
			}
		})
	}
	for w := range uint32(2) {
		writers.Go(func() {
			gone := roaring.New()
			for i := range uint32(300) {
				id := 4 * (2*i + w)
				i := fmt.Sprint(id)
				m.Add(
					index.Entry{ID: id, Labels: series.FromStrings("i", i, "part", "1", "stays", "yes")},
					index.Entry{ID: id + 1, Labels: series.FromStrings("i", i, "part", "2", "stays", "yes")},
					index.Entry{ID: id + 2, Labels: series.FromStrings("i", i+"x", "part", "1")},
				)
				if gone.Add(id + 2); i[len(i)-1] == '0' {
					m.Remove(gone)
					gone.Clear()
				}
			}
			m.Remove(gone)
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	require.Equal(t, 1200, m.Stats(1).Series)
}

// TestManyValues: a pattern that matches more values than are joined at one time, alone and within
// what another matcher left.
func TestManyValues(t *testing.T) {
	const count = 5000
	m := index.NewMem()
	for i := range uint32(count) {
		add(m, i, "half", fmt.Sprint(i%2), "i", fmt.Sprint(i))
	}
	for text, want := range map[string]uint64{
		"i=~.+": count, "i=~.*": count, "i=~.+ half=1": count / 2, "i=~.+ i!~.*7": count - count/10,
	} {
		got, err := index.Select(m, matchers(t, strings.Fields(text)...))
		require.NoError(t, err)
		require.Equal(t, want, got.GetCardinality(), text)
	}
}

// TestTake: label names and values are held only as far as take allows.
func TestTake(t *testing.T) {
	m := index.NewMem()
	for i := range uint32(1000) {
		add(m, i, "i", fmt.Sprint(i))
	}
	var taken int64
	full := errors.New("full")
	take := func(n int64) error {
		if taken+n > 4000 {
			return full
		}
		taken += n
		return nil
	}
	_, err := index.LabelValues(m, take, "i")
	require.ErrorIs(t, err, full)
	require.Greater(t, taken, int64(3900))
	taken = 4000
	_, err = index.LabelNames(m, take)
	require.ErrorIs(t, err, full)
	taken = 0
	names, err := index.LabelNames(m, take, matchers(t, "i=1")...)
	require.NoError(t, err)
	require.Equal(t, []string{"i"}, names)
	require.Positive(t, taken)
}
