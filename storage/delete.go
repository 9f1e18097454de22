package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/changes"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// tombstone hides samples of the series that match, in [Mint, Maxt], in parts up to MaxSeq: what
// was there when it was made. Samples that come later are not hidden.
type tombstone struct {
	Seq      uint64    `json:"seq"`
	Mint     int64     `json:"mint"`
	Maxt     int64     `json:"maxt"`
	MaxSeq   uint32    `json:"max_seq"`
	Matchers []matcher `json:"matchers"`

	matchers []*labels.Matcher
}

// matcher is a labels.Matcher on disk.
type matcher struct {
	Type  labels.MatchType `json:"type"`
	Name  string           `json:"name"`
	Value string           `json:"value"`
}

// maxTombstones bounds what every select has to look at; cleaning makes room.
const maxTombstones = 10_000

// tombstones are all that exist. On disk each is a key of class 'm'.
type tombstones struct {
	mu struct {
		sync.RWMutex
		stones []*tombstone
		next   uint64
	}
}

func (ts *tombstones) load(store *pebble.DB) error {
	lower, upper := keys.TombstoneBounds()
	it, err := store.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("read tombstones: %w", err)
	}
	defer func() { _ = it.Close() }() // Its errors are in it.Error.
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for ok := it.First(); ok; ok = it.Next() {
		s := &tombstone{}
		if err := json.Unmarshal(it.Value(), s); err != nil {
			return fmt.Errorf("decode tombstone %x: %w", it.Key(), err)
		}
		for _, m := range s.Matchers {
			lm, err := labels.NewMatcher(m.Type, m.Name, m.Value)
			if err != nil {
				return fmt.Errorf("decode tombstone %x: %w", it.Key(), err)
			}
			s.matchers = append(s.matchers, lm)
		}
		ts.mu.stones = append(ts.mu.stones, s)
		ts.mu.next = max(ts.mu.next, s.Seq+1)
	}
	return it.Error()
}

// nextSeq is above the sequences of all parts that a tombstone may hide.
func (ts *tombstones) nextSeq() uint32 {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	n := uint32(0)
	for _, s := range ts.mu.stones {
		n = max(n, s.MaxSeq+1)
	}
	return n
}

func (ts *tombstones) overlapping(mint, maxt int64) []*tombstone {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	var out []*tombstone
	for _, s := range ts.mu.stones {
		if s.Mint <= maxt && s.Maxt >= mint {
			out = append(out, s)
		}
	}
	return out
}

func (ts *tombstones) add(store *pebble.DB, s *tombstone) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.mu.stones) >= maxTombstones {
		return fmt.Errorf("there are %d tombstones already: clean them first", maxTombstones)
	}
	s.Seq = ts.mu.next
	value, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode tombstone: %w", err)
	}
	if err := store.Set(keys.Tombstone(s.Seq), value, pebble.Sync); err != nil {
		return fmt.Errorf("write tombstone: %w", err)
	}
	ts.mu.next++
	ts.mu.stones = append(ts.mu.stones, s)
	return nil
}

// remove forgets stones, on disk too.
func (ts *tombstones) remove(store *pebble.DB, stones []*tombstone) error {
	gone := map[*tombstone]bool{}
	batch := store.NewBatch()
	for _, s := range stones {
		gone[s] = true
		if err := batch.Delete(keys.Tombstone(s.Seq), nil); err != nil {
			return fmt.Errorf("remove tombstone: %w", err)
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("remove tombstones: %w", err)
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var left []*tombstone
	for _, s := range ts.mu.stones {
		if !gone[s] {
			left = append(left, s)
		}
	}
	ts.mu.stones = left
	return nil
}

// hideDeleted takes what is deleted out of the series of a part.
func hideDeleted(run []chunk.Series, seq uint32, stones []*tombstone) ([]chunk.Series, error) {
	if len(stones) == 0 {
		return run, nil
	}
	kept := run[:0]
	for _, s := range run {
		var gone []chunk.Interval
		for _, t := range stones {
			if seq <= t.MaxSeq && matches(s.Labels, t.matchers) {
				gone = append(gone, chunk.Interval{MinT: t.Mint, MaxT: t.Maxt})
			}
		}
		if len(gone) > 0 {
			chunks, err := chunk.Without(s.Chunks, gone)
			if err != nil {
				return nil, fmt.Errorf("hide deleted samples of %s: %w", s.Labels, err)
			}
			s.Chunks = chunks
		}
		if len(s.Chunks) > 0 {
			kept = append(kept, s)
		}
	}
	return kept, nil
}

// Delete hides the samples in [mint, maxt] of the series that match: at once, and over restarts.
// Their space comes back with CleanTombstones or with retention. Samples written later are not
// hidden, also when they are as old.
func (db *DB) Delete(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error {
	if len(ms) == 0 {
		return fmt.Errorf("delete needs at least one matcher")
	}
	if err := db.beginMaintenance(); err != nil {
		return err
	}
	defer db.maintenance.Unlock()
	// What the head holds goes into parts, whose sequence then tells old samples from new ones.
	if err := db.flushLocked(ctx, maxTime); err != nil {
		return fmt.Errorf("flush before delete: %w", err)
	}
	if err := db.storeRoom(); err != nil {
		return fmt.Errorf("write tombstone: %w", err)
	}
	s := &tombstone{Mint: mint, Maxt: maxt, MaxSeq: db.maintenance.nextSeq - 1, matchers: ms}
	for _, m := range ms {
		s.Matchers = append(s.Matchers, matcher{Type: m.Type, Name: m.Name, Value: m.Value})
	}
	if err := db.deletes.add(db.store, s); err != nil {
		return err
	}
	db.changes.Add(changes.Span{Mint: mint, Maxt: maxt})
	return nil
}

// CleanTombstones writes the parts that tombstones touch anew without what is deleted, and then
// forgets the tombstones.
func (db *DB) CleanTombstones(ctx context.Context) error {
	if err := db.beginMaintenance(); err != nil {
		return err
	}
	defer db.maintenance.Unlock()
	stones := db.deletes.overlapping(-maxTime-1, maxTime)
	if len(stones) == 0 {
		return nil
	}
	for _, p := range db.parts.snapshot() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := db.cleanPart(ctx, p, stones); err != nil {
			return fmt.Errorf("clean part %s: %w", p.Meta().Part, err)
		}
	}
	// A part that is still on the disk comes back with a restart.
	if err := db.dropGone(ctx); err != nil {
		return err
	}
	return db.deletes.remove(db.store, stones)
}

func (db *DB) cleanPart(ctx context.Context, p *part, stones []*tombstone) error {
	touched, err := db.touched(p, stones)
	if err != nil || !touched {
		return err
	}
	// On a full disk this is what makes room, so it may take from the reserve.
	if err := db.rewriteRoom([]*part{p}, storeMargin); err != nil {
		return err
	}
	_, err = db.rewrite(ctx, []*part{p}, p.Meta().Part.Start)
	return err
}

// touched reports whether the part may have samples that tombstones hide.
func (db *DB) touched(p *part, stones []*tombstone) (bool, error) {
	m := p.Meta()
	for _, s := range stones {
		if m.Part.Seq > s.MaxSeq || s.Mint > m.MaxT || s.Maxt < m.MinT {
			continue
		}
		sel := everything(m)
		sel.Matchers, sel.SkipChunks, sel.Limit = s.matchers, true, 1
		if run, err := p.Select(db.store, sel); err != nil || len(run) > 0 {
			return len(run) > 0, err
		}
	}
	return false, nil
}

// everything of a part.
func everything(m block.Meta) series.Selector {
	return series.Selector{Mint: m.MinT, Maxt: m.MaxT}
}
