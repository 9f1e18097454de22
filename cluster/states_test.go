package cluster_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/consensus"
	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/dedup"
	"github.com/barograph-db/barograph/storage/series"
)

func TestStatesHaveNamesOfTheirOwn(t *testing.T) {
	o := cluster.Options{Name: "x", Node: nodeOf(1), Dir: "x", States: map[string]consensus.State{"placement": dedup.NewTable()}}
	o.EnsureDefaults()
	require.ErrorContains(t, o.Validate(), `"placement"`)
}

// Three nodes elect alike for an HA pair whose replicas send to any of them, with the leader dead too.
func TestElectionsAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		tables := map[int]*dedup.Table{}
		f.edit = func(o *cluster.Options) {
			o.BootstrapExpect = 3
			table := dedup.NewTable()
			tables[int(o.Node.ID[15])] = table
			o.States = map[string]consensus.State{dedup.StateName: table}
		}
		for i := 1; i <= 3; i++ {
			f.start(i, 1, 2, 3)
		}
		f.eventually(30*time.Second, "the region is founded", func() bool { return f.agreed(3) })
		voters := func() (n int) {
			for _, s := range f.nodes[2].Status().Nodes {
				if s.Voter {
					n++
				}
			}
			return n
		}
		f.eventually(30*time.Second, "all vote", func() bool { return voters() == 3 })

		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		elections := map[int]*dedup.Elections{}
		for i := 1; i <= 3; i++ {
			n := f.nodes[i]
			e, err := dedup.New(tables[i], dedup.Options{Propose: func(ctx context.Context, c []byte) ([]byte, error) {
				return n.Propose(ctx, dedup.StateName, c)
			}})
			require.NoError(t, err)
			elections[i] = e
			running.Go(func() { _ = e.Run(ctx) })
		}
		// taken has node i judge a sample of a replica that was scraped now.
		taken := func(i int, replica string) bool {
			now := time.Now().UnixMilli()
			_, o, err := elections[i].Origin([]series.Pair{
				{Name: []byte("cluster"), Value: []byte("p")}, {Name: []byte("__replica__"), Value: []byte(replica)},
			})
			require.NoError(t, err)
			v := elections[i].Judge(t.Context(), o)
			if v.Refused != nil || now <= v.After {
				elections[i].Took(o, math.MinInt64, ingest.Counts{Samples: 1})
				return false
			}
			elections[i].Took(o, now, ingest.Counts{})
			return true
		}
		alike := func() bool {
			want, err := tables[2].Snapshot()
			require.NoError(t, err)
			for i := range f.nodes {
				have, err := tables[i].Snapshot()
				require.NoError(t, err)
				if string(have) != string(want) {
					return false
				}
			}
			return len(want) > 0
		}

		// Both are new, and come to two nodes at once: one is taken.
		var got [2]bool
		var both sync.WaitGroup
		both.Go(func() { got[0] = taken(2, "a") })
		both.Go(func() { got[1] = taken(3, "b") })
		both.Wait()
		require.NotEqual(t, got[0], got[1])
		elected, other := "a", "b"
		if got[1] {
			elected, other = "b", "a"
		}
		for round := range 20 { // Two minutes of it, from node to node.
			time.Sleep(6 * time.Second)
			require.True(t, taken(1+round%3, elected))
			require.False(t, taken(1+(round+1)%3, other))
		}
		f.eventually(10*time.Second, "all tables are alike", alike)

		// The elected one falls silent and so does the leader of the region; the other takes over.
		leader := 1
		for i := 1; i <= 3; i++ {
			if nodeID(i).String() == f.nodes[2].Status().Leader {
				leader = i
			}
		}
		last := time.Now()
		f.kill(leader)
		alive := 1 + leader%3
		f.eventually(40*time.Second, "the other takes over", func() bool { return taken(alive, other) })
		require.Greater(t, time.Since(last), 30*time.Second-7*time.Second)
		require.Less(t, time.Since(last), 36*time.Second)
		time.Sleep(2 * time.Second)
		for i := range f.nodes {
			require.False(t, taken(i, elected))
			require.True(t, taken(i, other))
		}
		if leader != 2 {
			f.eventually(10*time.Second, "all tables are alike", alike)
		}
	})
}
