package storage

import (
	"context"

	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/head"
	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/series"
)

// Stats tells what the node holds.
type Stats struct {
	Head head.Stats
	// Index ranks what is in the head.
	Index index.Stats
	Parts []PartStats
}

// PartStats tells of one part.
type PartStats struct {
	Name            string
	MinT, MaxT      int64 // inclusive, milliseconds
	Series, Samples int64
	Bytes           int64
}

// Stats tells what the node holds, with the limit largest figures of each ranking.
func (db *DB) Stats(limit int) Stats {
	s := Stats{Head: db.head.Stats(), Index: db.head.IndexStats(limit)}
	for _, p := range db.parts.snapshot() {
		m := p.Meta()
		s.Parts = append(s.Parts, PartStats{
			Name: m.Part.String(), MinT: m.MinT, MaxT: m.MaxT, Series: m.Series, Samples: m.Samples, Bytes: m.Bytes,
		})
	}
	return s
}

// Cardinality counts what the series in the head have that are in the selector's shards, for a ranking of as
// many as its limit. Of the rest of it Take counts.
func (db *DB) Cardinality(_ context.Context, sel series.Selector) (*cardinality.Counts, error) {
	return db.head.Count(sel.Shards, sel.Limit, sel.Take)
}

// Active is the number of series in the head.
func (db *DB) Active() int { return db.head.Active() }
