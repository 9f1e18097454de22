package storage

import (
	"context"
	"time"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/changes"
)

// retained is what the decision to drop a part looks at.
type retained struct {
	maxT  int64
	bytes int64
}

// expired says how many of the parts, given oldest first, must go: those wholly before the time
// bound, then as many as it takes to be within the byte limit (0 is none). The newest stays.
func expired(parts []retained, before, limit int64) int {
	total := int64(0)
	for _, p := range parts {
		total += p.bytes
	}
	n := 0
	for n < len(parts) {
		overTime := parts[n].maxT < before
		overSize := limit > 0 && total > limit && n < len(parts)-1
		if !overTime && !overSize {
			break
		}
		total -= parts[n].bytes
		n++
	}
	return n
}

func (db *DB) retainLocked(ctx context.Context, now time.Time) error {
	if err := db.dropGone(ctx); err != nil {
		return err
	}
	parts := db.parts.snapshot()
	list := make([]retained, len(parts))
	for i, p := range parts {
		list[i] = retained{maxT: p.Meta().MaxT, bytes: p.Meta().Bytes}
	}
	n := expired(list, now.Add(-db.opts.Retention).UnixMilli(), db.opts.RetentionBytes)
	if n == 0 {
		return nil
	}
	// A part off the list would be back after a restart, so each goes from the disk at once.
	for _, p := range parts[:n] {
		db.keptFrom.Store(max(db.keptFrom.Load(), p.Meta().MaxT+1))
		db.supersede([]*part{p}, nil)
		if err := db.dropGone(ctx); err != nil {
			return err
		}
		if f := db.opts.Events.Retained; f != nil {
			f(p.Meta().Part.String())
		}
		db.metrics.retained.Inc()
	}
	return nil
}

// KeptFrom is the time from which on nothing was dropped by retention, for its age or for lack of space.
// Of what lies before, other nodes may have more.
func (db *DB) KeptFrom(now time.Time) int64 {
	return max(db.keptFrom.Load(), now.Add(-db.opts.Retention).UnixMilli())
}

// supersede takes parts off the list. Their successor, if there is one, has their samples from now
// on, also for who has them in a list already.
func (db *DB) supersede(old []*part, successor *part) {
	db.parts.replace(old, successor)
	for _, p := range old {
		p.use.Lock() // Waits for those who read it; later ones see that it is gone.
		p.gone, p.successor = true, successor
		p.use.Unlock()
		db.maintenance.gone = append(db.maintenance.gone, p.Meta().Part)
		if successor == nil {
			db.changes.Add(changes.Span{Mint: p.Meta().MinT, Maxt: p.Meta().MaxT})
		}
	}
}

// dropGone takes off the disk what is off the list, in the order in which it went: a part that
// replaces others stays until they are gone. What can't be dropped is left for the next call.
func (db *DB) dropGone(ctx context.Context) error {
	for len(db.maintenance.gone) > 0 {
		if err := block.Drop(ctx, db.store, db.maintenance.gone[0]); err != nil {
			return err
		}
		db.maintenance.gone = db.maintenance.gone[1:]
	}
	return nil
}
