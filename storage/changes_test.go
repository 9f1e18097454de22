package storage

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/changes"
)

// TestChanges sees that whatever makes a selection give something else is told, and only that.
func TestChanges(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	now, told, err := db.Changes(ctx, changes.Stamp{})
	require.NoError(t, err)
	require.Equal(t, []changes.Span{changes.All()}, told)
	since := func() []changes.Span {
		var told []changes.Span
		now, told, err = db.Changes(ctx, now)
		require.NoError(t, err)
		return told
	}
	// In the middle of the ten seconds that are told of together.
	const at, minute = longAgo/10_000*10_000 + 5000, 60_000
	around := func(t int64) changes.Span { return changes.Span{Mint: t - 5000, Maxt: t + 4999} }

	refs := define(t, db.DB, 2)
	require.Empty(t, since(), "a series without samples")
	put(t, db.DB, row(refs, at, 1))
	put(t, db.DB, row(refs, at+2*minute, 1))
	require.Equal(t, []changes.Span{around(at), around(at + 2*minute)}, since())
	put(t, db.DB, row(refs, at+2*minute, 1))
	put(t, db.DB, row(refs, at, 1))
	require.Empty(t, since(), "what is there already")
	put(t, db.DB, row(refs[:1], at+minute, 1))
	require.Equal(t, []changes.Span{around(at + minute)}, since(), "a late sample")
	put(t, db.DB, row(refs[:1], at+minute, 2))
	require.Equal(t, []changes.Span{around(at + minute)}, since(), "another value for it")
	put(t, db.DB, row(refs[:1], at+minute, 1))
	require.Empty(t, since(), "the value that lost")

	require.NoError(t, db.Flush(ctx))
	require.Empty(t, since(), "a flush")
	require.NoError(t, db.Delete(ctx, at+minute-1000, at+minute+1000, equal("i", "0")))
	require.Equal(t, []changes.Span{around(at + minute)}, since(), "a deletion")
	require.NoError(t, db.CleanTombstones(ctx))
	require.Empty(t, since(), "cleaning up after it")

	donor := run(t, vfs.NewMem(), Options{Retention: century})
	put(t, donor.DB, row(define(t, donor.DB, 1), at-dayMillis, 1))
	_, err = db.Import(ctx, everythingOf(t, donor.DB))
	require.NoError(t, err)
	require.Equal(t, []changes.Span{around(at - dayMillis)}, since(), "what another node had")

	parts := db.parts.snapshot()
	require.NotEmpty(t, parts)
	db.maintenance.Lock()
	db.supersede(parts[:1], nil)
	db.maintenance.Unlock()
	require.Equal(t, []changes.Span{around(at - dayMillis)}, since(), "a part that is dropped")

	db.stop()
	_, _, err = db.Changes(ctx, now)
	require.ErrorIs(t, err, ErrClosed)
	db = run(t, mem, Options{Retention: century})
	require.Equal(t, []changes.Span{changes.All()}, since(), "another life")
}
