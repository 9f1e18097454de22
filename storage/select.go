package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/changes"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Select returns the series that match, with their chunks that overlap the time range. All of it
// is held in memory, encoded; sel.Take bounds it.
func (db *DB) Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	if err := db.beginRead(); err != nil {
		return nil, err
	}
	defer db.reading.RUnlock()
	labelsOnly, limit := sel.SkipChunks, sel.Limit
	stones := db.deletes.overlapping(sel.Mint, sel.Maxt)
	if len(stones) > 0 {
		sel.SkipChunks = false // Only its samples tell whether a series is deleted in the range.
	}
	if !sel.SkipChunks {
		// Head and parts may each choose other series, which would lack samples then.
		sel.Limit = 0
	}
	// The head first: what it lets go meanwhile is in the parts already.
	run, err := db.head.Select(sel)
	if err != nil {
		return nil, fmt.Errorf("select from head: %w", err)
	}
	runs := [][]chunk.Series{run}
	read := map[*part]bool{} // successors
	for _, p := range db.parts.overlapping(sel.Mint, sel.Maxt) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		run, err := db.selectPart(p, sel, stones, read)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	if err := takeJoin(sel, runs); err != nil {
		return nil, err
	}
	set := &seriesSet{series: joinRuns(runs)}
	if labelsOnly {
		for i := range set.series {
			set.series[i].Chunks = nil
		}
	}
	if limit > 0 && len(set.series) > limit {
		set.series = set.series[:limit]
	}
	return set, nil
}

// selectPart selects from a part or, if it is gone, from its successor, unless that was read already.
func (db *DB) selectPart(
	listed *part, sel series.Selector, stones []*tombstone, read map[*part]bool,
) ([]chunk.Series, error) {
	p := listed.acquire()
	if p == nil {
		return nil, nil
	}
	defer p.release()
	if p != listed {
		if read[p] {
			return nil, nil
		}
		read[p] = true
	}
	run, err := p.Select(db.store, sel)
	if err == nil {
		run, err = hideDeleted(run, p.Meta().Part.Seq, stones)
	}
	if err != nil {
		return nil, db.readError("select from", p, err)
	}
	return run, nil
}

// readError names the part that an error is of, and counts and tells it if the part is damaged.
func (db *DB) readError(what string, p *part, err error) error {
	if errors.Is(err, block.ErrCorrupt) || errors.Is(err, chunk.ErrCorrupt) {
		db.metrics.corruptions.Inc()
		db.damaged(p.Meta(), err)
	}
	return fmt.Errorf("%s part %s: %w", what, p.Meta().Part, err)
}

// takeJoin asks for what joining the runs copies: the headers of series and, where they are in
// several runs, of chunks.
func takeJoin(sel series.Selector, runs [][]chunk.Series) error {
	if sel.Take == nil || len(runs) == 1 {
		return nil
	}
	bytes := int64(0)
	for _, run := range runs {
		bytes += int64(len(run)) * int64(unsafe.Sizeof(chunk.Series{}))
		for i := range run {
			bytes += int64(len(run[i].Chunks)) * int64(unsafe.Sizeof(chunk.Chunk{}))
		}
	}
	return sel.Take(bytes)
}

// joinRuns merges runs that are sorted by series.Compare into one, two and two, joining the chunks
// of equal series.
func joinRuns(runs [][]chunk.Series) []chunk.Series {
	runs = slices.DeleteFunc(runs, func(r []chunk.Series) bool { return len(r) == 0 })
	switch len(runs) {
	case 0:
		return nil
	case 1:
		return runs[0]
	}
	mid := len(runs) / 2
	return joinTwo(joinRuns(runs[:mid]), joinRuns(runs[mid:]))
}

func joinTwo(a, b []chunk.Series) []chunk.Series {
	out := make([]chunk.Series, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := series.Compare(a[0].Fingerprint, a[0].Labels, b[0].Fingerprint, b[0].Labels); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			s := a[0]
			s.Chunks = chunk.JoinSorted(a[0].Chunks, b[0].Chunks)
			out, a, b = append(out, s), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// seriesSet is a selection held in memory.
type seriesSet struct {
	series []chunk.Series
	next   int
}

func (s *seriesSet) Next() bool {
	if s.next >= len(s.series) {
		return false
	}
	s.next++
	return true
}

func (s *seriesSet) At() chunk.Series { return s.series[s.next-1] }
func (s *seriesSet) Err() error       { return nil }
func (s *seriesSet) Close() error     { return nil }

// Changes returns the present moment and the times in which a selection may give other samples than at
// the moment since. What a selection gives that is made afterwards has all changes until then; a change
// that was acknowledged before is told.
func (db *DB) Changes(_ context.Context, since changes.Stamp) (changes.Stamp, []changes.Span, error) {
	if db.closed.Load() {
		return changes.Stamp{}, nil, ErrClosed
	}
	now, changed := db.changes.Since(since)
	return now, changed, nil
}

// LabelNames returns the label names of the series that match and may have samples in the time
// range, sorted. The range is taken to the parts that overlap it. sel.Limit bounds the result.
func (db *DB) LabelNames(ctx context.Context, sel series.Selector) ([]string, error) {
	return db.labelQuery(ctx, sel, func() ([]string, error) {
		return db.head.LabelNames(sel)
	}, func(p *part) ([]string, error) {
		return p.LabelNames(db.store, sel)
	})
}

// LabelValues is LabelNames for the values of one label.
func (db *DB) LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error) {
	return db.labelQuery(ctx, sel, func() ([]string, error) {
		return db.head.LabelValues(name, sel)
	}, func(p *part) ([]string, error) {
		return p.LabelValues(db.store, name, sel)
	})
}

func (db *DB) labelQuery(ctx context.Context, sel series.Selector,
	fromHead func() ([]string, error), fromPart func(*part) ([]string, error),
) ([]string, error) {
	if err := db.beginRead(); err != nil {
		return nil, err
	}
	defer db.reading.RUnlock()
	all, err := fromHead()
	if err != nil {
		return nil, fmt.Errorf("labels of head: %w", err)
	}
	for _, p := range db.parts.overlapping(sel.Mint, sel.Maxt) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := p.read(fromPart)
		if err != nil {
			return nil, db.readError("labels of", p, err)
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if sel.Limit > 0 && len(all) > sel.Limit {
		all = all[:sel.Limit]
	}
	return all, nil
}

func (p *part) read(f func(*part) ([]string, error)) ([]string, error) {
	if p = p.acquire(); p == nil {
		return nil, nil
	}
	defer p.release()
	return f(p)
}

// Exemplars returns the exemplars kept for series that match all matchers of any of the sets.
func (db *DB) Exemplars(_ context.Context, mint, maxt int64, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	return db.head.Exemplars(mint, maxt, ms...)
}

// Metadata returns what is known of each metric family.
func (db *DB) Metadata(context.Context) []frame.Metadata { return db.head.Metadata() }

func matches(ls series.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(string(ls.Get(m.Name))) {
			return false
		}
	}
	return true
}
