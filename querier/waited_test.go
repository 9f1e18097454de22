package querier

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/storage/series"
)

// TestExplainTimes tells how long a query waited for its turn, and where its time went then.
func TestExplainTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{series: 3, samples: 4, onSelect: func(context.Context, series.Selector) error {
			time.Sleep(time.Second)
			return nil
		}}
		e := newTestEngine(t, store, Options{MaxConcurrency: 1})
		var both sync.WaitGroup
		for _, waited := range []time.Duration{0, time.Second} {
			both.Go(func() {
				time.Sleep(waited / 2)
				r, err := e.Instant(context.Background(), "up", unix(60), QueryOptions{Explain: true})
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				x := r.Explanation
				require.Equal(t, explain.Seconds(waited/2), x.Waited)
				require.Equal(t, explain.Seconds(waited/2+time.Second), x.Took)
				require.Equal(t, explain.Seconds(time.Second), x.Tree.Took)
				ask := x.Reads[0].Parts[0].Asks[0]
				require.Equal(t, explain.Seconds(time.Second), ask.First)
				require.Equal(t, explain.Seconds(time.Second), ask.Worked)
				require.Equal(t, ask.Work, x.Nodes[0].Work)
			})
		}
		both.Wait()
	})
}
