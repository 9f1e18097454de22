package queriertest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Sample is a sample of a series.
type Sample struct {
	Labels series.Labels
	series.Sample
}

// Mem is a leaf.Store in memory: a list of samples for each series, encoded when it is asked for.
// The zero value is ready. It may be used concurrently.
type Mem struct {
	mu struct {
		sync.Mutex
		series map[string][]series.Sample // by label bytes; by time
		meta   []frame.Metadata
		exs    []frame.ExemplarSeries
	}
}

var _ leaf.Store = (*Mem)(nil)

// Write puts the samples in. A later one replaces one of the same time.
func (m *Mem) Write(_ context.Context, samples []Sample) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.series == nil {
		m.mu.series = map[string][]series.Sample{}
	}
	for _, s := range samples {
		list := m.mu.series[string(s.Labels)]
		i, found := slices.BinarySearchFunc(list, s.T, func(s series.Sample, t int64) int { return cmp.Compare(s.T, t) })
		if found {
			list[i] = s.Sample
		} else {
			list = slices.Insert(list, i, s.Sample)
		}
		m.mu.series[string(s.Labels)] = list
	}
	return nil
}

// SetMetadata is what Metadata will return.
func (m *Mem) SetMetadata(meta []frame.Metadata) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.meta = meta
}

// AddExemplars gives a series exemplars, by time.
func (m *Mem) AddExemplars(s frame.ExemplarSeries) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.exs = append(m.mu.exs, s)
}

// Select returns the series that match and have samples in the time range.
func (m *Mem) Select(_ context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	set := &seriesSet{}
	for name, samples := range m.matching(sel) {
		ls := series.Labels(name)
		s := chunk.Series{Fingerprint: ls.Fingerprint(), Labels: ls}
		if !sel.Shards.Has(s.Fingerprint) {
			continue
		}
		if !sel.SkipChunks {
			var err error
			if s.Chunks, err = encode(samples, sel.Mint, sel.Maxt); err != nil {
				return nil, err
			}
		}
		if err := take(sel, s); err != nil {
			return nil, err
		}
		set.series = append(set.series, s)
	}
	slices.SortFunc(set.series, func(a, b chunk.Series) int {
		return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
	})
	if sel.Limit > 0 && len(set.series) > sel.Limit {
		set.series = set.series[:sel.Limit]
	}
	return set, nil
}

func take(sel series.Selector, s chunk.Series) error {
	if sel.Take == nil {
		return nil
	}
	n := len(s.Labels)
	for _, c := range s.Chunks {
		n += len(c.Data)
	}
	return sel.Take(int64(n))
}

// matching copies the series that match and have samples in the time range.
func (m *Mem) matching(sel series.Selector) map[string][]series.Sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]series.Sample{}
	for name, samples := range m.mu.series {
		inRange := slices.ContainsFunc(samples, func(s series.Sample) bool { return s.T >= sel.Mint && s.T <= sel.Maxt })
		if inRange && matches(series.Labels(name), sel.Matchers) {
			out[name] = slices.Clone(samples)
		}
	}
	return out
}

func matches(ls series.Labels, ms []*labels.Matcher) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(string(ls.Get(m.Name))) })
}

// encode returns the chunks that overlap the time range.
func encode(samples []series.Sample, mint, maxt int64) ([]chunk.Chunk, error) {
	var b chunk.Builder
	for _, s := range samples {
		if err := b.Append(s); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(b.Close(nil), func(c chunk.Chunk) bool { return c.MaxT < mint || c.MinT > maxt }), nil
}

// LabelNames returns the names of the labels of the series that match.
func (m *Mem) LabelNames(_ context.Context, sel series.Selector) ([]string, error) {
	found := map[string]bool{}
	for name := range m.matching(sel) {
		for n := range series.Labels(name).All() {
			found[string(n)] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// LabelValues returns the values of one label of the series that match.
func (m *Mem) LabelValues(_ context.Context, name string, sel series.Selector) ([]string, error) {
	found := map[string]bool{}
	for ls := range m.matching(sel) {
		if v := series.Labels(ls).Get(name); v != nil {
			found[string(v)] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// Exemplars returns the exemplars of the series that match any of the sets.
func (m *Mem) Exemplars(_ context.Context, mint, maxt int64, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []frame.ExemplarSeries
	for _, s := range m.mu.exs {
		if !slices.ContainsFunc(ms, func(set []*labels.Matcher) bool { return matches(s.Labels, set) }) {
			continue
		}
		s.Exemplars = slices.DeleteFunc(slices.Clone(s.Exemplars), func(e frame.Exemplar) bool { return e.T < mint || e.T > maxt })
		if len(s.Exemplars) > 0 {
			out = append(out, s)
		}
	}
	return out, nil
}

// Metadata returns what SetMetadata was given.
func (m *Mem) Metadata(context.Context) []frame.Metadata {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.meta
}

// Cardinality counts what the series of the shards have; chunks and times are none.
func (m *Mem) Cardinality(_ context.Context, sel series.Selector) (*cardinality.Counts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &cardinality.Counts{Pairs: cardinality.NewDistinct(cardinality.Pairs)}
	metrics, pairs, names := map[string]uint64{}, map[string]uint64{}, map[string]*cardinality.Name{}
	for text := range m.mu.series {
		ls := series.Labels(text)
		if !sel.Shards.Has(ls.Fingerprint()) {
			continue
		}
		c.Series++
		for n, v := range ls.All() {
			name, value := string(n), string(v)
			if name == "__name__" {
				metrics[value]++
			}
			pairs[name+"="+value]++
			c.Pairs.AddPair(name, value)
			if names[name] == nil {
				names[name] = &cardinality.Name{Name: name, Values: cardinality.NewDistinct(cardinality.Values)}
			}
			names[name].Bytes += uint64(len(value))
			names[name].Values.Add(value)
		}
	}
	for name, n := range metrics {
		c.Metrics = append(c.Metrics, cardinality.Ranked{Name: name, Value: n})
	}
	for name, n := range pairs {
		c.Labels = append(c.Labels, cardinality.Ranked{Name: name, Value: n})
	}
	for _, n := range names {
		c.Names = append(c.Names, *n)
	}
	l := cardinality.Of(sel.Limit)
	c.Metrics, c.Labels = cardinality.Rank(c.Metrics, l.Ranked), cardinality.Rank(c.Labels, l.Ranked)
	c.Names = cardinality.RankNames(c.Names, l.Names)
	return c, nil
}

// NewSeriesSet is a set of the series given, which are in the order of series.Compare.
func NewSeriesSet(ss ...chunk.Series) chunk.SeriesSet { return &seriesSet{series: ss} }

type seriesSet struct {
	series []chunk.Series
	next   int
}

func (s *seriesSet) Next() bool {
	s.next++
	return s.next <= len(s.series)
}

func (s *seriesSet) At() chunk.Series { return s.series[s.next-1] }
func (s *seriesSet) Err() error       { return nil }
func (s *seriesSet) Close() error     { return nil }
