package index

import (
	"cmp"
	"slices"

	"github.com/prometheus/common/model"
)

// Stats tells what the index holds: the largest of each kind, in falling order.
type Stats struct {
	Series, LabelPairs int
	// SeriesByMetric counts the series of each metric name.
	SeriesByMetric []Stat
	// ValuesByName counts the values of each label name.
	ValuesByName []Stat
	// BytesByName sums, for each label name, the lengths of its values over all series.
	BytesByName []Stat
	// SeriesByPair counts the series of each label, written name=value.
	SeriesByPair []Stat
}

// Stat is one figure.
type Stat struct {
	Name  string
	Value uint64
}

// Stats looks at every label; it keeps the limit largest figures of each kind.
func (m *Mem) Stats(limit int) Stats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := Stats{Series: m.mu.all.len(), LabelPairs: m.mu.pairs.live}
	metrics, values, sizes, pairs := top{limit: limit}, top{limit: limit}, top{limit: limit}, top{limit: limit}
	for _, n := range m.mu.names {
		if len(n.pairs) == 0 {
			continue
		}
		size := uint64(0)
		for _, number := range n.pairs {
			p := m.mu.pairs.at(number)
			count := uint64(p.len())
			size += count * uint64(len(p.value))
			if n.text == model.MetricNameLabel {
				metrics.offer(count, p.value)
			}
			if pairs.wants(count) {
				pairs.offer(count, n.text+"="+p.value)
			}
		}
		values.offer(uint64(len(n.pairs)), n.text)
		sizes.offer(size, n.text)
	}
	s.SeriesByMetric, s.ValuesByName = metrics.sorted(), values.sorted()
	s.BytesByName, s.SeriesByPair = sizes.sorted(), pairs.sorted()
	return s
}

// top keeps the largest figures. It sorts only when it has twice as many as it needs.
type top struct {
	limit int
	floor uint64 // Once limit figures are there, smaller ones are not wanted.
	stats []Stat
}

func (t *top) wants(value uint64) bool { return t.limit > 0 && value >= t.floor }

func (t *top) offer(value uint64, name string) {
	if !t.wants(value) {
		return
	}
	t.stats = append(t.stats, Stat{name, value})
	if len(t.stats) >= 2*t.limit {
		t.stats = t.sorted()
		t.floor = t.stats[t.limit-1].Value
	}
}

func (t *top) sorted() []Stat {
	slices.SortFunc(t.stats, func(a, b Stat) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Name, b.Name))
	})
	return t.stats[:min(len(t.stats), t.limit)]
}
