package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

// Writes by an old placement are shut out once so many replicas refuse them that the rest is no quorum,
// whoever is away.
func TestShutOut(t *testing.T) {
	p, err := placement.Found(0, 3, []placement.Node{node(1), node(2), node(3)})
	require.NoError(t, err)
	shards := []series.Shard{0}
	a, b, c := node(1).ID, node(2).ID, node(3).ID
	for _, tc := range []struct {
		follows map[placement.NodeID]uint64
		want    bool
	}{
		{nil, false},
		{map[placement.NodeID]uint64{a: 7, b: 6}, false},
		{map[placement.NodeID]uint64{a: 7, node(4).ID: 7}, false},
		{map[placement.NodeID]uint64{a: 7, c: 9}, true},
	} {
		require.Equal(t, tc.want, shutOut(p, tc.follows, 7, shards), "%v", tc.follows)
	}
	p, err = p.Remove(c, false)
	require.NoError(t, err)
	require.False(t, shutOut(p, map[placement.NodeID]uint64{a: 7}, 7, shards), "b and the one that was removed may be enough for one from before")
	p, err = placement.Found(0, 2, []placement.Node{node(1), node(2)})
	require.NoError(t, err)
	require.True(t, shutOut(p, map[placement.NodeID]uint64{a: 7}, 7, shards))
}
