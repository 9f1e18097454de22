package storage

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// Series that went quiet leave the head within an hour of the flush of their last samples, and no
// others do. The clock is the test's.
func TestQuietSeriesLeave(t *testing.T) {
	ctx := context.Background()
	db := run(t, vfs.NewMem(), Options{Retention: century})
	refs := define(t, db.DB, 10)
	stay := refs[:4]
	var flushed, left int64
	for at := longAgo; left == 0; at += time.Minute.Milliseconds() {
		put(t, db.DB, row(stay, at, 1))
		if at < longAgo+testSlot/2 {
			put(t, db.DB, row(refs[4:], at, 1))
		}
		db.Maintain(ctx, time.UnixMilli(at))
		if flushed == 0 && len(db.Stats(1).Parts) > 0 {
			flushed = at
		}
		switch db.Active() {
		case len(refs):
		case len(stay):
			left = at
		default:
			require.Fail(t, "some of the series left", "%d are there", db.Active())
		}
		require.LessOrEqual(t, at, longAgo+10*testSlot+time.Hour.Milliseconds(), "they are still there")
	}
	require.NotZero(t, flushed)
	require.LessOrEqual(t, left-flushed, time.Hour.Milliseconds())
	require.Len(t, readAll(t, db.DB), len(refs), "what they had is still to be read")
}
