package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// Mend imports those samples of a set that are missing here, and those that win over the ones that are
// here (series.Resolve). The set has series of the selector's shards; of its samples those in the
// selector's time count. What was deleted here does not come back: a sample that a tombstone would
// hide, had it been here then, is left out. What this node has of the shards is in memory, encoded,
// while it is compared; sel.Take bounds it. Mend closes the set.
func (db *DB) Mend(ctx context.Context, set chunk.SeriesSet, sel series.Selector) (ImportInfo, error) {
	own, err := db.Select(ctx, sel)
	if err != nil {
		return ImportInfo{}, errors.Join(fmt.Errorf("mend: %w", err), set.Close())
	}
	m := &mending{SeriesSet: set, own: own, sel: sel, stones: db.deletes.overlapping(sel.Mint, sel.Maxt)}
	m.more = own.Next()
	info, err := db.Import(ctx, m)
	return info, errors.Join(err, own.Close())
}

// mending is a set of which only what is missing here is left.
type mending struct {
	chunk.SeriesSet
	own    chunk.SeriesSet
	more   bool // own stands at a series
	sel    series.Selector
	stones []*tombstone
	left   chunk.Series
	err    error

	theirs, ours chunk.Iterator
}

func (m *mending) Next() bool {
	for m.err == nil && m.SeriesSet.Next() {
		s := m.SeriesSet.At()
		if !m.sel.Shards.Has(s.Fingerprint) {
			continue
		}
		chunks, err := m.missing(s)
		if err != nil {
			m.err = fmt.Errorf("compare samples of %s: %w", s.Labels, err)
			return false
		}
		if len(chunks) > 0 {
			m.left = chunk.Series{Fingerprint: s.Fingerprint, Labels: s.Labels, Chunks: chunks}
			return true
		}
	}
	return false
}

func (m *mending) At() chunk.Series { return m.left }

func (m *mending) Err() error { return errors.Join(m.err, m.SeriesSet.Err(), m.own.Err()) }

// ownChunks of a series; those asked for come in the order of series.Compare.
func (m *mending) ownChunks(s chunk.Series) []chunk.Chunk {
	for ; m.more; m.more = m.own.Next() {
		o := m.own.At()
		switch c := series.Compare(o.Fingerprint, o.Labels, s.Fingerprint, s.Labels); {
		case c == 0:
			return o.Chunks
		case c > 0:
			return nil
		}
	}
	return nil
}

// missing returns chunks with those samples of a series that are to be taken in.
func (m *mending) missing(s chunk.Series) ([]chunk.Chunk, error) {
	gone := m.deleted(s.Labels)
	m.theirs.Reset(s.Chunks)
	m.ours.Reset(m.ownChunks(s))
	var b chunk.Builder
	here := m.ours.Seek(m.sel.Mint)
	for typ := m.theirs.Seek(m.sel.Mint); typ != chunkenc.ValNone; typ = m.theirs.Next() {
		t := m.theirs.AtT()
		if t > m.sel.Maxt {
			break
		}
		if here != chunkenc.ValNone && m.ours.AtT() < t {
			here = m.ours.Seek(t)
		}
		sample := m.theirs.Sample()
		if here != chunkenc.ValNone && m.ours.AtT() == t && series.CompareValues(sample, m.ours.Sample()) <= 0 {
			continue
		}
		if within(gone, t) {
			continue
		}
		if err := b.Append(sample); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(m.theirs.Err(), m.ours.Err()); err != nil {
		return nil, err
	}
	return b.Close(nil), nil
}

// deleted is when the series was deleted.
func (m *mending) deleted(ls series.Labels) (gone []chunk.Interval) {
	for _, t := range m.stones {
		if matches(ls, t.matchers) {
			gone = append(gone, chunk.Interval{MinT: t.Mint, MaxT: t.Maxt})
		}
	}
	return gone
}

func within(intervals []chunk.Interval, t int64) bool {
	for _, i := range intervals {
		if i.MinT <= t && t <= i.MaxT {
			return true
		}
	}
	return false
}
