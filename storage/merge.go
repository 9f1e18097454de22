package storage

import (
	"context"
	"errors"
	"fmt"
	mathbits "math/bits"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// mergeBytes of encoded samples are in memory at a time while parts are merged: see merge.
const mergeBytes = 32 << 20

// mergeBits says into 1<<n of how many ranges of shards so many bytes are cut.
func mergeBits(total int64, shardBits uint8) uint8 {
	return min(shardBits, uint8(mathbits.Len64(uint64(total/mergeBytes))))
}

// merge gives b the series of all parts, without what is deleted, and says whether there are any.
// It goes over 1<<width ranges of shards; of those behind, b keeps what the index needs.
func (db *DB) merge(ctx context.Context, b *block.Builder, parts []*part, width uint8) (any bool, err error) {
	stones := db.deletes.overlapping(-maxTime-1, maxTime)
	for shard := range 1 << width {
		if err := ctx.Err(); err != nil {
			return any, err
		}
		shards := &series.ShardSet{Bits: width}
		shards.Add(series.Shard(shard))
		n, err := db.mergeShards(b, parts, shards, stones)
		if err != nil {
			return any, err
		}
		if err := b.Spill(); err != nil {
			return any, err
		}
		any = any || n > 0
	}
	return any, nil
}

func (db *DB) mergeShards(
	b *block.Builder, parts []*part, shards *series.ShardSet, stones []*tombstone,
) (n int, err error) {
	runs := make([][]chunk.Series, len(parts))
	for i, p := range parts {
		sel := everything(p.Meta())
		sel.Shards = shards
		run, err := p.Select(db.store, sel)
		if err == nil {
			run, err = hideDeleted(run, p.Meta().Part.Seq, stones)
		}
		if err != nil {
			return n, db.readError("merge", p, err)
		}
		runs[i] = run
	}
	for _, s := range joinRuns(runs) {
		if s.Chunks, err = condense(s.Chunks); err != nil {
			if errors.Is(err, chunk.ErrCorrupt) {
				db.metrics.corruptions.Inc()
			}
			return n, fmt.Errorf("merge chunks of %s: %w", s.Labels, err)
		}
		if len(s.Chunks) == 0 {
			continue
		}
		if err := b.Add(s); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// sealedSamples is how many samples short chunks are joined up to. Longer chunks are no smaller by
// more than two percent, and cost every read of an hour the decoding of the day: those of a flush
// are mostly taken as they are, which also makes sealing cheap.
const sealedSamples = 512

// condense makes of the chunks of a series few that hold each sample once.
func condense(chunks []chunk.Chunk) ([]chunk.Chunk, error) {
	compacted, err := chunk.Compact(make([]chunk.Chunk, 0, len(chunks)), chunks)
	if err != nil {
		return nil, err
	}
	out := make([]chunk.Chunk, 0, len(compacted))
	for len(compacted) > 0 {
		n, samples := 1, compacted[0].Samples
		for n < len(compacted) && samples+compacted[n].Samples <= sealedSamples {
			samples += compacted[n].Samples
			n++
		}
		if out, err = chunk.Recode(out, compacted[:n]); err != nil {
			return nil, err
		}
		compacted = compacted[n:]
	}
	return out, nil
}
