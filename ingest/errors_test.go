package ingest_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
)

func TestReasonsAreWholeAndExplained(t *testing.T) {
	docs, err := os.ReadFile("../docs/errors.md")
	require.NoError(t, err)
	ids := map[string]bool{}
	for r := range ingest.Reasons {
		require.NotEmpty(t, r.Name())
		require.NotEmpty(t, r.Message())
		require.False(t, ids[r.ID()])
		ids[r.ID()] = true
		require.Contains(t, string(docs), "\n## "+r.ID()+"\n")
		switch s := r.Status(); r.Class() {
		case ingest.Dropped:
			require.Equal(t, 200, s)
		case ingest.Permanent:
			require.Contains(t, []int{400, 413, 415}, s)
		case ingest.Limited:
			require.Equal(t, 429, s)
		case ingest.Passing:
			require.Equal(t, 503, s)
		}
	}
	require.Equal(t, len(ids), strings.Count(string(docs), "\n## err-"))
}

func TestRejections(t *testing.T) {
	var rs ingest.Rejections
	require.Zero(t, rs.Status())
	asked := 0
	detail := func() string { asked++; return strings.Repeat("é", 1000) }
	for range 100 {
		rs.Add(ingest.TooManyExemplars, ingest.Counts{Exemplars: 1}, detail)
	}
	require.Equal(t, 1, asked)
	require.Zero(t, rs.Status())
	rs.Add(ingest.TooOld, ingest.Counts{Samples: 2, Histograms: 1}, detail)
	require.Equal(t, 400, rs.Status())
	rs.Add(ingest.TooManySeries, ingest.Counts{}, detail)
	require.Equal(t, 429, rs.Status())
	var sum ingest.Rejections
	sum.Merge(rs)
	sum.Merge(rs)
	require.Len(t, sum, 3)
	require.Equal(t, 200, sum[0].Counts.Exemplars)
	require.Equal(t, 4, sum[1].Counts.Samples)
	require.Equal(t, 2, sum[2].Series)
	require.Equal(t, 100, rs[0].Counts.Exemplars)
	require.Contains(t, rs.String(), "refused 2 samples, 1 histograms; first: éé")
	require.Less(t, len(rs.String()), 1500)
}

func TestErrors(t *testing.T) {
	cause := errors.New("cause")
	e := &ingest.Error{Reason: ingest.BadMessage, Detail: "detail", Err: cause}
	require.Equal(t, "err-barograph-bad-message: the request can't be decoded: detail: cause", e.Error())
	require.Same(t, e, ingest.AsError(fmt.Errorf("wrapped: %w", e)))
	require.Equal(t, ingest.StoreUnavailable, ingest.AsError(cause).Reason)
	require.ErrorIs(t, ingest.AsError(cause), cause)
}

func TestOptionsAreValidated(t *testing.T) {
	for _, o := range []ingest.Options{{MaxFuture: -1}, {Retention: -1}, {CacheEntries: -1}, {CacheIdle: -1}} {
		_, err := ingest.NewWriter(newFakeStore(), o)
		require.Error(t, err)
	}
}
