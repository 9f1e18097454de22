package cluster_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster"
)

// A node that Raft can't reach learns the placement from a node that it can ask, at once; what nobody
// knows it waits for no longer than it may.
func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.edit = func(o *cluster.Options) { o.BootstrapExpect = 3 }
		for i := 1; i <= 3; i++ {
			f.start(i, 1, 2, 3)
		}
		f.eventually(30*time.Second, "the region is founded", func() bool { return f.agreed(3) })
		leader := 1
		for i, n := range f.nodes {
			if n.Status().Leader == nodeID(i).String() {
				leader = i
			}
		}
		behind, other := f.nodes[leader%3+1], f.nodes[(leader+1)%3+1]
		host := func(n *testNode) string {
			for i, m := range f.nodes {
				if m == n {
					return "host" + string(rune('0'+i))
				}
			}
			return ""
		}
		f.net.Cut(host(f.nodes[leader]), host(behind))
		f.net.Cut(host(behind), host(f.nodes[leader]))
		require.NoError(t, f.nodes[leader].Drain(t.Context(), "n"+host(behind)[4:]))
		epoch := f.nodes[leader].Placement().Epoch
		f.eventually(10*time.Second, "the other knows", func() bool { return other.Placement().Epoch >= epoch })
		require.Less(t, behind.Placement().Epoch, epoch)

		changed := behind.Changed()
		require.NoError(t, behind.CatchUp(t.Context(), other.Self(), epoch))
		require.Equal(t, epoch, behind.Placement().Epoch)
		<-changed
		require.NoError(t, behind.CatchUp(t.Context(), other.Self(), epoch), "nothing is to be learnt")

		before := time.Now()
		require.Error(t, behind.CatchUp(t.Context(), other.Self(), epoch+100))
		require.LessOrEqual(t, time.Since(before), time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, behind.CatchUp(ctx, other.Self(), epoch+100), context.Canceled)
		f.net.HealAll()
		f.eventually(30*time.Second, "all know the same", func() bool { return f.agreed(3) })
		f.eventually(30*time.Second, "all say so", func() bool { return behind.Newest() == other.Placement().Epoch })
	})
}
