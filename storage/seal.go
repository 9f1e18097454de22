package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/keys"
)

const dayMillis = int64(24 * time.Hour / time.Millisecond)

const (
	// overlayShare and overlayParts make the parts beside a day's largest one many: at least so
	// large a share of it in bytes, or more than so many in number. Few are left for longer, since
	// folding them in writes the whole day anew.
	overlayShare = 8
	overlayParts = 32
	// manyWait and fewWait are how long a day waits from its second part on, so that what comes
	// late together is folded in together.
	manyWait = time.Hour
	fewWait  = 6 * time.Hour
	// sealRetry is how long a day waits whose sealing has failed.
	sealRetry = 10 * time.Minute
)

// day is what the decision to seal looks at.
type day struct {
	start          int64 // ms
	parts          int
	bytes, largest int64 // of all parts, of the largest one
	wait           dayWait
}

// dayWait is remembered of a day as long as it has more than one part.
type dayWait struct {
	since int64 // when the second part was first seen
	retry int64 // not before
}

// sealable returns the oldest of the days, given oldest first, that is to be sealed: it ended more
// than after ago, and its parts have waited for long enough or are too many.
func sealable(days []day, now, after int64) (start int64, ok bool) {
	for _, d := range days {
		if d.parts < 2 || now < d.start+dayMillis+after || now < d.wait.retry {
			continue
		}
		wait := fewWait
		if (d.bytes-d.largest)*overlayShare >= d.largest {
			wait = manyWait
		}
		if d.parts > overlayParts || now-d.wait.since >= wait.Milliseconds() {
			return d.start, true
		}
	}
	return 0, false
}

// days that have parts, oldest first. Those with several begin to wait.
func (db *DB) days(now int64) []day {
	var days []day
	waits := map[int64]dayWait{}
	for _, p := range db.parts.snapshot() {
		m := p.Meta()
		start := floor(m.Part.Start, dayMillis)
		if n := len(days); n == 0 || days[n-1].start != start {
			days = append(days, day{start: start})
		}
		d := &days[len(days)-1]
		d.parts++
		d.bytes, d.largest = d.bytes+m.Bytes, max(d.largest, m.Bytes)
		if d.parts == 2 {
			var known bool
			if d.wait, known = db.maintenance.waits[start]; !known {
				d.wait.since = now
			}
			waits[start] = d.wait
		}
	}
	db.maintenance.waits = waits
	return days
}

// sealDue seals one day, if one is due.
func (db *DB) sealDue(ctx context.Context, now int64) error {
	start, ok := sealable(db.days(now), now, db.opts.SealAfter.Milliseconds())
	if !ok {
		return nil
	}
	err := db.sealDay(ctx, start)
	if err != nil && ctx.Err() == nil {
		w := db.maintenance.waits[start]
		w.retry = now + sealRetry.Milliseconds()
		db.maintenance.waits[start] = w
	}
	return err
}

// Seal seals every day that has ended, also what the head holds of it.
func (db *DB) Seal(ctx context.Context) error {
	if err := db.beginMaintenance(); err != nil {
		return err
	}
	defer db.maintenance.Unlock()
	now := time.Now().UnixMilli()
	today := floor(now, dayMillis)
	if db.head.OldestSample() < today {
		if err := db.flushLocked(ctx, today); err != nil {
			return fmt.Errorf("flush before seal: %w", err)
		}
	}
	var errs []error // A day that can't be sealed keeps no other from it.
	for _, d := range db.days(now) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.parts > 1 && d.start < today {
			errs = append(errs, db.sealDay(ctx, d.start))
		}
	}
	return errors.Join(errs...)
}

// sealDay makes one part of all parts of a day.
func (db *DB) sealDay(ctx context.Context, start int64) error {
	begin := time.Now()
	var old []*part
	info := SealInfo{Day: time.UnixMilli(start).UTC().Format(time.DateOnly)}
	for _, p := range db.parts.snapshot() {
		if floor(p.Meta().Part.Start, dayMillis) == start && len(old) < block.MaxReplaces {
			old = append(old, p)
			info.BytesIn += p.Meta().Bytes
		}
	}
	// The reserve is for flushes and checkpoints, and without sealing all goes on.
	err := db.rewriteRoom(old, db.opts.ReserveBytes)
	var sealed *part
	if err == nil {
		sealed, err = db.rewrite(ctx, old, start)
	}
	if err != nil {
		return fmt.Errorf("seal %s: %w", info.Day, err)
	}
	delete(db.maintenance.waits, start)
	info.Parts, info.Duration = len(old), time.Since(begin)
	if sealed != nil {
		m := sealed.Meta()
		info.Series, info.Samples, info.BytesOut = m.Series, m.Samples, m.Bytes
	}
	db.metrics.sealed(info)
	if f := db.opts.Events.Sealed; f != nil {
		f(info)
	}
	return db.dropGone(ctx)
}

// rewrite makes one part of the samples of others, without what is deleted or double, and puts it
// in their place. It is nil if no sample is left. The new part names those that it replaces, so
// that a crash leaves either them or it: see dropReplaced. They are still on the disk when rewrite
// returns; dropGone takes them off.
func (db *DB) rewrite(ctx context.Context, old []*part, start int64) (*part, error) {
	if err := db.settleLog(old); err != nil {
		return nil, err
	}
	m := block.Meta{
		Part:      keys.Part{Tier: keys.Raw, Start: start, Seq: db.maintenance.nextSeq},
		ShardBits: db.opts.ShardBits,
	}
	db.maintenance.nextSeq++
	chunkBytes := int64(0)
	for _, p := range old {
		chunkBytes += p.Meta().ChunkBytes
		m.Replaces = append(m.Replaces, p.Meta().Part)
		// The log needs no mark of theirs any more; the last one keeps its segments' numbers growing.
		if p.Meta().FlushedSegment >= m.FlushedSegment {
			m.FlushedBefore, m.FlushedSegment = p.Meta().FlushedBefore, p.Meta().FlushedSegment
		}
	}
	slices.SortFunc(m.Replaces, keys.Compare)
	b := db.newBuilder(m)
	any, err := db.merge(ctx, b, old, mergeBits(chunkBytes, m.ShardBits))
	if err != nil || !any {
		_ = b.Discard() // What is left of it is removed at the next start.
	}
	if err != nil {
		return nil, err
	}
	var successor *part
	if any {
		_, parts, err := db.ingest(ctx, []*block.Builder{b})
		if err != nil {
			return nil, err
		}
		successor = parts[0]
	}
	db.supersede(old, successor)
	return successor, nil
}

// settleLog sees to it that the log has nothing that is in the parts: then no replay needs their
// marks.
func (db *DB) settleLog(parts []*part) error {
	for _, p := range parts {
		if p.Meta().FlushedSegment > db.maintenance.checkpointed {
			return db.checkpointLocked()
		}
	}
	return nil
}

// rewriteRoom refuses to write parts anew where that may leave less than spare bytes free.
func (db *DB) rewriteRoom(old []*part, spare int64) error {
	need := spare
	for _, p := range old {
		need += p.Meta().Bytes
	}
	return db.room(need)
}

// dropReplaced takes the parts off the disk that a crash left there after others had replaced
// them, and returns those that count. The older goes first: it may be all that tells that a still
// older one is replaced.
func (db *DB) dropReplaced(ctx context.Context, metas []block.Meta) ([]block.Meta, error) {
	replaced := map[keys.Part]bool{}
	for _, m := range metas {
		for _, p := range m.Replaces {
			replaced[p] = true
		}
	}
	gone := func(m block.Meta) bool { return replaced[m.Part] }
	for _, m := range metas {
		if gone(m) {
			db.maintenance.gone = append(db.maintenance.gone, m.Part)
		}
	}
	slices.SortFunc(db.maintenance.gone, func(a, b keys.Part) int { return cmp.Compare(a.Seq, b.Seq) })
	return slices.DeleteFunc(metas, gone), db.dropGone(ctx)
}
