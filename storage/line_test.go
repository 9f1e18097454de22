package storage

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/wal"
)

// TestLine: what comes between the end of a slot and its flush, and during a flush, is kept by the log,
// and taken once after a restart; the checkpoint has it only of series that were ahead.
func TestLine(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	var last wal.CheckpointInfo
	opts := Options{Retention: century, Events: Events{WAL: wal.Events{
		Checkpointed: func(i wal.CheckpointInfo) { last = i },
	}}}
	db := run(t, mem, opts)
	refs := define(t, db.DB, 100)
	const end = longAgo + testSlot
	for at := longAgo; at < end; at += testSlot / 150 {
		put(t, db.DB, row(refs, at, float64(at%7)))
	}
	put(t, db.DB, row(refs[:5], end+1, 1)) // Their clock is ahead.

	db.Maintain(ctx, time.UnixMilli(end+2))
	require.EqualValues(t, end, db.maintenance.line.before)
	drawn := db.maintenance.line
	for i := range int64(300) {
		put(t, db.DB, row(refs[3:], end+10+i, float64(i)*1.234567))
	}
	put(t, db.DB, row(refs[7:9], longAgo+1, 3)) // late
	db.Maintain(ctx, time.UnixMilli(end+60_000))
	require.Equal(t, drawn, db.maintenance.line, "it is drawn once")

	db.Maintain(ctx, time.UnixMilli(end+db.opts.Grace.Milliseconds()))
	require.EqualValues(t, end, db.maintenance.flushedBefore)
	require.Equal(t, drawn.segment, last.Segment)
	require.Less(t, last.Bytes, int64(16<<10))
	put(t, db.DB, row(refs, end+1000, 4))
	put(t, db.DB, row(refs[50:], longAgo+2, 5)) // late, and not flushed

	for range 3 {
		want, samples := readAll(t, db.DB), db.Stats(1).Head.Samples
		db.stop()
		db = run(t, mem, opts)
		require.Equal(t, want, readAll(t, db.DB))
		require.Equal(t, samples, db.Stats(1).Head.Samples)
		db.Maintain(ctx, time.UnixMilli(end+db.opts.Grace.Milliseconds()+1))
	}

	// A checkpoint in between takes the line's place.
	db.Maintain(ctx, time.UnixMilli(end+testSlot))
	drawn = db.maintenance.line
	require.EqualValues(t, end+testSlot, drawn.before)
	put(t, db.DB, row(refs, end+testSlot-1, 6))
	db.maintenance.Lock()
	require.NoError(t, db.checkpointLocked())
	db.maintenance.Unlock()
	put(t, db.DB, row(refs, end+testSlot, 6))
	db.Maintain(ctx, time.UnixMilli(end+testSlot+db.opts.Grace.Milliseconds()))
	require.EqualValues(t, end+testSlot, db.maintenance.flushedBefore)
	require.Greater(t, last.Segment, drawn.segment)
	want := readAll(t, db.DB)
	db.stop()
	db = run(t, mem, opts)
	require.Equal(t, want, readAll(t, db.DB))
	require.Equal(t, int64(len(refs)), db.Stats(1).Head.Samples)
}
