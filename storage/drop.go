package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/barograph-db/barograph/storage/series"
)

// Holdings are the shards of which a DB has samples in parts.
type Holdings struct {
	Shards *series.ShardSet
	// Before tells what the DB has in parts from what comes later: see DropShards.
	Before uint32
}

// Holdings returns the shards of which there are samples in parts. What the head has is in a part after
// its slot's flush.
func (db *DB) Holdings(ctx context.Context) (Holdings, error) {
	if err := db.beginMaintenance(); err != nil {
		return Holdings{}, err
	}
	defer db.maintenance.Unlock()
	h := Holdings{Shards: &series.ShardSet{Bits: db.opts.ShardBits}, Before: db.maintenance.nextSeq}
	for _, p := range db.parts.snapshot() {
		if err := ctx.Err(); err != nil {
			return h, err
		}
		shards, err := p.Shards(db.store)
		if err != nil {
			return h, db.readError("list shards of", p, err)
		}
		hidden := p.Hidden()
		for s := range shards.All() {
			if hidden == nil || !hidden.Contains(s) {
				h.Shards.Add(s)
			}
		}
	}
	return h, nil
}

// DropShards forgets what shards have in the parts that were there when Holdings returned before: at once
// for whoever reads, and over restarts. Samples that came later, or are in the head, stay. Of a set of more
// shards than the DB tells apart, those of the DB go of which all are in the set.
//
// One row on disk makes it so; after a crash it is there or not. The rows of samples go later, in Maintain.
func (db *DB) DropShards(ctx context.Context, shards *series.ShardSet, before uint32) error {
	if err := db.beginMaintenance(); err != nil {
		return err
	}
	defer db.maintenance.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	d, n := maps.Clone(db.maintenance.dropped), 0
	for s := range shards.Within(db.opts.ShardBits).All() {
		if before := min(before, db.maintenance.nextSeq); d[s] < before {
			d[s] = before
			n++
		}
	}
	if n == 0 {
		return nil
	}
	if err := db.storeRoom(); err != nil {
		return fmt.Errorf("drop shards: %w", err)
	}
	if err := db.setDropped(d); err != nil {
		return err
	}
	for _, p := range db.parts.snapshot() {
		if hidden := d.hides(p.Meta().Part.Seq, db.opts.ShardBits); hidden != nil {
			p.use.Lock() // Waits for those who read it; later ones see what is hidden.
			p.Hide(hidden)
			p.use.Unlock()
			p.reclaimed = false
		}
	}
	db.metrics.dropped.Add(float64(n))
	return nil
}

const (
	// rewriteShare: a part is written anew once at least this share of it are rows of dropped shards. When a
	// fourth node joins three, each gives up a quarter, which costs three times the space that comes back.
	rewriteShare = 8
	// reclaimPause is how many times as long as it took to bring back the space of a part the next one waits.
	reclaimPause = 9
	// reclaimEvery is how often that is looked for when there was nothing to bring back.
	reclaimEvery = time.Minute
)

// DropInfo says what bringing back the space of dropped shards did to a part.
type DropInfo struct {
	Part     string
	Freed    int64 // bytes
	Written  int64 // bytes of the part that took its place, if one did
	Duration time.Duration
}

// reclaim brings back what dropped shards take in one part. Tables that have nothing else go, which
// costs nothing; for what is left in tables of others the part is written anew if that is worth it. A day
// that is yet to be sealed is not: the seal leaves the shards out.
func (db *DB) reclaim(ctx context.Context, now time.Time) error {
	if now.Before(db.maintenance.reclaimAt) || len(db.maintenance.dropped) == 0 {
		return nil
	}
	db.maintenance.reclaimAt = now.Add(reclaimEvery)
	perDay := map[int64]int{}
	all := db.parts.snapshot()
	for _, p := range all {
		perDay[floor(p.Meta().Part.Start, dayMillis)]++
	}
	var errs []error // A part of which no space comes back keeps no other from it.
	for _, p := range all {
		if p.Hidden() == nil || p.reclaimed {
			continue
		}
		begin, start := time.Now(), floor(p.Meta().Part.Start, dayMillis)
		settled := perDay[start] == 1 && now.UnixMilli() >= start+dayMillis+db.opts.SealAfter.Milliseconds()
		info, err := db.reclaimPart(ctx, p, settled)
		if err != nil {
			errs = append(errs, fmt.Errorf("part %s: %w", p.Meta().Part, err))
		}
		if info.Freed > 0 {
			info.Duration = time.Since(begin)
			db.metrics.reclaimed(info)
			if f := db.opts.Events.Dropped; f != nil {
				f(info)
			}
			db.maintenance.reclaimAt = now.Add(reclaimPause * info.Duration)
			return errors.Join(errs...)
		}
	}
	return errors.Join(append(errs, db.forgetDropped())...)
}

// reclaimPart brings back what it can; settled says that the part is going to stay as it is otherwise.
func (db *DB) reclaimPart(ctx context.Context, p *part, settled bool) (info DropInfo, err error) {
	info.Part = p.Meta().Part.String()
	var left int64
	if info.Freed, left, err = p.Trim(ctx, db.store); err != nil {
		return info, err
	}
	empty, err := db.emptied(p)
	switch {
	case err != nil:
		return info, err
	case !empty && left*rewriteShare < p.Meta().Bytes:
		p.reclaimed = true
		return info, nil
	case !empty && !settled:
		return info, nil
	}
	// This is what makes room, so it may take from the reserve.
	if err := db.rewriteRoom([]*part{p}, storeMargin); err != nil && !empty {
		return info, err
	}
	before := p.Meta().Bytes
	successor, err := db.rewrite(ctx, []*part{p}, p.Meta().Part.Start)
	if err != nil {
		return info, err
	}
	if successor != nil {
		info.Written = successor.Meta().Bytes
	}
	info.Freed += before - info.Written
	return info, db.dropGone(ctx)
}

// emptied reports whether all of the part is hidden.
func (db *DB) emptied(p *part) (bool, error) {
	shards, err := p.Shards(db.store)
	if err != nil {
		return false, db.readError("list shards of", p, err)
	}
	hidden := p.Hidden()
	for s := range shards.All() {
		if !hidden.Contains(s) {
			return false, nil
		}
	}
	return true, nil
}

// forgetDropped forgets the shards of which nothing is left to hide.
func (db *DB) forgetDropped() error {
	if len(db.maintenance.gone) > 0 {
		return nil // They would be back with a restart.
	}
	left := dropped{}
	for _, p := range db.parts.snapshot() {
		if p.Hidden() == nil {
			continue
		}
		shards, err := p.Shards(db.store)
		if err != nil {
			return db.readError("list shards of", p, err)
		}
		for s := range shards.All() {
			if before, ok := db.maintenance.dropped[s]; ok && p.Meta().Part.Seq < before {
				left[s] = before
			}
		}
	}
	if len(left) == len(db.maintenance.dropped) {
		return nil
	}
	return db.setDropped(left)
}
