package simnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster/simnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns a network in which a has dialled b: a's end and b's.
func pair(t *testing.T) (n *simnet.Network, near, far net.Conn) {
	t.Helper()
	n = simnet.New(1)
	l, err := n.Host("b").Listen(t.Context(), ":80")
	require.NoError(t, err)
	near, err = n.Host("a").Dial(t.Context(), "b:80")
	require.NoError(t, err)
	far, err = l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.Equal(t, near.LocalAddr(), far.RemoteAddr())
	require.Equal(t, n.Host("b").IP().String()+":80", near.RemoteAddr().String())
	return n, near, far
}

func read(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	return string(b)
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	n, err := c.Write([]byte(s))
	require.NoError(t, err)
	require.Equal(t, len(s), n)
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, near, far := pair(t)
		n.Delay("a", "b", 10*time.Millisecond, 30*time.Millisecond)
		start := time.Now()
		for range 100 {
			write(t, near, "ab")
		}
		require.Equal(t, start, time.Now())
		require.Equal(t, "ab", read(t, far, 2))
		require.GreaterOrEqual(t, time.Since(start), 10*time.Millisecond)
		for range 99 {
			require.Equal(t, "ab", read(t, far, 2))
		}
		require.LessOrEqual(t, time.Since(start), 30*time.Millisecond)
		require.EqualValues(t, 200, n.Host("a").Sent().StreamBytes)

		write(t, near, "last")
		require.NoError(t, near.Close())
		require.ErrorIs(t, near.Close(), net.ErrClosed)
		rest, err := io.ReadAll(far)
		require.NoError(t, err)
		require.Equal(t, "last", string(rest))
		_, err = far.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		require.NoError(t, far.Close())
	})
}

// A writer waits for its reader, and for nothing longer than its deadline.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, near, far := pair(t)
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<14) // 256 KiB
		require.NoError(t, near.SetWriteDeadline(time.Now().Add(time.Second)))
		k, err := near.Write(sent)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 64<<10, k)

		require.NoError(t, near.SetWriteDeadline(time.Time{}))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := near.Write(sent[k:])
			require.NoError(t, err)
			require.NoError(t, near.Close())
		})
		got, err := io.ReadAll(far)
		require.NoError(t, err)
		require.Equal(t, sent, got)
		wg.Wait()

		require.NoError(t, far.SetReadDeadline(time.Now().Add(-time.Second)))
		_, err = far.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, far.Close())
	})
}

func TestCutStallsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, near, far := pair(t)
		n.DelayAll(20*time.Millisecond, 20*time.Millisecond)
		write(t, near, "arrived,")
		time.Sleep(20 * time.Millisecond)
		write(t, near, "under way,")
		n.Cut("a", "b")
		write(t, near, "after")
		require.Equal(t, "arrived,", read(t, far, 8))

		write(t, far, "back") // The other way is open.
		require.Equal(t, "back", read(t, near, 4))

		require.NoError(t, far.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err := far.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, far.SetReadDeadline(time.Time{}))

		time.AfterFunc(time.Hour, func() { n.Heal("a", "b") })
		require.Equal(t, "under way,after", read(t, far, 15))
		require.NoError(t, near.Close())
		require.NoError(t, far.Close())
	})
}

func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host("a"), n.Host("b")
		n.DelayAll(5*time.Millisecond, 5*time.Millisecond)
		start := time.Now()
		_, err := a.Dial(t.Context(), "b:80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Equal(t, 10*time.Millisecond, time.Since(start))
		_, err = a.Dial(t.Context(), "nobody:80")
		var dns *net.DNSError
		require.ErrorAs(t, err, &dns)

		l, err := b.Listen(t.Context(), ":80")
		require.NoError(t, err)
		_, err = b.Listen(t.Context(), "b:80")
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = b.Listen(t.Context(), "a:80")
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
		n.Cut("b", "a") // The answer is lost, not the request.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = a.Dial(ctx, l.Addr().String())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.AfterFunc(time.Minute, n.HealAll)
		c, err := a.Dial(t.Context(), l.Addr().String())
		require.NoError(t, err)
		require.NoError(t, l.Close()) // Before it is accepted.
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.NoError(t, c.Close())
	})
}

func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, near, far := pair(t)
		old := n.Host("b")
		l, err := old.Listen(t.Context(), ":81")
		require.NoError(t, err)
		p, err := old.ListenPacket(t.Context(), ":81")
		require.NoError(t, err)
		var wg sync.WaitGroup
		for _, call := range []func() error{
			func() error { _, err := far.Read(make([]byte, 1)); return err },
			func() error { _, err := l.Accept(); return err },
			func() error { _, _, err := p.ReadFrom(make([]byte, 1)); return err },
		} {
			wg.Go(func() { require.ErrorIs(t, call(), simnet.ErrKilled) })
		}
		synctest.Wait()
		write(t, near, "unread")
		n.Cut("b", "a")
		n.Kill("b")
		wg.Wait()
		write(t, near, "nobody has told it yet")
		n.HealAll()
		_, err = near.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = near.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.NoError(t, near.Close())

		_, err = old.Dial(t.Context(), "a:80")
		require.ErrorIs(t, err, simnet.ErrKilled)
		again := n.Host("b")
		require.NotSame(t, old, again)
		require.Equal(t, old.IP(), again.IP())
		l, err = again.Listen(t.Context(), ":81")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		_, err = old.Listen(t.Context(), ":81")
		require.ErrorIs(t, err, simnet.ErrKilled)
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, near, far := pair(t)
		n.Pause("b")
		write(t, near, "while it sleeps")
		require.NoError(t, far.SetReadDeadline(time.Now().Add(time.Second)))
		start := time.Now()
		time.AfterFunc(time.Minute, func() { n.Resume("b") })
		_, err := far.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start), "its deadline passed long ago, but who was there to notice")
		require.NoError(t, far.SetReadDeadline(time.Time{}))
		require.Equal(t, "while it sleeps", read(t, far, 15))

		n.Pause("b")
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := far.Read(make([]byte, 1))
			require.ErrorIs(t, err, net.ErrClosed)
		})
		synctest.Wait()
		require.NoError(t, far.Close()) // Tests end also with hosts that are paused.
		wg.Wait()
		require.NoError(t, near.Close())
	})
}

// packets returns which of so many packets from a to b arrive, in their order.
func packets(t *testing.T, n *simnet.Network, count int) []byte {
	t.Helper()
	from, err := n.Host("a").ListenPacket(t.Context(), ":0")
	require.NoError(t, err)
	to, err := n.Host("b").ListenPacket(t.Context(), ":53")
	require.NoError(t, err)
	for i := range count {
		_, err := from.WriteTo([]byte{byte(i)}, to.LocalAddr())
		require.NoError(t, err)
	}
	require.NoError(t, to.SetReadDeadline(time.Now().Add(time.Second)))
	var got []byte
	for {
		b := make([]byte, 10)
		k, addr, err := to.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		require.NoError(t, err)
		require.Equal(t, from.LocalAddr(), addr)
		got = append(got, b[:k]...)
	}
	require.NoError(t, from.Close())
	require.NoError(t, to.Close())
	return got
}

func TestPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		n.Host("a")
		require.Equal(t, []byte{0, 1, 2, 3, 4}, packets(t, n, 5))
		n.Cut("a", "b")
		require.Empty(t, packets(t, n, 5))
		n.HealAll()

		faulty := func(seed uint64) []byte {
			n := simnet.New(seed)
			n.LossAll(0.5)
			n.Host("x")
			n.Delay("a", "b", 0, time.Second/2)
			return packets(t, n, 100)
		}
		got := faulty(7)
		require.InDelta(t, 50, len(got), 15)
		require.NotEqual(t, []byte{0, 1}, got[:2], "they overtake each other")
		require.Equal(t, got, faulty(7))
		require.NotEqual(t, got, faulty(8))
	})
}

func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		names := []string{"a", "b", "c", "d"}
		for _, name := range names {
			l, err := n.Host(name).Listen(t.Context(), ":80")
			require.NoError(t, err)
			defer l.Close()
		}
		reach := func(from, to string) bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, err := n.Host(from).Dial(ctx, to+":80")
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				return false
			}
			return c.Close() == nil
		}
		n.Cut("a", "b")
		n.Partition([]string{"a", "b"}, []string{"c"})
		for pair, want := range map[string]bool{
			"ab": true, "ba": true, "ac": false, "ca": false, "cb": false, "ad": true, "dc": true,
		} {
			require.Equal(t, want, reach(pair[:1], pair[1:]), pair)
		}
		n.HealAll()
		require.True(t, reach("a", "c"))
	})
}

// It serves outside bubbles too, under the race detector.
func TestRealTime(t *testing.T) {
	n := simnet.New(1)
	n.DelayAll(0, time.Millisecond)
	l, err := n.Host("b").Listen(t.Context(), ":80")
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := l.Accept()
			if err == nil {
				_, err = io.Copy(c, c)
			}
			require.NoError(t, errors.Join(err, c.Close()))
		})
		wg.Go(func() {
			c, err := n.Host("a").Dial(t.Context(), "b:80")
			require.NoError(t, err)
			for i := range 100 {
				s := string(bytes.Repeat([]byte{byte(i)}, i*10+1))
				write(t, c, s)
				require.Equal(t, s, read(t, c, len(s)))
			}
			require.NoError(t, c.Close())
		})
	}
	wg.Wait()
	require.NoError(t, l.Close())
}
