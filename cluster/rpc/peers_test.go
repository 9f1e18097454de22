package rpc

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipeNode runs a node on pipes.
func pipeNode(t *testing.T, p *pipes, n byte, with ...func(*Transport)) *node {
	return startOpts(t, Options{Identity: identity(n), Network: p, Listen: string('a' + rune(n) - 1)}, with...)
}

func TestDialOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a, b := pipeNode(t, p, 1), pipeNode(t, p, 2)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				_, err := a.Call(soon(t), b.peer, "echo", []byte("x"))
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.Equal(t, 1, value(a.metrics.dials))
	})
}

// A node that accepts and never answers costs one caller's wait: the others have their contexts,
// and then nobody waits until the next try is due.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := pipeNode(t, p, 1)
		p.impostor(t, "mute", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		mute := Peer{id(9), "mute"}
		begin := time.Now()
		go func() {
			_, err := a.Call(limitedTo(t, time.Second), mute, "echo", nil)
			if CodeOf(err) != Deadline || time.Since(begin) != time.Second {
				t.Error(err)
			}
		}()
		_, err := a.Call(soon(t), mute, "echo", nil)
		require.Equal(t, Unavailable, CodeOf(err))
		require.ErrorContains(t, err, "no answer within 3s")
		require.Equal(t, 3*time.Second, time.Since(begin))

		_, err = a.Call(soon(t), mute, "echo", nil)
		require.Equal(t, Unavailable, CodeOf(err))
		require.ErrorContains(t, err, "is tried again in")
		require.Equal(t, 3*time.Second, time.Since(begin), "at once")
		require.Equal(t, 1, value(a.metrics.dials))
		require.Equal(t, 1, value(a.metrics.backoffs))

		time.Sleep(firstBackoff)
		_, err = a.Call(soon(t), mute, "echo", nil)
		require.ErrorContains(t, err, "no answer within 3s")
		require.Equal(t, 2, value(a.metrics.dials))
	})
}

func TestBackoff(t *testing.T) {
	require.Equal(t, 100*time.Millisecond, backoff(1, 5*time.Second, 0))
	require.Equal(t, 80*time.Millisecond, backoff(1, 5*time.Second, 1))
	require.Equal(t, 400*time.Millisecond, backoff(3, 5*time.Second, 0))
	require.Equal(t, 5*time.Second, backoff(7, 5*time.Second, 0))
	require.Equal(t, 5*time.Second, backoff(1000, 5*time.Second, 0))
	require.Equal(t, time.Millisecond, backoff(1, time.Millisecond, 0))

	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := pipeNode(t, p, 1)
		for range 1000 {
			_, err := a.Call(soon(t), Peer{id(2), "b"}, "echo", nil)
			require.Equal(t, Unavailable, CodeOf(err))
			time.Sleep(100 * time.Millisecond)
		}
		dials := value(a.metrics.dials)
		require.Greater(t, dials, 20)
		require.Less(t, dials, 35)
		// It is there, and says so by itself.
		b := pipeNode(t, p, 2)
		_, err := b.Call(soon(t), a.peer, "echo", nil)
		require.NoError(t, err)
		_, err = a.Call(soon(t), b.peer, "echo", nil)
		require.NoError(t, err)
		require.Equal(t, dials+1, value(a.metrics.dials))
	})
}

// A peer that shook hands and is silent, or takes nothing in, is noticed in time, also by who is in
// the middle of a Send.
func TestDeadPeer(t *testing.T) {
	for name, dead := range map[string]struct {
		does func(net.Conn)
		why  loss
	}{
		"silent":  {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, lostSilent},
		"stalled": {func(c net.Conn) { time.Sleep(time.Minute) }, lostStalled},
		"talking": {func(c net.Conn) {
			for {
				time.Sleep(time.Second)
				if _, err := c.Write(appendFrame(nil, kindPong, 0, nil)); err != nil {
					return
				}
			}
		}, lostStalled},
		"cut": {func(c net.Conn) { time.Sleep(time.Second) }, lostBroken},
		"foolish": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1000))
			_, _ = c.Write(make([]byte, headerLen))
			_, _ = io.Copy(io.Discard, c)
		}, lostProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				a := pipeNode(t, p, 1)
				p.impostor(t, "dead", func(c net.Conn) {
					welcomes(t, c, 9)
					dead.does(c)
				})
				s, err := a.Open(soon(t), Peer{id(9), "dead"}, "mirror")
				require.NoError(t, err)
				begin := time.Now()
				received := make(chan error)
				go func() {
					_, err := s.Recv(nil)
					received <- err
				}()
				for err == nil {
					err = s.Send(make([]byte, 1000))
				}
				require.Equal(t, Unavailable, CodeOf(err))
				require.Equal(t, Unavailable, CodeOf(<-received))
				require.LessOrEqual(t, time.Since(begin), 4*time.Second)
				require.Equal(t, 1, value(a.metrics.lost[dead.why]))
				_, err = s.Recv(nil)
				require.Equal(t, Unavailable, CodeOf(err), "and not the end")
				<-s.(*stream).link.done
			})
		})
	}
}

// caller dials node a as node 9, and is nobody.
func caller(t *testing.T, p *pipes) net.Conn {
	c, err := p.Dial(soon(t), "a")
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.Write(appendHello(nil, &hello{speaks: Spoken, to: id(1), from: identity(9), window: minWindow}))
	require.NoError(t, err)
	_, err = readPacket(c)
	require.NoError(t, err)
	return c
}

// Who makes a node say much, and takes nothing in, is given up before it has taken much memory.
func TestGreedyPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := pipeNode(t, p, 1)
		c := caller(t, p)
		sent := 0
		pings := bytes.Repeat(appendFrame(nil, kindPing, 0, nil), 1000)
		for {
			n, err := c.Write(pings)
			if sent += n; err != nil {
				break
			}
		}
		require.GreaterOrEqual(t, sent, outMost-100_000)
		require.Less(t, sent, outMost+1<<20, "what was under way when it was given up")
		synctest.Wait()
		require.Zero(t, value(a.metrics.links[accepting][Interactive]))
	})
}

// The other side notices too, and its handlers end.
func TestDeadCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		ended := make(chan error, 1)
		a := pipeNode(t, p, 1, func(tr *Transport) {
			tr.Handle(Method{Name: "wait"}, func(ctx context.Context, _ Identity, s Stream) error {
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return ctx.Err()
			})
		})
		c := caller(t, p)
		_, err := c.Write(appendFrame(nil, kindOpen, 1, appendOpen(nil, 0, false, "wait")))
		require.NoError(t, err)
		begin := time.Now()
		go func() { _, _ = io.Copy(io.Discard, c) }()
		require.Equal(t, Unavailable, CodeOf(<-ended))
		require.LessOrEqual(t, time.Since(begin), 3*time.Second)
		require.Equal(t, 1, value(a.metrics.lost[lostSilent]))
	})
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a, b := pipeNode(t, p, 1), pipeNode(t, p, 2)
		s, err := a.Open(context.Background(), b.peer, "mirror")
		require.NoError(t, err)
		for range 2 {
			_, err = a.Call(soon(t), b.peer, "echo", nil)
			require.NoError(t, err)
			time.Sleep(4 * time.Minute)
		}
		bytes := value(a.metrics.sent) + value(a.metrics.received)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 0, value(a.metrics.links[dialling][Interactive]))
		require.Equal(t, 0, value(b.metrics.links[accepting][Interactive]))
		require.Equal(t, 2, value(a.metrics.dials))
		require.Less(t, value(a.metrics.sent)+value(a.metrics.received)-bytes, 3600*40, "bytes in an hour")
		require.NoError(t, s.Send([]byte("x")), "the other one is in use")
		_, err = s.Recv(nil)
		require.NoError(t, err)
		s.Close()
		require.Zero(t, value(a.metrics.lost[lostBroken])+value(b.metrics.lost[lostBroken]))
		_, err = a.Call(soon(t), b.peer, "echo", nil)
		require.NoError(t, err)
		require.Equal(t, 3, value(a.metrics.dials))
	})
}

func TestAddressChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a, b := pipeNode(t, p, 1), pipeNode(t, p, 2)
		s, err := a.Open(soon(t), b.peer, "mirror")
		require.NoError(t, err)
		_, err = a.Call(soon(t), b.peer, "echo", nil)
		require.NoError(t, err)
		_, err = a.Call(soon(t), Peer{b.peer.ID, "gone"}, "echo", nil)
		require.ErrorContains(t, err, "nobody listens at gone")
		// Now b is elsewhere as well. No pause for an address that was not tried.
		p.mu.Lock()
		p.listeners["new"] = p.listeners["b"]
		p.mu.Unlock()
		_, err = a.Call(soon(t), Peer{b.peer.ID, "new"}, "echo", nil)
		require.NoError(t, err)
		require.Equal(t, 4, value(a.metrics.dials))
		synctest.Wait()
		require.Equal(t, 1, value(b.metrics.links[accepting][Interactive]), "the old one has ended")
		require.Equal(t, 1, value(b.metrics.links[accepting][Bulk]), "and the other not, as it is used")
		require.NoError(t, s.Send([]byte("x")))
		_, err = s.Recv(nil)
		require.NoError(t, err)
		s.Close()
		synctest.Wait()
		require.Equal(t, 0, value(b.metrics.links[accepting][Bulk]))
	})
}
