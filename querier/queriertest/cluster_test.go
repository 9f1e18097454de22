package queriertest_test

import (
	"context"
	"slices"
	"testing"

	promstorage "github.com/prometheus/prometheus/storage"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
)

// TestScriptsInCluster asks nodes of three, also while another is gone.
func TestScriptsInCluster(t *testing.T) {
	for _, tc := range []struct {
		name          string
		replicas, ask int
		killed        int // -1 is none.
		gaps          bool
	}{
		{name: "one replica", replicas: 1, killed: -1},
		{name: "two replicas, one node gone", replicas: 2, ask: 1, killed: 2},
		{name: "three replicas, one node gone, gaps", replicas: 3, ask: 2, killed: 0, gaps: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			runScripts(t, func(tb testing.TB) promstorage.Storage {
				mems, stores := make([]*queriertest.Mem, 3), make([]leaf.Store, 3)
				for i := range mems {
					mems[i] = &queriertest.Mem{}
					stores[i] = mems[i]
				}
				c := queriertest.NewCluster(tb, stores, tc.replicas, querier.Options{})
				if tc.killed >= 0 {
					c.Kill(tc.killed)
				}
				if tc.gaps { // Some is read from another node than the rest, and some from both.
					c.AddGap(1, 0, 600_000)
					c.AddGap(2, 300_000, 900_000)
				}
				return queriertest.NewEngineStorage(c.Engines[tc.ask], func(ctx context.Context, samples []queriertest.Sample) error {
					for i, m := range mems {
						own := slices.DeleteFunc(slices.Clone(samples), func(s queriertest.Sample) bool { return !c.Holds(i, s.Labels) })
						if err := m.Write(ctx, own); err != nil {
							return err
						}
					}
					return nil
				})
			})
		})
	}
}
