package throttle

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Two that take from one share its rate.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th, begin := New(1000), time.Now()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				for range 50 {
					if err := th.Take(t.Context(), 100); err != nil {
						t.Error(err)
					}
				}
			})
		}
		both.Wait()
		require.InDelta(t, 10, time.Since(begin).Seconds(), 0.2)
		time.Sleep(time.Hour)
		begin = time.Now()
		require.NoError(t, th.Take(t.Context(), 2000))
		require.Equal(t, 2*time.Second, time.Since(begin), "what was not used is not saved up")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, th.Take(ctx, 5000), context.Canceled)
	})
}
