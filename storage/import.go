package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/changes"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
)

// importBytes of encoded samples are in memory at a time while a set is imported. What was read
// becomes a part for each of its days.
const importBytes = 32 << 20

// ImportInfo says what an import wrote.
type ImportInfo struct {
	Parts   int
	Series  int64 // counted once for each part
	Samples int64
	Bytes   int64 // of the parts on disk
}

// Import takes in samples that another node has, as it has them: they become parts at once, one for
// each day (UTC), whether the day is sealed here, or has begun, or is in the head. A day's part is
// read beside all others of the day and goes into the next seal, which drops what is there twice, so that a
// set may be imported again. When Import returns without an error all of the set is on disk; after
// one, some of it may be. It closes the set.
func (db *DB) Import(ctx context.Context, set chunk.SeriesSet) (info ImportInfo, err error) {
	defer func() { err = errors.Join(err, set.Close()) }()
	in := importing{db: db, info: &info, days: map[int64][]chunk.Series{}}
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return info, err
		}
		if err := in.add(set.At()); err != nil {
			return info, err
		}
		if in.bytes >= importBytes {
			if err := in.write(ctx); err != nil {
				return info, err
			}
		}
	}
	if err := set.Err(); err != nil {
		return info, err
	}
	return info, in.write(ctx)
}

// importing is a set on its way into parts.
type importing struct {
	db    *DB
	info  *ImportInfo
	days  map[int64][]chunk.Series // by start
	bytes int64
}

// add takes a series, whose chunks it deals out to their days.
func (in *importing) add(s chunk.Series) error {
	for chunks := s.Chunks; len(chunks) > 0; {
		start := floor(chunks[0].MinT, dayMillis)
		n := 1
		for n < len(chunks) && chunks[n].MinT < start+dayMillis {
			n++
		}
		day, err := condense(chunks[:n])
		if err != nil {
			return fmt.Errorf("import chunks of %s: %w", s.Labels, err)
		}
		if len(day) > 0 {
			in.days[start] = append(in.days[start], chunk.Series{Fingerprint: s.Fingerprint, Labels: s.Labels, Chunks: day})
		}
		for _, c := range day {
			in.bytes += int64(len(c.Data))
		}
		in.bytes += int64(len(s.Labels))
		chunks = chunks[n:]
	}
	return nil
}

// write makes parts of what was added. No flush or seal comes between the numbering of a part and
// its being there, and no deletion, which goes by the numbers.
func (in *importing) write(ctx context.Context) error {
	if len(in.days) == 0 {
		return nil
	}
	db := in.db
	if err := db.beginMaintenance(); err != nil {
		return err
	}
	defer db.maintenance.Unlock()
	// The reserve is for what was written here.
	if err := db.room(in.bytes + db.opts.ReserveBytes); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	seq := db.maintenance.nextSeq
	db.maintenance.nextSeq++
	var builders []*block.Builder
	for _, start := range slices.Sorted(maps.Keys(in.days)) {
		// Nothing of it is in the log, so it has no mark.
		b := db.newBuilder(block.Meta{Part: keys.Part{Tier: keys.Raw, Start: start, Seq: seq}, ShardBits: db.opts.ShardBits})
		builders = append(builders, b)
		for _, s := range in.days[start] {
			if err := b.Add(s); err != nil {
				discard(builders)
				return fmt.Errorf("import: %w", err)
			}
		}
	}
	clear(in.days)
	in.bytes = 0
	written, parts, err := db.ingest(ctx, builders)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	db.parts.add(parts...)
	for _, p := range parts {
		db.changes.Add(changes.Span{Mint: p.Meta().MinT, Maxt: p.Meta().MaxT})
	}
	in.info.Parts += written.Parts
	in.info.Series += written.Series
	in.info.Samples += written.Samples
	in.info.Bytes += written.Bytes
	db.metrics.imported.Add(float64(written.Samples))
	return nil
}
