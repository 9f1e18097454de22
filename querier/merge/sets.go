package merge

import (
	"bytes"
	"errors"
	"slices"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// Sets merges sets that are in the order of series.Compare into one that is. Closing it closes
// all of them.
func Sets(sets []chunk.SeriesSet) chunk.SeriesSet {
	if len(sets) == 1 {
		return sets[0]
	}
	return &merged{sets: sets}
}

// merged keeps the sets that have a series in a heap with the least on top. Before the first Next
// the heap is empty and the sets are where they came from.
type merged struct {
	sets    []chunk.SeriesSet // all, for Close
	heap    []chunk.SeriesSet
	started bool
	cur     chunk.Series
	err     error
}

func less(a, b chunk.SeriesSet) bool {
	sa, sb := a.At(), b.At()
	return series.Compare(sa.Fingerprint, sa.Labels, sb.Fingerprint, sb.Labels) < 0
}

func (m *merged) Next() bool {
	if !m.started {
		m.start()
	}
	if m.err != nil || len(m.heap) == 0 {
		return false
	}
	m.cur = m.heap[0].At()
	m.advance()
	for m.err == nil && len(m.heap) > 0 {
		s := m.heap[0].At()
		if series.Compare(m.cur.Fingerprint, m.cur.Labels, s.Fingerprint, s.Labels) != 0 {
			break
		}
		m.cur.Chunks = join(m.cur.Chunks, s.Chunks)
		m.advance()
	}
	return m.err == nil
}

// join takes copies of a chunk once: to merge them would cost time, and the hints of histograms.
func join(a, b []chunk.Chunk) []chunk.Chunk {
	both := chunk.JoinSorted(a, b)
	if len(a) == 0 || len(b) == 0 {
		return both // It is one of them.
	}
	return slices.CompactFunc(both, func(a, b chunk.Chunk) bool {
		return a.MinT == b.MinT && a.MaxT == b.MaxT && a.Enc == b.Enc && a.Samples == b.Samples &&
			a.Times == nil && b.Times == nil && bytes.Equal(a.Data, b.Data)
	})
}

func (m *merged) start() {
	m.started = true
	m.heap = make([]chunk.SeriesSet, 0, len(m.sets))
	for _, s := range m.sets {
		if s.Next() {
			m.heap = append(m.heap, s)
		} else if err := s.Err(); err != nil {
			m.err = err
			return
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
}

// advance moves the set on top to its next series, or drops it at its end.
func (m *merged) advance() {
	top := m.heap[0]
	if !top.Next() {
		if m.err = top.Err(); m.err != nil {
			return
		}
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
	}
	m.down(0)
}

func (m *merged) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(m.heap) {
			return
		}
		if right := least + 1; right < len(m.heap) && less(m.heap[right], m.heap[least]) {
			least = right
		}
		if !less(m.heap[least], m.heap[i]) {
			return
		}
		m.heap[i], m.heap[least] = m.heap[least], m.heap[i]
		i = least
	}
}

func (m *merged) At() chunk.Series { return m.cur }
func (m *merged) Err() error       { return m.err }

func (m *merged) Close() error {
	var errs []error
	for _, s := range m.sets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
