package stream

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
)

// A receiver that has promised to take no more frames of an epoch refuses them, also one that is being
// stored while it promises; and it hears of newer epochs.
func TestEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var epoch, fence atomic.Uint64
		epoch.Store(7)
		store := newFakeStore(true)
		storing, store2 := make(chan struct{}), make(chan struct{})
		store.append = func(context.Context, *frame.Frame) error {
			storing <- struct{}{}
			<-store2
			return nil
		}
		h := started(t, Options{Epoch: epoch.Load}, ReceiverOptions{Stale: func(e uint64) bool { return e < fence.Load() }}, store, nil)
		stale := func(err error) {
			t.Helper()
			var refused *RefusedError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, Stale, refused.Code)
		}
		done := make(chan error, 1)
		once := func() {
			require.NoError(t, h.sender.Send(row(0, 5, 1), func(_ []frame.Rejected, err error) { done <- err }))
		}

		once()
		<-storing
		require.Equal(t, uint64(7), h.receiver.Senders()[0].Epoch)
		store2 <- struct{}{}
		require.NoError(t, <-done)

		once()
		<-storing
		fence.Store(8)
		store2 <- struct{}{}
		stale(<-done)

		once()
		stale(<-done) // Without having been stored.

		epoch.Store(9)
		once()
		<-storing
		require.Equal(t, uint64(9), h.receiver.Senders()[0].Epoch)
		store2 <- struct{}{}
		require.NoError(t, <-done)
		require.Len(t, h.connections(), 1)
	})
}
