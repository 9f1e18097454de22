package index

import (
	"github.com/RoaringBitmap/roaring/v2"
	"github.com/prometheus/common/model"

	"github.com/barograph-db/barograph/storage/cardinality"
)

// countRun is how many labels are counted before others may have the lock.
const countRun = 1024

// Count counts what the series in only have; nil is all of them. What is written meanwhile may be
// counted or not. take is asked before bytes are held, and for nothing now and then.
func (m *Mem) Count(only *roaring.Bitmap, l cardinality.Limits, take func(int64) error) (*cardinality.Counts, error) {
	c := counting{
		mem: m, only: only, limits: l, take: take,
		counts:  cardinality.Counts{Pairs: cardinality.NewDistinct(cardinality.Pairs)},
		metrics: top{limit: l.Ranked}, labels: top{limit: l.Ranked},
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	c.counts.Series = uint64(m.mu.all.within(only))
	for i := 0; i < len(m.mu.names); i++ { // Names only ever get more.
		if err := c.nameLocked(i); err != nil {
			return nil, err
		}
	}
	c.counts.Metrics, c.counts.Labels = c.metrics.ranked(), c.labels.ranked()
	c.counts.Names = cardinality.RankNames(c.counts.Names, l.Names)
	return &c.counts, nil
}

type counting struct {
	mem             *Mem
	only            *roaring.Bitmap
	limits          cardinality.Limits
	take            func(int64) error
	counts          cardinality.Counts
	metrics, labels top
	run             int // labels since the lock was taken
}

// nameLocked counts a name's labels. The lock is let go in between.
func (c *counting) nameLocked(number int) error {
	const bytesOfName, bytesOfHash = 64, 16
	m := c.mem
	n := cardinality.Name{Name: m.mu.names[number].text, Values: cardinality.NewDistinct(cardinality.Values)}
	values := min(len(m.mu.names[number].pairs), 2*cardinality.Values)
	if err := c.take(bytesOfName + bytesOfHash*int64(values)); err != nil {
		return err
	}
	some := false
	for i := 0; i < len(m.mu.names[number].pairs); i++ {
		if c.run++; c.run%countRun == 0 {
			m.mu.RUnlock()
			err := c.take(0)
			m.mu.RLock()
			if err != nil || i >= len(m.mu.names[number].pairs) {
				return err
			}
		}
		p := m.mu.pairs.at(m.mu.names[number].pairs[i])
		count := uint64(p.within(c.only))
		if count == 0 {
			continue
		}
		some = true
		n.Bytes += count * uint64(len(p.value))
		n.Values.Add(p.value)
		c.counts.Pairs.AddPair(n.Name, p.value)
		if n.Name == model.MetricNameLabel {
			c.metrics.offer(count, p.value)
		}
		if c.labels.wants(count) {
			c.labels.offer(count, n.Name+"="+p.value)
		}
	}
	if some {
		c.counts.Names = append(c.counts.Names, n)
	}
	return nil
}

func (t *top) ranked() []cardinality.Ranked {
	var list []cardinality.Ranked
	for _, s := range t.sorted() {
		list = append(list, cardinality.Ranked(s))
	}
	return list
}

// within is how many of the series are in only; nil has all.
func (p *postings) within(only *roaring.Bitmap) int {
	switch {
	case only == nil:
		return p.len()
	case p.many != nil:
		return int(p.many.set.AndCardinality(only))
	}
	n := 0
	for _, id := range p.few {
		if only.Contains(id) {
			n++
		}
	}
	return n
}
