package block

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// Hide takes shards, of as many as the part tells apart, out of it for whoever reads it from now on; nil
// is none. Reads that have begun may still want their rows.
func (p *Part) Hide(shards *series.ShardSet) { p.hidden.Store(shards) }

// Hidden returns the shards that are hidden, nil if there are none.
func (p *Part) Hidden() *series.ShardSet { return p.hidden.Load() }

// Shards returns those that the part was written with, hidden or not.
func (p *Part) Shards(r pebble.Reader) (*series.ShardSet, error) {
	h, err := p.header(r)
	if err != nil {
		return nil, err
	}
	set := &series.ShardSet{Bits: h.ShardBits}
	for _, s := range h.shards {
		set.Add(s)
	}
	return set, nil
}

// Trim takes off the store the tables that have chunk rows of hidden shards and of no others, and returns
// how many bytes went, and how many of hidden rows are left since others share their tables. No read may
// be under way that began before these shards were hidden. A table goes as a whole or not at all: of one
// that is cut, Pebble would keep the file.
func (p *Part) Trim(ctx context.Context, db *pebble.DB) (freed, left int64, err error) {
	h, err := p.header(db)
	if err != nil {
		return 0, 0, err
	}
	for _, run := range h.hiddenRuns(p.hidden.Load()) {
		if err := ctx.Err(); err != nil {
			return freed, left, err
		}
		before, err := db.EstimateDiskUsage(run.Start, run.End)
		if err != nil {
			return freed, left, fmt.Errorf("trim part %s: %w", p.meta.Part, err)
		}
		after := before
		if tables := tablesWithin(db, run); tables.Start != nil {
			if err := db.Excise(ctx, tables); err != nil {
				return freed, left, fmt.Errorf("trim part %s: %w", p.meta.Part, err)
			}
			if after, err = db.EstimateDiskUsage(run.Start, run.End); err != nil {
				return freed, left, fmt.Errorf("trim part %s: %w", p.meta.Part, err)
			}
		}
		gone := int64(before) - int64(after)
		p.trimmed.Add(gone)
		freed, left = freed+gone, left+int64(after)
	}
	return freed, left, nil
}

// hiddenRuns are the ranges of chunk rows of hidden shards, as few as there can be.
func (h *header) hiddenRuns(hidden *series.ShardSet) []pebble.KeyRange {
	if hidden == nil {
		return nil
	}
	var runs []pebble.KeyRange
	open := false
	for _, s := range h.shards {
		switch is := hidden.Has(lowest(s, h.ShardBits)); {
		case is && !open:
			runs = append(runs, pebble.KeyRange{Start: keys.AppendChunk(nil, h.Part, s, 0)})
			_, runs[len(runs)-1].End = keys.PartSpan(keys.Chunks, h.Part)
			open = true
		case !is && open:
			runs[len(runs)-1].End = keys.AppendChunk(nil, h.Part, s, 0)
			open = false
		}
	}
	return runs
}

// tablesWithin is from the first to the last of the tables that lie within the range; nothing if none does.
func tablesWithin(db *pebble.DB, run pebble.KeyRange) (span pebble.KeyRange) {
	levels, err := db.SSTables(pebble.WithKeyRangeFilter(run.Start, run.End))
	if err != nil { // Only over options.
		panic(err)
	}
	for _, level := range levels {
		for i := range level {
			first, last := level[i].Smallest.UserKey, level[i].Largest.UserKey
			if bytes.Compare(first, run.Start) < 0 || bytes.Compare(last, run.End) >= 0 {
				continue
			}
			if span.Start == nil || bytes.Compare(first, span.Start) < 0 {
				span.Start = bytes.Clone(first)
			}
			if span.End == nil || bytes.Compare(last, span.End) >= 0 {
				span.End = append(bytes.Clone(last), 0)
			}
		}
	}
	return span
}
