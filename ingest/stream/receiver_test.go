package stream

import (
	"context"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/frame"
)

// A sender that has nothing to say beats. One that is stalled is silent after a second, and breaks the
// stream of a receiver it does not hear, which is silent in turn.
func TestBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var beats [2]atomic.Int64
		fault := func(_, way int, _ []byte) bool {
			beats[way].Add(1)
			return true
		}
		h := started(t, Options{}, ReceiverOptions{}, newFakeStore(false), fault)
		for range 40 {
			time.Sleep(250 * time.Millisecond)
			require.Empty(t, h.receiver.Silent(time.Now()))
		}
		require.InDelta(t, 34, beats[0].Load(), 2, "hello and a beat every 300 ms")
		require.InDelta(t, 11, beats[1].Load(), 2, "welcome and a beat each second")
		require.Len(t, h.connections(), 1)

		h.connections()[0].stalled.Store(true)
		time.Sleep(1400 * time.Millisecond)
		silent := h.receiver.Silent(time.Now())
		require.Len(t, silent, 1)
		require.Equal(t, testNode, silent[0].Node)
		require.Equal(t, h.sender.opts.ID, silent[0].ID)
		time.Sleep(5 * time.Second)
		require.Len(t, h.connections(), 2, "the sender opened another stream")
		require.Empty(t, h.receiver.Silent(time.Now()))
		_, err := h.once(t, row(0, 5, 1))
		require.NoError(t, err)
		h.stop()
		require.Empty(t, h.receiver.Senders(), "it ended in order")
	})
}

// A sender whose stream broke is remembered, and those beyond the bounds are not.
func TestRemembersSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := NewReceiver(gathered(newFakeStore(false)), ReceiverOptions{MaxSenders: 3, MaxStreams: 2})
		require.NoError(t, err)
		open := func(node byte, id uint64) (*pipe, <-chan error) {
			p, ended := newPipe(nil), make(chan error, 1)
			go func() { ended <- r.Serve(t.Context(), placement.NodeID{node}, end{p, 1}) }()
			require.NoError(t, end{p, 0}.Send(appendHello(nil, id)))
			synctest.Wait()
			return p, ended
		}
		a, aEnded := open(1, 1)
		b, bEnded := open(1, 1)
		_, err = func() (*pipe, error) { p, ended := open(1, 2); return p, <-ended }()
		require.ErrorContains(t, err, "the limit is 2")
		a.sever()
		require.ErrorIs(t, <-aEnded, errCut)
		require.NoError(t, end{b, 0}.CloseSend())
		require.NoError(t, <-bEnded)
		require.Empty(t, r.Senders(), "the last of its streams ended in order")

		for id := range uint64(4) {
			p, ended := open(2, id)
			p.sever()
			require.Error(t, <-ended)
			time.Sleep(time.Minute)
		}
		heard := r.Senders()
		require.Len(t, heard, 3)
		require.EqualValues(t, 1, heard[0].ID, "the one silent for longest is forgotten")
		require.Len(t, r.Silent(time.Now()), 3)
		time.Sleep(2 * time.Hour)
		p, ended := open(2, 9)
		require.Len(t, r.Senders(), 1)
		p.sever()
		<-ended
	})
}

// Frames are appended in their order, those that come while the store is busy together.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var appended [][]int64
		store := newFakeStore(false)
		store.append = func(_ context.Context, f *frame.Frame) error {
			appended = append(appended, slices.Compact(slices.Clone(f.Times)))
			<-gate
			return nil
		}
		h := started(t, Options{}, ReceiverOptions{}, store, nil)
		var outcomes []*outcome
		for i, first := range []int{0, 50, 9, 100} { // The third shares series 9 with the first.
			o := newOutcome()
			outcomes = append(outcomes, o)
			require.NoError(t, h.sender.Send(row(first, 10, int64(i+1)), o.done))
			synctest.Wait()
		}
		require.Zero(t, h.receiver.Senders()[0].Answered)
		gate <- struct{}{}
		require.NoError(t, outcomes[0].wait())
		synctest.Wait()
		require.EqualValues(t, 1, h.receiver.Senders()[0].Answered)
		close(gate)
		for _, o := range outcomes {
			require.NoError(t, o.wait())
		}
		synctest.Wait()
		require.EqualValues(t, 4, h.receiver.Senders()[0].Answered)
		require.Equal(t, [][]int64{{1}, {2, 3, 4}}, appended)
	})
}

// A stream whose context has ended ends, also where the store does not answer.
func TestEndsWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		store := newFakeStore(false)
		store.append = func(context.Context, *frame.Frame) error { <-gate; return nil }
		r, err := NewReceiver(gathered(store), ReceiverOptions{InFlightBytes: minFlown})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		p, ended := newPipe(nil), make(chan error, 1)
		defer context.AfterFunc(ctx, p.sever)()
		go func() { ended <- r.Serve(ctx, testNode, end{p, 1}) }()
		peer := end{p, 0}
		require.NoError(t, peer.Send(appendHello(nil, 1)))
		for i := range uint64(3) {
			require.NoError(t, peer.Send(seal(appendFrame(appendFrames(nil, tidings{}), i+1, frame.AppendEncode(nil, row(0, 3, 1))))))
		}
		synctest.Wait()
		cancel()
		require.Error(t, <-ended)
		close(gate)
		time.Sleep(time.Second) // What was handed in is appended all the same.
	})
}

// A connection that is there twice brings everything twice, to no harm.
func TestDuplicatedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(true)
		second := newPipe(nil)
		ended := make(chan error, 1)
		go func() { // Nobody cares for its answers.
			for {
				if _, err := (end{second, 0}).Recv(nil); err != nil {
					return
				}
			}
		}()
		fault := func(_, way int, msg []byte) bool {
			if way == 0 {
				require.NoError(t, end{second, 0}.Send(msg))
			}
			return true
		}
		h := start(t, Options{}, ReceiverOptions{}, store, fault)
		go func() { ended <- h.receiver.Serve(t.Context(), testNode, end{second, 1}) }()
		clock := int64(1)
		rnd := newRand(4)
		for range 30 {
			h.send(t, randomFrame(rnd, 30, &clock))
		}
		h.done.Wait()
		require.Empty(t, h.outcome.errs)
		require.NoError(t, end{second, 0}.CloseSend())
		require.NoError(t, <-ended)
		h.check(t, store)
		require.Len(t, h.connections(), 1)
	})
}

// A peer that reads no answers is read no further, and what it sends is bounded.
func TestUnreadAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := NewReceiver(gathered(newFakeStore(false)), ReceiverOptions{})
		require.NoError(t, err)
		p, ended := newPipe(nil), make(chan error, 1)
		go func() { ended <- r.Serve(t.Context(), testNode, end{p, 1}) }()
		peer := end{p, 0}
		require.NoError(t, peer.Send(appendHello(nil, 1)))
		body := frame.AppendEncode(nil, &frame.Frame{})
		sent := make(chan int, 1)
		go func() {
			n := 0
			for ; n < 10_000; n++ {
				if peer.Send(seal(appendFrame(appendFrames(nil, tidings{missed: 0}), uint64(n+1), body))) != nil {
					break
				}
			}
			sent <- n
		}()
		synctest.Wait()
		p.sever()
		require.Less(t, <-sent, 2*maxAnswers)
		require.Error(t, <-ended)
	})
}

// A stream that ends in order has all its frames answered first.
func TestEndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(false)
		gate := make(chan struct{})
		store.append = func(context.Context, *frame.Frame) error { <-gate; return nil }
		r, err := NewReceiver(gathered(store), ReceiverOptions{})
		require.NoError(t, err)
		p, ended := newPipe(nil), make(chan error, 1)
		go func() { ended <- r.Serve(t.Context(), testNode, end{p, 1}) }()
		peer := end{p, 0}
		require.NoError(t, peer.Send(appendHello(nil, 1)))
		require.NoError(t, peer.Send(seal(appendFrame(appendFrames(nil, tidings{missed: 0}), 1, frame.AppendEncode(nil, row(0, 3, 1))))))
		require.NoError(t, peer.CloseSend())
		synctest.Wait()
		close(gate)
		require.NoError(t, <-ended)
		msg, err := peer.Recv(nil)
		require.NoError(t, err)
		refs, err := readWelcome(msg)
		require.NoError(t, err)
		require.EqualValues(t, 16<<20, refs)
		msg, err = peer.Recv(nil)
		require.NoError(t, err)
		acks, err := readAcks(nil, msg)
		require.NoError(t, err)
		require.Len(t, acks, 1)
		require.Len(t, acks[0].rejected, 3, "nobody defined them")
		_, err = peer.Recv(nil)
		require.ErrorIs(t, err, io.EOF)
	})
}
