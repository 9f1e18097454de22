package head_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/head"
	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/series"
)

// TestCount adds up over shards to what there is of all series, which is what the index ranks.
func TestCount(t *testing.T) {
	h := head.New(options())
	var sets []series.Labels
	for i := range 1000 {
		sets = append(sets, series.FromStrings("__name__", fmt.Sprint("m", i%5), "i", fmt.Sprint(i), "job", fmt.Sprint(i%11)))
	}
	refs := mustRefs(t, h, sets...)
	for at := range 10 {
		for _, ref := range refs {
			require.Empty(t, h.Append(floats(ref, at*slot, at)))
		}
	}
	all, err := h.Count(nil, 10, nil)
	require.NoError(t, err)
	require.Equal(t, uint64(1000), all.Series)
	require.Equal(t, uint64(h.Stats().Chunks), all.Chunks)
	require.Positive(t, all.Chunks)
	stats := h.IndexStats(10)
	require.Equal(t, uint64(stats.LabelPairs), all.Pairs.Count())
	for _, c := range []struct {
		want []cardinality.Ranked
		got  []cardinality.Ranked
	}{
		{ranked(stats.SeriesByMetric), cardinality.Top(all.Metrics, 10)},
		{ranked(stats.SeriesByPair), cardinality.Top(all.Labels, 10)},
		{ranked(stats.ValuesByName), all.ByValues(10)},
		{ranked(stats.BytesByName), all.ByBytes(10)},
	} {
		require.Equal(t, c.want, c.got)
	}
	var parts []*cardinality.Counts
	for n := range 3 {
		shards := &series.ShardSet{Bits: 4}
		for s := n; s < 16; s += 3 {
			shards.Add(series.Shard(s))
		}
		c, err := h.Count(shards, 10, nil)
		require.NoError(t, err)
		require.Less(t, c.Series, uint64(600))
		parts = append(parts, c)
	}
	require.Equal(t, all.Append(nil), cardinality.Merge(parts, cardinality.Of(10)).Append(nil))

	full := errors.New("full")
	for left := range 12 {
		_, err = h.Count(&series.ShardSet{Bits: 4}, 10, func(int64) error {
			if left--; left < 0 {
				return full
			}
			return nil
		})
		if err != nil {
			require.ErrorIs(t, err, full)
		}
	}
}

func ranked(stats []index.Stat) (out []cardinality.Ranked) {
	for _, s := range stats {
		out = append(out, cardinality.Ranked(s))
	}
	return out
}
