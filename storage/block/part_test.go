package block

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// naive is the naive form of a part.
type naive []chunk.Series

func matches(ls series.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(string(ls.Get(m.Name))) {
			return false
		}
	}
	return true
}

// sel selects as a part does, without the limit.
func (m naive) sel(sel series.Selector) []chunk.Series {
	var out []chunk.Series
	for _, s := range m {
		if !matches(s.Labels, sel.Matchers) || !sel.Shards.Has(s.Fingerprint) {
			continue
		}
		got := chunk.Series{Fingerprint: s.Fingerprint, Labels: s.Labels}
		for _, c := range s.Chunks {
			if c.MinT <= sel.Maxt && c.MaxT >= sel.Mint {
				got.Chunks = append(got.Chunks, c)
			}
		}
		if sel.SkipChunks {
			got.Chunks = nil
		} else if len(got.Chunks) == 0 {
			continue
		}
		out = append(out, got)
	}
	slices.SortFunc(out, func(a, b chunk.Series) int {
		return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
	})
	return out
}

func (m naive) labelNames(ms []*labels.Matcher) []string {
	found := map[string]bool{}
	for _, s := range m {
		if matches(s.Labels, ms) {
			for name := range s.Labels.All() {
				found[string(name)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (m naive) labelValues(name string, ms []*labels.Matcher) []string {
	found := map[string]bool{}
	for _, s := range m {
		if v := s.Labels.Get(name); v != nil && matches(s.Labels, ms) {
			found[string(v)] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

var (
	modelNames  = []string{"__name__", "Before", "host", "mode", "ünï", "with\x00zero"}
	modelValues = []string{"a", "ab", "a\x00", "b", "c1", "c2", "c3", "\xff", "long value with spaces"}
)

// randomModel makes series with chunks between from and from+slot.
func randomModel(r *rand.Rand, from int64) naive {
	sets := map[string]bool{}
	var m naive
	for range 1 + r.IntN(400) {
		var ls []string
		for _, name := range modelNames {
			if r.IntN(4) > 0 {
				ls = append(ls, name, modelValues[r.IntN(len(modelValues))])
			}
		}
		set := series.FromStrings(ls...)
		if sets[string(set)] {
			continue
		}
		sets[string(set)] = true
		start := from + r.Int64N(slot/2)
		m = append(m, oneSeries(set, course(r, 0, "kcg"[r.IntN(3)], start, 1+r.IntN(240))))
	}
	return m
}

func randomMatchers(r *rand.Rand) []*labels.Matcher {
	var ms []*labels.Matcher
	for range r.IntN(4) {
		value := modelValues[r.IntN(len(modelValues))]
		if r.IntN(6) == 0 {
			value = ""
		}
		typ := labels.MatchType(r.IntN(4))
		if typ == labels.MatchRegexp || typ == labels.MatchNotRegexp {
			value = []string{"c.", "a|b", ".*", ".+", "a.*", "|c1", "nothing"}[r.IntN(7)]
		}
		name := append(slices.Clone(modelNames), "absent")[r.IntN(len(modelNames)+1)]
		ms = append(ms, labels.MustNewMatcher(typ, name, value))
	}
	return ms
}

func randomSelector(r *rand.Rand, from int64) series.Selector {
	sel := series.Selector{Mint: from - 1, Maxt: from + slot, Matchers: randomMatchers(r), SkipChunks: r.IntN(4) == 0}
	if r.IntN(2) == 0 {
		sel.Mint = from + r.Int64N(slot)
		sel.Maxt = sel.Mint + r.Int64N(slot/4)
	}
	if r.IntN(2) == 0 {
		sel.Shards = &series.ShardSet{Bits: uint8(r.IntN(12))}
		for range r.IntN(1 + 1<<sel.Shards.Bits) {
			sel.Shards.Add(series.Shard(r.IntN(1 << sel.Shards.Bits)))
		}
	}
	if r.IntN(3) == 0 {
		sel.Limit = 1 + r.IntN(50)
	}
	return sel
}

// requireEqual compares by hand first: there is a lot to compare.
func requireEqual(t *testing.T, want, got []chunk.Series, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	equal := slices.EqualFunc(want, got, func(a, b chunk.Series) bool {
		return a.Fingerprint == b.Fingerprint && bytes.Equal(a.Labels, b.Labels) &&
			slices.EqualFunc(a.Chunks, b.Chunks, func(x, y chunk.Chunk) bool {
				y = whole(y)
				return x.Enc == y.Enc && x.Samples == y.Samples && x.MinT == y.MinT && x.MaxT == y.MaxT && bytes.Equal(x.Data, y.Data)
			})
	})
	if !equal {
		require.Equal(t, printSeries(want), printSeries(got), what)
	}
}

// requireSelect holds a part's answer against the model's.
func requireSelect(t *testing.T, p *Part, db pebble.Reader, m naive, sel series.Selector) {
	t.Helper()
	what := fmt.Sprintf("%v [%d,%d] limit %d skip %v", sel.Matchers, sel.Mint, sel.Maxt, sel.Limit, sel.SkipChunks)
	held := int64(0)
	sel.Take = func(bytes int64) error {
		held += bytes
		return nil
	}
	got, err := p.Select(db, sel)
	require.NoError(t, err, what)
	want := m.sel(sel)
	if sel.SkipChunks && !p.meta.overlaps(sel.Mint, sel.Maxt) {
		want = nil
	}
	if sel.Limit > 0 && len(want) > sel.Limit {
		require.Len(t, got, sel.Limit, what)
		chosen := map[string]bool{}
		for _, s := range got {
			chosen[string(s.Labels)] = true
		}
		want = slices.DeleteFunc(want, func(s chunk.Series) bool { return !chosen[string(s.Labels)] })
		requireEqual(t, want, got, what)
		return
	}
	requireEqual(t, want, got, what)
	used := int64(0)
	for i := range want {
		used += int64(len(got[i].Labels)) + 56
		for _, c := range got[i].Chunks {
			used += int64(len(c.Data)) + 56
		}
	}
	require.GreaterOrEqual(t, held, used, "less was asked for than is held: %s", what)
}

// TestAgainstModel builds random parts, several of one slot among them, and asks them random
// questions, before and after the store was closed and opened.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			fs := vfs.NewMem()
			db := openStoreToClose(t, fs)
			models := map[keys.Part]naive{}
			var tables []string
			var metas []Meta
			for n := range int64(4) {
				part := partAt(n/2, uint32(n))
				m := randomModel(r, part.Start)
				r.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
				paths, meta := build(t, fs, db, Meta{
					Part: part, ShardBits: uint8(r.IntN(10)), FlushedBefore: part.Start, FlushedSegment: 7,
				}, m)
				tables, metas = append(tables, paths...), append(metas, meta)
				models[part] = m
			}
			require.NoError(t, db.Ingest(t.Context(), tables))
			left, err := fs.List(buildDir)
			require.NoError(t, err)
			require.Empty(t, left)

			for range 2 {
				listed, err := List(db)
				require.NoError(t, err)
				require.Equal(t, metas, listed)
				for _, meta := range listed {
					p := Open(meta, newTestCache(t))
					require.NoError(t, p.Verify(db))
					m := models[meta.Part]
					for range 25 {
						requireSelect(t, p, db, m, randomSelector(r, meta.Part.Start))
						ms := randomMatchers(r)
						names, err := p.LabelNames(db, series.Selector{Matchers: ms})
						require.NoError(t, err)
						require.Equal(t, m.labelNames(ms), names, "%v", ms)
						name := modelNames[r.IntN(len(modelNames))]
						values, err := p.LabelValues(db, name, series.Selector{Matchers: ms})
						require.NoError(t, err)
						require.Equal(t, m.labelValues(name, ms), values, "%s %v", name, ms)
					}
				}
				require.NoError(t, db.Close())
				db = openStoreToClose(t, fs)
			}
			require.NoError(t, db.Close())
		})
	}
}

// TestLargePart has more than one block of everything.
func TestLargePart(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	m := naive(fleet(3, 5, t0, 10))
	p := Open(ingest(t, fs, db, Meta{Part: partAt(0, 0), ShardBits: 4}, m), newTestCache(t))
	require.NoError(t, p.Verify(db))
	r := rand.New(rand.NewPCG(9, 9))
	for range 30 {
		metric := fleetMetrics[r.IntN(len(fleetMetrics))].name
		instance := fmt.Sprintf("10.0.0.%d:9100", r.IntN(5))
		for _, ms := range [][]*labels.Matcher{
			{labels.MustNewMatcher(labels.MatchEqual, "__name__", metric)},
			{labels.MustNewMatcher(labels.MatchEqual, "instance", instance)},
			{
				labels.MustNewMatcher(labels.MatchEqual, "__name__", metric),
				labels.MustNewMatcher(labels.MatchEqual, "instance", instance),
			},
		} {
			requireSelect(t, p, db, m, series.Selector{Mint: t0, Maxt: t0 + slot, Matchers: ms})
		}
	}
	requireSelect(t, p, db, m, series.Selector{Mint: t0, Maxt: t0 + slot})
}

// TestEqualFingerprints: series that share a fingerprint are ordered by labels.
func TestEqualFingerprints(t *testing.T) {
	s := selection{header: &header{Meta: Meta{ShardBits: 8}}}
	for i, v := range []string{"c", "a", "d", "b"} {
		s.picks = append(s.picks, pick{ordinal: uint32(i)})
		s.result = append(s.result, chunk.Series{Fingerprint: 42, Labels: series.FromStrings("v", v)})
	}
	s.order()
	require.Equal(t, []pick{{0, 2}, {1, 0}, {2, 3}, {3, 1}}, s.picks)
	for i, v := range []string{"a", "b", "c", "d"} {
		require.Equal(t, v, string(s.result[i].Labels.Get("v")))
	}
}

func TestBuilderJoinsAndOrders(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	r := rand.New(rand.NewPCG(1, 1))
	ls := series.FromStrings("__name__", "up")
	late, early := course(r, 0, 'g', t0+600_000, 240), course(r, 0, 'g', t0, 120)
	unordered := []chunk.Chunk{late[1], late[0]}
	p := Open(ingest(t, fs, db, Meta{Part: partAt(0, 0)}, []chunk.Series{
		oneSeries(ls, unordered), oneSeries(series.FromStrings("__name__", "down"), early), oneSeries(ls, early),
	}), newTestCache(t))
	require.NoError(t, p.Verify(db))
	require.EqualValues(t, 2, p.Meta().Series)
	require.EqualValues(t, 240+120+120, p.Meta().Samples)
	got, err := p.Select(db, series.Selector{
		Mint: t0, Maxt: t0 + slot, Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")},
	})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, []chunk.Chunk{early[0], late[0], late[1]}, got[0].Chunks)
	require.Equal(t, late[1], unordered[0], "what the builder is given is not changed")
}

// TestSpill: a part whose chunks were written shard by shard is the part it is anyway.
func TestSpill(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	all := fleet(3, 2, t0, 30)
	meta := Meta{Part: partAt(0, 1), ShardBits: 3}
	_, want := build(t, fs, db, meta, all)
	b := NewBuilder(fs, buildDir, db, meta)
	for shard := range series.Shard(8) {
		require.NoError(t, b.Spill(), "nothing to do")
		var given []series.Labels
		for _, s := range all {
			if s.Fingerprint.Shard(3) != shard {
				continue
			}
			s.Labels = slices.Clone(s.Labels)
			given = append(given, s.Labels)
			require.NoError(t, b.Add(s))
		}
		require.NoError(t, b.Spill())
		for _, ls := range given {
			clear(ls) // Nothing of it is needed any more.
		}
		require.Empty(t, b.entries)
	}
	tables, got, err := b.Finish()
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, db.Ingest(t.Context(), tables))
	p := Open(got, newTestCache(t))
	require.NoError(t, p.Verify(db))
	requireSelect(t, p, db, all, series.Selector{Mint: t0, Maxt: t0 + slot})

	b = NewBuilder(fs, buildDir, db, Meta{Part: partAt(0, 2), ShardBits: 3})
	for i := range 20 {
		require.NoError(t, b.Add(all[i]))
	}
	require.NoError(t, b.Spill())
	require.NoError(t, b.Add(all[0]))
	require.ErrorContains(t, b.Spill(), "comes after shard")
	left, err := fs.List(buildDir)
	require.NoError(t, err)
	for _, name := range left {
		require.NotContains(t, name, fmt.Sprintf("-%d.sst", 2))
	}
}

func TestBuilderRefuses(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	one := oneSeries(series.FromStrings("a", "b"), course(rand.New(rand.NewPCG(1, 1)), 0, 'k', t0, 1))
	for name, c := range map[string]struct {
		meta Meta
		all  []chunk.Series
	}{
		"no series": {Meta{Part: partAt(0, 0)}, nil},
		"bits":      {Meta{Part: partAt(0, 0), ShardBits: 17}, []chunk.Series{one}},
		"start":     {Meta{Part: keys.Part{Start: 1}}, []chunk.Series{one}},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder(fs, buildDir, db, c.meta)
			for _, s := range c.all {
				require.NoError(t, b.Add(s))
			}
			_, _, err := b.Finish()
			require.Error(t, err)
		})
	}
	require.Error(t, NewBuilder(fs, buildDir, db, Meta{}).Add(chunk.Series{}))
	left, err := fs.List(buildDir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestTakeEnds: at whichever request for bytes Take refuses, the selection ends with its error.
func TestTakeEnds(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	p := Open(ingest(t, fs, db, Meta{Part: partAt(0, 0), ShardBits: 2}, fleet(1, 4, t0, 30)), newTestCache(t))
	refused := errors.New("too much")
	calls := 0
	for allowed := 0; ; allowed++ {
		calls = 0
		got, err := p.Select(db, series.Selector{Mint: t0, Maxt: t0 + slot, Take: func(int64) error {
			if calls++; calls > allowed {
				return refused
			}
			return nil
		}})
		if err == nil {
			require.NotEmpty(t, got)
			require.Greater(t, allowed, 5)
			return
		}
		require.ErrorIs(t, err, refused)
		require.Nil(t, got)
		require.NotErrorIs(t, err, ErrCorrupt)
	}
}
