package querier

import (
	promstorage "github.com/prometheus/prometheus/storage"

	"github.com/barograph-db/barograph/storage/chunk"
)

// selected is a selection that was made for the evaluation over columns, which then met series that
// it does not know. promql reads the same ones, so they are not selected again.
type selected struct {
	set        chunk.SeriesSet
	mint, maxt int64
}

// covers reports whether the selection has all that is asked for, by the same selector. It ends at
// the last step, which may be less than a step before the end.
func (s *selected) covers(hints *promstorage.SelectHints) bool {
	return s != nil && s.mint <= hints.Start && hints.End-s.maxt < max(hints.Step, 1)
}

// recorder remembers what was read of a set.
type recorder struct {
	chunk.SeriesSet
	seen []chunk.Series
}

// Next moves to the next series.
func (r *recorder) Next() bool {
	if !r.SeriesSet.Next() {
		return false
	}
	r.seen = append(r.seen, r.At())
	return true
}

// again returns the set from its beginning.
func (r *recorder) again() chunk.SeriesSet { return &replayed{SeriesSet: r.SeriesSet, seen: r.seen} }

// replayed is a set of which some were read before.
type replayed struct {
	chunk.SeriesSet
	seen []chunk.Series
	next int
}

// Next moves to the next series.
func (r *replayed) Next() bool {
	r.next++
	return r.next <= len(r.seen) || r.SeriesSet.Next()
}

// At returns the series.
func (r *replayed) At() chunk.Series {
	if r.next <= len(r.seen) {
		return r.seen[r.next-1]
	}
	return r.SeriesSet.At()
}
