package storagetest

import (
	"cmp"
	"context"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// selected is a series with its samples in the range that was asked for.
type selected struct {
	labels  series.Labels
	samples []series.Sample
}

// collect selects and decodes. It holds the set to its order, and drops series without a sample in
// the range: a store may have some in its answer, since it deals in chunks.
func collect(t *testing.T, store Store, sel series.Selector) []selected {
	t.Helper()
	set, err := store.Select(context.Background(), sel)
	require.NoError(t, err)
	var out []selected
	var last chunk.Series
	for set.Next() {
		s := set.At()
		require.Equal(t, s.Labels.Fingerprint(), s.Fingerprint)
		if last.Labels != nil {
			require.Negative(t, series.Compare(last.Fingerprint, last.Labels, s.Fingerprint, s.Labels),
				"%s after %s", s.Labels, last.Labels)
		}
		last = s
		require.True(t, slices.IsSortedFunc(s.Chunks, func(a, b chunk.Chunk) int {
			return cmp.Compare(a.MinT, b.MinT)
		}), "chunks of %s by start", s.Labels)
		x := selected{labels: series.Labels(string(s.Labels))}
		it := chunk.NewIterator(s.Chunks)
		for typ := it.Seek(sel.Mint); typ != chunkenc.ValNone && it.AtT() <= sel.Maxt; typ = it.Next() {
			x.samples = append(x.samples, it.Sample())
		}
		require.NoError(t, it.Err())
		if len(x.samples) > 0 {
			out = append(out, x)
		}
	}
	require.NoError(t, set.Err())
	require.NoError(t, set.Close())
	return out
}

// compare holds the store's answer to the oracle's.
func (s *suite) compare(sel series.Selector) {
	s.t.Helper()
	want, got := collect(s.t, s.oracle, sel), collect(s.t, s.store, sel)
	for i := range max(len(want), len(got)) {
		if i < len(want) && !slices.ContainsFunc(got, func(x selected) bool {
			return string(x.labels) == string(want[i].labels)
		}) {
			s.t.Fatalf("series %s is missing", want[i].labels)
		}
		if i >= len(want) || string(want[i].labels) != string(got[i].labels) {
			s.t.Fatalf("series %s should not be there", got[i].labels)
		}
		s.compareSamples(want[i], got[i])
	}
	if sel.Limit = 1 + s.r.IntN(4); len(want) > 0 {
		require.LessOrEqual(s.t, len(collect(s.t, s.store, sel)), sel.Limit)
	}
}

func (s *suite) compareSamples(want, got selected) {
	s.t.Helper()
	for i := range max(len(want.samples), len(got.samples)) {
		switch {
		case i >= len(got.samples) || i < len(want.samples) && want.samples[i].T < got.samples[i].T:
			s.t.Fatalf("%s: sample at %d is missing: %+v", want.labels, want.samples[i].T-Base, want.samples[i])
		case i >= len(want.samples) || want.samples[i].T > got.samples[i].T:
			s.t.Fatalf("%s: sample at %d should not be there: %+v", want.labels, got.samples[i].T-Base, got.samples[i])
		case series.CompareValues(want.samples[i], got.samples[i]) != 0:
			s.t.Fatalf("%s: sample at %d is %+v, should be %+v", want.labels, got.samples[i].T-Base, got.samples[i], want.samples[i])
		case i > 0:
			requireHint(s.t, got.samples[i-1], got.samples[i])
		}
	}
}

// requireHint holds that a histogram which says that there was no counter reset is right.
func requireHint(t *testing.T, before, at series.Sample) {
	t.Helper()
	float := func(s series.Sample) *histogram.FloatHistogram {
		if s.H != nil {
			return s.H.ToFloat(nil)
		}
		return s.FH
	}
	a, b := float(before), float(at)
	if b == nil || b.CounterResetHint != histogram.NotCounterReset || at.Stale() {
		return
	}
	require.NotNil(t, a, "no counter reset after a float")
	if !before.Stale() {
		b.CounterResetHint = histogram.UnknownCounterReset
		require.False(t, b.DetectReset(a), "there is a counter reset at %d", at.T-Base)
	}
}

// queryLabels holds label names and values to the oracle's. A store knows by its parts where a
// series has samples, which is not exact: it must name what has some in the range, and may name
// what had some at any time.
func (s *suite) queryLabels() {
	ctx := context.Background()
	sel := s.selector()
	sel.Shards = nil
	ever := series.Selector{Mint: -1 << 62, Maxt: 1 << 62, Matchers: sel.Matchers}
	name := labelNames[s.r.IntN(len(labelNames))]
	s.note("labels %s %d to %d of %v", name, sel.Mint-Base, sel.Maxt-Base, sel.Matchers)

	want, err := s.oracle.LabelNames(ctx, sel)
	require.NoError(s.t, err)
	most, err := s.oracle.LabelNames(ctx, ever)
	require.NoError(s.t, err)
	got, err := s.store.LabelNames(ctx, sel)
	require.NoError(s.t, err)
	s.compareStrings(want, got, most)

	want, err = s.oracle.LabelValues(ctx, name, sel)
	require.NoError(s.t, err)
	most, err = s.oracle.LabelValues(ctx, name, ever)
	require.NoError(s.t, err)
	got, err = s.store.LabelValues(ctx, name, sel)
	require.NoError(s.t, err)
	s.compareStrings(want, got, most)
}

func (s *suite) compareStrings(want, got, most []string) {
	s.t.Helper()
	require.True(s.t, slices.IsSorted(got), "%q", got)
	require.Len(s.t, slices.Compact(slices.Clone(got)), len(got), "%q", got)
	require.Subset(s.t, got, want)
	if !s.deleted {
		require.Subset(s.t, most, got)
	}
}
