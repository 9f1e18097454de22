package querier_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// A copy has every series of its shards once, from whichever nodes lack nothing, or fails.
func TestCopy(t *testing.T) {
	mems := []*queriertest.Mem{{}, {}, {}}
	c := queriertest.NewCluster(t, []leaf.Store{mems[0], mems[1], mems[2]}, 2, querier.Options{})
	shards := &series.ShardSet{Bits: 4}
	for _, s := range []series.Shard{0, 1, 5, 11} {
		shards.Add(s)
	}
	want := map[string]int{}
	for i := range 200 {
		ls := series.FromStrings("__name__", "up", "i", fmt.Sprint(i))
		if shards.Has(ls.Fingerprint()) {
			want[ls.String()] = 3
		}
		for n, m := range mems {
			if !c.Holds(n, ls) {
				continue
			}
			for at := range int64(4) {
				if n == 1 && at == 2 {
					continue // It has lost it, see below.
				}
				require.NoError(t, m.Write(t.Context(), []queriertest.Sample{{Labels: ls, Sample: series.Sample{T: 1000 * at, V: 1}}}))
			}
		}
	}
	c.AddLoss(1, 1500, 2500)
	set, err := c.Engines[0].Copy(t.Context(), shards, 1000, math.MaxInt64)
	require.NoError(t, err)
	got := map[string]int{}
	for set.Next() {
		ls := set.At().Labels.String()
		require.NotContains(t, got, ls)
		it := chunk.NewIterator(set.At().Chunks)
		for it.Next() != 0 {
			if it.AtT() >= 1000 { // A chunk is handed on as it is.
				got[ls]++
			}
		}
	}
	require.NoError(t, set.Err())
	require.NoError(t, set.Close())
	require.Equal(t, want, got)

	// From one node comes what that has, gap or not.
	one, err := c.Engines[0].CopyFrom(t.Context(), plan.Node{ID: placement.NodeID{15: 2}}, shards, 1000, math.MaxInt64)
	require.NoError(t, err)
	for one.Next() {
		it := chunk.NewIterator(one.At().Chunks)
		for it.Next() != 0 {
			require.NotEqual(t, int64(2000), it.AtT())
		}
	}
	require.NoError(t, one.Err())
	require.NoError(t, one.Close())

	c.Kill(2) // It has what another one lacks, and nobody knows that it is gone.
	_, err = c.Engines[0].Copy(t.Context(), shards, 0, math.MaxInt64)
	require.ErrorContains(t, err, "connection refused")
}
