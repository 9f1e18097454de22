package stream

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
)

// unseal takes the checksum off, which a fuzzer would not find.
func unseal(msg []byte) []byte { return msg[:len(msg)-crcSize] }

// FuzzReceiver holds that whatever a peer sends, the stream ends in order or with an error, and its
// good frames before are answered.
func FuzzReceiver(f *testing.F) {
	e := frame.NewEncoder()
	var first, second []byte
	defs := []frame.SeriesDef{{Ref: row(0, 1, 1).Refs[0], Labels: labelsOf(row(0, 1, 1).Refs[0])}}
	one := row(0, 3, 1)
	one.Series = defs
	_ = e.Encode(one, func(b []byte) error { first = appendFrame(appendFrames(nil, tidings{missed: 0}), 1, b); return nil })
	clock := int64(1)
	_ = e.Encode(randomFrame(newRand(1), 20, &clock), func(b []byte) error {
		second = appendFrame(appendFrames(nil, tidings{missed: 1}), 2, b)
		return nil
	})
	f.Add(unseal(appendHello(nil, 1)), first, second)
	for _, msg := range goldenMessages() {
		f.Add(unseal(appendHello(nil, 1)), unseal(msg), first)
	}
	f.Fuzz(func(t *testing.T, hello, first, second []byte) {
		store := newFakeStore(false)
		r, err := NewReceiver(gathered(store), ReceiverOptions{MaxRefs: 1 << 12})
		require.NoError(t, err)
		p, ended := newPipe(nil), make(chan error, 1)
		go func() {
			err := r.Serve(t.Context(), testNode, end{p, 1})
			p.sever()
			ended <- err
		}()
		peer := end{p, 0}
		for _, msg := range [][]byte{hello, first, second} {
			if len(msg) > 1<<16 {
				t.Skip()
			}
			_ = peer.Send(seal(append([]byte(nil), msg...)))
		}
		_ = peer.CloseSend()
		for {
			msg, err := peer.Recv(nil)
			if err != nil {
				break
			}
			if _, err := readWelcome(msg); err != nil {
				_, err = readAcks(nil, msg)
				require.NoError(t, err)
			}
		}
		if err := <-ended; err == nil {
			require.Empty(t, r.Senders())
		}
	})
}

// FuzzSender holds that whatever a peer answers, frames are done once at most, and about samples that
// they have.
func FuzzSender(f *testing.F) {
	for _, msg := range goldenMessages() {
		f.Add(unseal(msg))
	}
	f.Add(appendAck([]byte{kindAcks}, &ack{seq: 2, rejected: []frame.Rejected{{Index: 1, Reason: frame.UnknownRef}, {Index: 4, Reason: frame.TooNew}}}))
	f.Fuzz(func(t *testing.T, msg []byte) {
		acks, err := readAcks(nil, seal(append([]byte(nil), msg...)))
		if err != nil {
			require.ErrorIs(t, err, errMessage)
			return
		}
		senders, err := NewSenders(Options{Labels: labelsOf})
		require.NoError(t, err)
		s := senders.New("peer", nil, func() bool { return false })
		s.queue.setState(up)
		o := newOutgoing(s, nil, 100)
		done := map[int]int{}
		for i := range 3 {
			clock := int64(1)
			one := randomFrame(newRand(uint64(i)), 20, &clock)
			require.NoError(t, s.Send(one, func(rejected []frame.Rejected, err error) {
				done[i]++
				var refused *RefusedError
				require.True(t, err == nil || errors.As(err, &refused) || errors.Is(err, ErrClosed))
				for _, r := range rejected {
					require.Less(t, r.Index, elements(one))
				}
			}))
			if i < 2 { // The third was not sent.
				it := s.queue.take(o)
				require.NoError(t, o.add(it))
				s.queue.release(it)
			}
		}
		if err := s.queue.acked(o, acks); err != nil {
			require.ErrorIs(t, err, errProtocol)
		}
		require.Zero(t, done[2])
		for it := s.queue.take(o); it != nil; it = s.queue.take(o) {
			require.NoError(t, o.add(it))
			s.queue.release(it)
		}
		s.queue.stop(ended, ErrClosed)
		require.Equal(t, map[int]int{0: 1, 1: 1, 2: 1}, done)
	})
}
