package api_test

import (
	"cmp"
	"context"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// memory is a store of a few series in chunks.
type memory struct {
	series    []chunk.Series
	exemplars []frame.ExemplarSeries
	metadata  []frame.Metadata
	// err is returned by selections when set.
	err error
}

// add stores samples of one series, named as in name{label="value"}.
func (m *memory) add(t testing.TB, ls labels.Labels, samples ...series.Sample) {
	t.Helper()
	var b chunk.Builder
	for _, s := range samples {
		require.NoError(t, b.Append(s))
	}
	raw := series.FromLabels(nil, ls)
	m.series = append(m.series, chunk.Series{Fingerprint: raw.Fingerprint(), Labels: raw, Chunks: b.Close(nil)})
	slices.SortFunc(m.series, func(x, y chunk.Series) int {
		return series.Compare(x.Fingerprint, x.Labels, y.Fingerprint, y.Labels)
	})
}

// floats are samples from t on, a step apart.
func floats(t, step int64, vs ...float64) []series.Sample {
	samples := make([]series.Sample, len(vs))
	for i, v := range vs {
		samples[i] = series.Sample{T: t + int64(i)*step, V: v}
	}
	return samples
}

func (m *memory) matching(mint, maxt int64, ms []*labels.Matcher) []chunk.Series {
	var found []chunk.Series
	b := labels.NewScratchBuilder(8)
	for _, s := range m.series {
		ls := s.Labels.Labels(&b)
		if slices.ContainsFunc(ms, func(mt *labels.Matcher) bool { return !mt.Matches(ls.Get(mt.Name)) }) {
			continue
		}
		if slices.ContainsFunc(s.Chunks, func(c chunk.Chunk) bool { return c.MinT <= maxt && c.MaxT >= mint }) {
			found = append(found, s)
		}
	}
	return found
}

func (m *memory) Select(_ context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	return &memorySet{list: m.matching(sel.Mint, sel.Maxt, sel.Matchers)}, m.err
}

type memorySet struct {
	list []chunk.Series
	cur  chunk.Series
}

func (s *memorySet) Next() bool {
	if len(s.list) == 0 {
		return false
	}
	s.cur, s.list = s.list[0], s.list[1:]
	return true
}
func (s *memorySet) At() chunk.Series { return s.cur }
func (s *memorySet) Err() error       { return nil }
func (s *memorySet) Close() error     { return nil }

func (m *memory) LabelNames(_ context.Context, sel series.Selector) ([]string, error) {
	return m.labels(sel, func(name, _ string) string { return name }), m.err
}

func (m *memory) LabelValues(_ context.Context, name string, sel series.Selector) ([]string, error) {
	return m.labels(sel, func(n, v string) string {
		if n == name {
			return v
		}
		return ""
	}), m.err
}

func (m *memory) labels(sel series.Selector, pick func(name, value string) string) []string {
	var found []string
	for _, s := range m.matching(sel.Mint, sel.Maxt, sel.Matchers) {
		for n, v := range s.Labels.All() {
			if p := pick(string(n), string(v)); p != "" {
				found = append(found, p)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func (m *memory) Exemplars(_ context.Context, mint, maxt int64, _ ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	var found []frame.ExemplarSeries
	for _, s := range m.exemplars {
		s.Exemplars = slices.DeleteFunc(slices.Clone(s.Exemplars), func(e frame.Exemplar) bool { return e.T < mint || e.T > maxt })
		if len(s.Exemplars) > 0 {
			found = append(found, s)
		}
	}
	return found, m.err
}

func (m *memory) Metadata(context.Context) []frame.Metadata {
	slices.SortFunc(m.metadata, func(x, y frame.Metadata) int { return cmp.Compare(x.Metric, y.Metric) })
	return m.metadata
}

// exponential is a native histogram with buckets on both sides of zero.
func exponential() *histogram.Histogram {
	return &histogram.Histogram{
		Schema: 0, Count: 12, Sum: 18.4, ZeroThreshold: 0.001, ZeroCount: 2,
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 2}}, PositiveBuckets: []int64{1, 1, -1, 0},
		NegativeSpans: []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 2}}, NegativeBuckets: []int64{1, 1, -1, 0},
	}
}

// custom is a native histogram with custom buckets.
func custom() *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, Count: 10, Sum: 20, CustomValues: []float64{1, 2.5, 5},
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 1}, {Offset: 1, Length: 2}}, PositiveBuckets: []float64{3, 5, 2},
	}
}

func (m *memory) Cardinality(context.Context, series.Selector) (*cardinality.Counts, error) {
	return &cardinality.Counts{}, m.err
}
