package storage

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// maxTime as the bound of a flush takes everything.
const maxTime = math.MaxInt64

// need says what maintenance is due; pure, so that it can be tested without a clock.
type need struct {
	flush      bool
	before     int64 // flush samples before this
	line       bool  // draw the line at the end of the last slot
	checkpoint bool
}

// state is what the decision is made from.
type state struct {
	now            int64 // ms
	slot, grace    int64 // ms
	flushedBefore  int64
	line           int64 // where it was drawn
	oldest         int64 // the head's oldest sample; math.MaxInt64 when it has none
	lateBytes      int64 // of chunks in the head in slots that have ended
	lateLimit      int64
	logBytes       int64 // since the last checkpoint
	lastCheckpoint int64 // bytes
	checkpointMin  int64
}

// decide: a slot is flushed once it has ended and its grace is over; what comes later for such
// slots waits for the next, unless it is much. A checkpoint follows each flush, or a lot of log. The
// line for the flush is drawn when the slot has ended, before its grace; with a grace longer than a
// slot, the next one would end before the flush.
func decide(s state) need {
	ended := floor(s.now-s.grace, s.slot)
	n := need{before: ended, checkpoint: s.logBytes > max(s.checkpointMin, s.lastCheckpoint)}
	if s.oldest < ended {
		n.flush = ended > s.flushedBefore || s.lateBytes > s.lateLimit
	}
	end := s.lastEnd()
	n.line = !n.flush && s.grace < s.slot && s.oldest < end && end > max(s.line, s.flushedBefore)
	return n
}

// lastEnd is when the slot before the running one ended.
func (s state) lastEnd() int64 { return floor(s.now, s.slot) }

func floor(t, unit int64) int64 {
	r := t % unit
	if r < 0 {
		r += unit
	}
	return t - r
}

// Maintain does what is due at the time now: flush, checkpoint, retention, sealing a day, bringing back the
// space of dropped shards. Run calls it; errors go to Options.Events and are tried again at the next call.
func (db *DB) Maintain(ctx context.Context, now time.Time) {
	if db.beginMaintenance() != nil {
		return
	}
	defer db.maintenance.Unlock()
	s := db.state(now)
	n := decide(s)
	if n.flush || now.Sub(db.maintenance.flushedAt) >= settle {
		db.forgetQuiet(now)
	}
	if n.line {
		db.background("cut", db.drawLine(s.lastEnd()))
	}
	flushed := true
	if n.flush {
		err := db.flushLocked(ctx, n.before)
		flushed = err == nil
		db.background("flush", err)
		db.maintenance.flushedAt = now
	} else if n.checkpoint {
		db.background("checkpoint", db.checkpointLocked())
	}
	db.background("retention", db.retainLocked(ctx, now))
	if !flushed { // A day may lack samples; sealing it now would be for nothing.
		return
	}
	if err := db.sealDue(ctx, now.UnixMilli()); ctx.Err() == nil {
		db.background("seal", err)
	}
	if err := db.reclaim(ctx, now); ctx.Err() == nil {
		db.background("reclaim", err)
	}
}

// forgetQuiet lets go the series that had no samples at two looks. A look comes before a flush, or
// some time after it, so that series in use have samples then.
func (db *DB) forgetQuiet(now time.Time) {
	if now.Sub(db.maintenance.lookedAt) >= quiet {
		db.head.GC()
		db.maintenance.lookedAt = now
	}
}

// settle is how long after a flush every series that is in use has samples again.
const settle = 10 * time.Minute

// quiet is the least time between two looks, and so the least that a series stays in the head
// without a sample: long enough for a scrape target to come back, short enough for churn to leave
// within the hour of its flush.
const quiet = 30 * time.Minute

func (db *DB) background(what string, err error) {
	if err == nil {
		return
	}
	db.metrics.failures.WithLabelValues(what).Inc()
	if f := db.opts.Events.Background; f != nil {
		f(what, err)
	}
}

func (db *DB) state(now time.Time) state {
	slot, grace := db.opts.Slot.Milliseconds(), db.opts.Grace.Milliseconds()
	ended := floor(now.UnixMilli()-grace, slot)
	return state{
		now: now.UnixMilli(), slot: slot, grace: grace,
		flushedBefore:  db.maintenance.flushedBefore,
		line:           db.maintenance.line.before,
		oldest:         db.head.OldestSample(),
		lateBytes:      db.head.BytesBefore(ended),
		lateLimit:      db.opts.LateBytes,
		logBytes:       db.wal.Bytes(),
		lastCheckpoint: db.maintenance.lastCheckpoint,
		checkpointMin:  db.opts.CheckpointBytes,
	}
}

// Flush moves every sample of the head into Pebble, also those of the running slot.
func (db *DB) Flush(ctx context.Context) error {
	if err := db.beginMaintenance(); err != nil {
		return err
	}
	defer db.maintenance.Unlock()
	return db.flushLocked(ctx, maxTime)
}

// flushLocked moves the samples before a time from the head into one part for each slot they fall
// in, and makes a checkpoint. A crash leaves either none or all of the parts; with all of them,
// their marks keep the replay from taking the samples again.
func (db *DB) flushLocked(ctx context.Context, before int64) (err error) {
	begin := time.Now()
	segment, err := db.cut()
	if err != nil {
		return err
	}
	if l := db.maintenance.line; l.before != before || l.segment < db.maintenance.checkpointed {
		db.head.DrawLine(before)
		db.maintenance.line = line{before: before, segment: segment}
	}
	f := db.head.StartFlush(before)
	defer func() {
		if err != nil {
			f.Abort()
		}
	}()
	builders, err := db.build(f, mark{before: before, segment: segment})
	if err != nil {
		return err
	}
	info, parts, err := db.ingest(ctx, builders)
	if err != nil {
		return err
	}
	db.parts.add(parts...)
	f.Done()
	if before != maxTime {
		db.maintenance.flushedBefore = max(db.maintenance.flushedBefore, before)
	}
	info.Duration = time.Since(begin)
	db.metrics.flushes.Observe(info.Duration.Seconds())
	if fn := db.opts.Events.Flushed; fn != nil && info.Parts > 0 {
		fn(info)
	}
	// The flush is done whatever becomes of the checkpoint, which only shortens the next replay.
	db.background("checkpoint", db.checkpointFromLine())
	return nil
}

// flushBits: series go from the head into parts by 1<<flushBits ranges of shards, so that what is
// encoded is in memory for one range at a time.
const flushBits = 3

// build puts the flushed series into a builder for each slot.
func (db *DB) build(f flushed, m mark) (_ []*block.Builder, err error) {
	seq := db.maintenance.nextSeq
	db.maintenance.nextSeq++
	builders := map[int64]*block.Builder{}
	defer func() {
		if err != nil {
			discard(slices.Collect(maps.Values(builders)))
		}
	}()
	need := func(start int64) *block.Builder {
		b := builders[start]
		if b == nil {
			b = db.newBuilder(block.Meta{
				Part:           keys.Part{Tier: keys.Raw, Start: start, Seq: seq},
				ShardBits:      db.opts.ShardBits,
				FlushedBefore:  m.before,
				FlushedSegment: m.segment,
			})
			builders[start] = b
		}
		return b
	}
	width := min(flushBits, db.opts.ShardBits)
	for shard := range 1 << width {
		shards := &series.ShardSet{Bits: width}
		shards.Add(series.Shard(shard))
		if err := f.Series(shards, func(s chunk.Series) error { return db.buildSeries(need, s) }); err != nil {
			return nil, err
		}
		for _, b := range builders {
			if err := b.Spill(); err != nil {
				return nil, err
			}
		}
	}
	return slices.Collect(maps.Values(builders)), nil
}

// buildSeries adds a series to the builders of the slots that its chunks lie in, which need returns.
func (db *DB) buildSeries(need func(start int64) *block.Builder, s chunk.Series) error {
	slot := db.opts.Slot.Milliseconds()
	for chunks := s.Chunks; len(chunks) > 0; {
		start := floor(chunks[0].MinT, slot)
		n := 1
		for n < len(chunks) && chunks[n].MinT < start+slot {
			n++
		}
		compacted, err := chunk.Compact(nil, chunks[:n])
		if err != nil {
			return fmt.Errorf("merge chunks of %s: %w", s.Labels, err)
		}
		recoded, err := chunk.Recode(make([]chunk.Chunk, 0, 1), compacted)
		if err != nil {
			return fmt.Errorf("encode chunks of %s: %w", s.Labels, err)
		}
		part := chunk.Series{Fingerprint: s.Fingerprint, Labels: s.Labels, Chunks: recoded}
		if err := need(start).Add(part); err != nil {
			return err
		}
		chunks = chunks[n:]
	}
	return nil
}

// discard gives up what builders have written.
func discard(builders []*block.Builder) {
	for _, b := range builders {
		_ = b.Discard() // What stays is removed at the next start.
	}
}

func (db *DB) newBuilder(m block.Meta) *block.Builder {
	return block.NewBuilder(db.opts.FS, db.path(buildDir), db.store, m)
}

// flushed is the head's side of a flush.
type flushed interface {
	// Series calls fn for each series of the shards, its chunks by start, each within one slot.
	Series(shards *series.ShardSet, fn func(chunk.Series) error) error
}

// ingest gives the tables of all builders to Pebble in one step.
func (db *DB) ingest(ctx context.Context, builders []*block.Builder) (FlushInfo, []*part, error) {
	var (
		info   FlushInfo
		tables []string
		parts  []*part
	)
	defer func() {
		for _, t := range tables { // Those Pebble has taken are links to it now.
			_ = db.opts.FS.Remove(t)
		}
	}()
	for i, b := range builders {
		paths, meta, err := b.Finish()
		tables = append(tables, paths...)
		if err != nil {
			discard(builders[i+1:])
			return info, nil, fmt.Errorf("write part %s: %w", meta.Part, err)
		}
		parts = append(parts, db.newPart(meta))
		info.Parts++
		info.Series += meta.Series
		info.Samples += meta.Samples
		info.Bytes += meta.Bytes
	}
	if len(parts) == 0 {
		return info, nil, nil
	}
	if err := db.storeRoom(); err != nil {
		return info, nil, err
	}
	if err := db.store.Ingest(ctx, tables); err != nil {
		return info, nil, fmt.Errorf("ingest %d parts: %w", len(parts), err)
	}
	return info, parts, nil
}
