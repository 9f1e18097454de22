package querier

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

// When the process is short of memory, the query that holds most is ended, and the others go on.
func TestWatch(t *testing.T) {
	var memory atomic.Int64
	running, small := make(chan struct{}, 2), make(chan struct{})
	store := &fakeStore{series: 1, samples: 10}
	store.onSelect = func(ctx context.Context, sel series.Selector) error {
		large := sel.Matchers[0].Value == "large"
		if large {
			if err := sel.Take(1 << 20); err != nil {
				return err
			}
		}
		running <- struct{}{}
		if large {
			<-ctx.Done()
			memory.Store(1000)
			return ctx.Err()
		}
		<-small
		return nil
	}
	e := newTestEngine(t, store, Options{MaxMemory: 1000})
	e.watch.memory = memory.Load
	ended := make(chan error)
	go func() {
		r, err := e.Instant(context.Background(), "small", unix(100), QueryOptions{})
		if err == nil {
			r.Close()
		}
		ended <- err
	}()
	<-running
	go func() {
		<-running
		memory.Store(1001)
	}()
	_, err := e.Instant(context.Background(), "large", unix(100), QueryOptions{})
	requireLimit(t, err, Execution, limitMemory)
	close(small)
	require.NoError(t, <-ended)
}
