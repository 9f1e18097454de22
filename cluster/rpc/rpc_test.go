package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCall(t *testing.T) {
	a, b := start(t, 1), start(t, 2)
	for _, size := range []int{0, 1, 100, maxPart - 1, maxPart, maxPart + 1, 1 << 20} {
		req := bytes.Repeat([]byte{7}, size)
		resp, err := a.Call(soon(t), b.peer, "echo", req)
		require.NoError(t, err)
		require.True(t, bytes.Equal(req, resp), "%d bytes", size)
	}
	who, err := a.Call(soon(t), b.peer, "who", nil)
	require.NoError(t, err)
	require.Equal(t, identity(1).String(), string(who))
	who, err = b.Call(soon(t), a.peer, "who", nil)
	require.NoError(t, err)
	require.Equal(t, identity(2).String(), string(who))
	require.Equal(t, 1, value(a.metrics.dials), "one connection serves all")
}

func TestErrorsCross(t *testing.T) {
	a, b := start(t, 1), start(t, 2, func(tr *Transport) {
		tr.Handle(Method{Name: "long"}, func(context.Context, Identity, Stream) error {
			return errors.New(strings.Repeat("ä", maxText))
		})
		tr.Handle(Method{Name: "wrapped"}, func(context.Context, Identity, Stream) error {
			return fmt.Errorf("look: %w", &Error{NotFound, "no such"})
		})
		tr.Handle(Method{Name: "ok"}, func(context.Context, Identity, Stream) error { return &Error{OK, "an error still"} })
		tr.Handle(Method{Name: "silent"}, func(context.Context, Identity, Stream) error { return nil })
		tr.Handle(Method{Name: "chatty"}, func(_ context.Context, _ Identity, s Stream) error {
			_ = s.Send(nil)
			return s.Send(nil)
		})
	})
	for _, name := range []string{"long", "wrapped", "ok", "silent", "chatty", "only-a"} {
		a.methods[name] = &method{Method: Method{Name: name, MaxMessage: 1}}
	}
	for _, c := range []struct {
		method string
		code   Code
		text   string
	}{
		{"fail", StaleEpoch, "stale epoch: epoch 7 is old"},
		{"panic", Internal, "internal: panic panicked: oh"},
		{"long", Internal, "internal: " + strings.Repeat("ä", maxText/2)},
		{"wrapped", NotFound, "not found: look: not found: no such"},
		{"ok", Internal, "internal: an error still"},
		{"silent", Internal, "without a message"},
		{"chatty", Internal, "more than a message"},
		{"only-a", NotFound, `has no method "only-a"`},
		{"none", NotFound, `this node has no method "none"`},
	} {
		_, err := a.Call(soon(t), b.peer, c.method, nil)
		require.ErrorContains(t, err, c.text)
		require.Equal(t, c.code, CodeOf(err), c.method)
	}
	require.Equal(t, 1, value(b.metrics.panics))
	_, err := a.Call(soon(t), b.peer, "echo", nil)
	require.NoError(t, err, "it lives")
	_, err = a.Call(soon(t), a.peer, "echo", nil)
	require.Equal(t, Invalid, CodeOf(err), "a node does not call itself")
}

func TestStreams(t *testing.T) {
	a, b := start(t, 1), start(t, 2)
	var all sync.WaitGroup
	for i := range 100 {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		all.Go(func() {
			s, err := from.Open(soon(t), to.peer, "mirror")
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			all.Go(func() {
				for m := range 20 {
					msg := bytes.Repeat([]byte(fmt.Sprint(i, m, ";")), 1+20*m*(i%7))
					if err := s.Send(msg); err != nil {
						t.Error(err)
					}
				}
				if err := s.CloseSend(); err != nil {
					t.Error(err)
				}
			})
			var buf []byte
			for m := range 20 {
				buf, err = s.Recv(buf)
				if want := bytes.Repeat([]byte(fmt.Sprint(i, m, ";")), 1+20*m*(i%7)); err != nil || !bytes.Equal(want, buf) {
					t.Errorf("message %d of stream %d: %d bytes, %v", m, i, len(buf), err)
					return
				}
			}
			if _, err := s.Recv(nil); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	eventually(t, func() bool { return b.running.Load() == 0 && a.running.Load() == 0 })
	require.LessOrEqual(t, value(a.metrics.dials), 1)
}

// A receiver that does not receive stops its own stream and no other.
func TestBackPressure(t *testing.T) {
	release := make(chan struct{})
	a, b := start(t, 1), start(t, 2, func(tr *Transport) {
		tr.Handle(Method{Name: "slow"}, func(ctx context.Context, _ Identity, s Stream) error {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return mirror(ctx, Identity{}, s)
		})
	})
	a.methods["slow"] = b.methods["slow"]
	s, err := a.Open(soon(t), b.peer, "slow")
	require.NoError(t, err)
	msg := make([]byte, 10_000)
	fits := int(windows[Interactive]) / (len(msg) + partCost)
	sent := make(chan struct{}, 100)
	go func() {
		for range cap(sent) {
			if s.Send(msg) != nil {
				break
			}
			sent <- struct{}{}
		}
		_ = s.CloseSend()
	}()
	for range fits {
		<-sent
	}
	for range 100 {
		_, err := a.Call(soon(t), b.peer, "echo", msg)
		require.NoError(t, err)
	}
	require.Empty(t, sent, "more than the window was sent")
	close(release)
	received := 0
	var buf []byte
	for {
		if buf, err = s.Recv(buf); err != nil {
			break
		}
		received++
	}
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, 100, received)
}

func TestDeadlineAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, deadlines := make(chan error, 1), make(chan time.Time, 1)
		p := newPipes()
		wait := func(tr *Transport) {
			tr.Handle(Method{Name: "wait"}, func(ctx context.Context, _ Identity, s Stream) error {
				deadline, _ := ctx.Deadline()
				deadlines <- deadline
				if err := s.Send([]byte("here")); err != nil {
					return err
				}
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return ctx.Err()
			})
		}
		a, b := pipeNode(t, p, 1, wait), pipeNode(t, p, 2, wait)
		open := func(ctx context.Context) ClientStream {
			s, err := a.Open(ctx, b.peer, "wait")
			require.NoError(t, err)
			_, err = s.Recv(nil)
			require.NoError(t, err)
			return s
		}

		begin := time.Now()
		_, err := a.Call(limitedTo(t, 300*time.Millisecond), b.peer, "wait", nil)
		require.Equal(t, Deadline, CodeOf(err))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, begin.Add(300*time.Millisecond), <-deadlines)
		require.Error(t, <-ended)
		require.Equal(t, 300*time.Millisecond, time.Since(begin))

		ctx, cancel := context.WithCancel(context.Background())
		s := open(ctx)
		require.Zero(t, <-deadlines)
		cancel()
		_, err = s.Recv(nil)
		require.Equal(t, Canceled, CodeOf(err))
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, Canceled, CodeOf(<-ended))
		require.Equal(t, Canceled, CodeOf(s.Send(nil)))

		s = open(context.Background())
		<-deadlines
		s.Close()
		s.Close()
		require.Equal(t, Canceled, CodeOf(<-ended))
		_, err = s.Recv(nil)
		require.Equal(t, Canceled, CodeOf(err))

		_, err = a.Call(ctx, b.peer, "wait", nil)
		require.Equal(t, Canceled, CodeOf(err), "it was over before")
		synctest.Wait()
		require.Zero(t, b.running.Load())
		require.Equal(t, 300*time.Millisecond, time.Since(begin))
	})
}

// A handler that ends without receiving stops a caller that only sends, and the error is told.
func TestHandlerEndsFirst(t *testing.T) {
	a, b := start(t, 1), start(t, 2)
	s, err := a.Open(soon(t), b.peer, "fail")
	require.NoError(t, err)
	for err == nil {
		err = s.Send(make([]byte, 1000))
	}
	require.ErrorIs(t, err, io.EOF)
	_, err = s.Recv(nil)
	require.Equal(t, &Error{StaleEpoch, "epoch 7 is old"}, err)
	require.NoError(t, s.CloseSend())
	s.Close()
}

func TestTooLarge(t *testing.T) {
	a, b := start(t, 1), start(t, 2)
	_, err := a.Call(soon(t), b.peer, "echo", make([]byte, 1<<20+1))
	require.Equal(t, Invalid, CodeOf(err))
	require.ErrorContains(t, err, "a message of 1048577 bytes, where echo takes at most 1048576")
	require.Equal(t, 1, value(a.metrics.limits[limitMessage]))

	// The other side has its own limit.
	a.methods["echo"] = &method{Method: Method{Name: "echo", MaxMessage: 8 << 20}}
	_, err = a.Call(soon(t), b.peer, "echo", make([]byte, 2<<20))
	require.Equal(t, Invalid, CodeOf(err))
	require.ErrorContains(t, err, "more than 1048576 bytes")
	a.methods["echo"] = &method{Method: Method{Name: "echo", MaxMessage: 100}}
	b.methods["echo"] = &method{Method: Method{Name: "echo", MaxMessage: 8 << 20}, handler: func(_ context.Context, _ Identity, s Stream) error {
		return s.Send(make([]byte, 1000))
	}}
	_, err = a.Call(soon(t), b.peer, "echo", nil)
	require.Equal(t, Invalid, CodeOf(err))
	eventually(t, func() bool { return b.running.Load() == 0 })
	_, err = a.Call(soon(t), b.peer, "who", nil)
	require.NoError(t, err)
}

func TestLimits(t *testing.T) {
	ready, release := make(chan struct{}, 10), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	wait := func(tr *Transport) {
		tr.Handle(Method{Name: "wait"}, func(context.Context, Identity, Stream) error {
			ready <- struct{}{}
			<-release
			return nil
		})
	}
	a := startOpts(t, Options{Identity: identity(1), MaxStreams: 3}, wait)
	b := startOpts(t, Options{Identity: identity(2), MaxStreams: 2}, wait)
	c := startOpts(t, Options{Identity: identity(3), MaxRequests: 1}, wait)
	var open []ClientStream
	begin := func(to *node) {
		s, err := a.Open(soon(t), to.peer, "wait")
		require.NoError(t, err)
		require.NoError(t, s.Send(nil))
		open = append(open, s)
		<-ready
	}
	begin(b)
	begin(b)
	begin(c)
	_, err := a.Call(soon(t), b.peer, "echo", nil)
	require.Equal(t, Exhausted, CodeOf(err))
	require.Equal(t, 1, value(b.metrics.limits[limitStreams]))
	_, err = a.Call(soon(t), c.peer, "echo", nil)
	require.Equal(t, Exhausted, CodeOf(err))
	require.Equal(t, 1, value(c.metrics.limits[limitRequests]))
	for range 2 {
		s, err := a.Open(soon(t), c.peer, "echo")
		require.NoError(t, err)
		defer s.Close()
	}
	_, err = a.Open(soon(t), c.peer, "echo")
	require.Equal(t, Exhausted, CodeOf(err))
	require.Equal(t, 1, value(a.metrics.limits[limitStreams]))
	let()
	for _, s := range open {
		_, err := s.Recv(nil)
		require.ErrorIs(t, err, io.EOF)
	}
	_, err = a.Call(soon(t), b.peer, "echo", nil)
	require.NoError(t, err)
}
