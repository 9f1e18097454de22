package node

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest/limit"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/storage"
)

// Limits that are not set fit the memory together, and those that are set stay.
func TestShares(t *testing.T) {
	const mib = 1 << 20
	var (
		q querier.Options
		l limit.Options
		s storage.Options
	)
	small := memory(460 * mib)
	small.queries(&q)
	small.writes(&l)
	small.storage(&s)
	require.EqualValues(t, 115*mib, q.MaxBytes)
	require.Equal(t, q.MaxBytes/2, q.MaxQueryBytes)
	require.EqualValues(t, 368*mib, q.MaxMemory/mib*mib)
	q.EnsureDefaults()
	require.LessOrEqual(t, int64(q.MaxSamples)*16, q.MaxQueryBytes)
	l.EnsureDefaults()
	require.NoError(t, l.Validate())
	const seriesBytes = 450
	require.Less(t, q.MaxBytes+l.InFlightBytes+int64(l.ActiveSeries)*seriesBytes+2*s.CacheBytes, int64(small)+mib)

	large := memory(64 << 30)
	q, l, s = querier.Options{MaxQueryBytes: 3, MaxBytes: -1, MaxMemory: -1}, limit.Options{ActiveSeries: 7, InFlightBytes: -1}, storage.Options{}
	large.queries(&q)
	large.writes(&l)
	large.storage(&s)
	require.Equal(t, querier.Options{MaxQueryBytes: 3, MaxBytes: -1, MaxMemory: -1, CacheBytes: 256 * mib}, q)
	require.Equal(t, limit.Options{ActiveSeries: 7, InFlightBytes: -1}, l)
	require.EqualValues(t, 64*mib, s.CacheBytes)

	q, l = querier.Options{}, limit.Options{}
	memory(0).queries(&q)
	memory(0).writes(&l)
	require.Equal(t, querier.Options{CacheBytes: 256 * mib}, q)
	require.Equal(t, 5_000_000, l.ActiveSeries)

	own := ownMemory()
	require.Positive(t, own)
	require.Less(t, int64(own), int64(math.MaxInt64))
}
