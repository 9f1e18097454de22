package rpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A node that ends answers what it was asked, gives up streams at rest, and takes nothing new.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		asked := make(chan struct{})
		wait := func(tr *Transport) {
			tr.Handle(Method{Name: "wait"}, Unary(func(ctx context.Context, _ Identity, _ []byte) ([]byte, error) {
				close(asked)
				select {
				case <-time.After(3 * time.Second):
					return []byte("done"), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}))
		}
		a, b := pipeNode(t, p, 1, wait), pipeNode(t, p, 2, wait)
		rest, err := a.Open(context.Background(), b.peer, "mirror")
		require.NoError(t, err)
		require.NoError(t, rest.Send([]byte("x")))
		_, err = rest.Recv(nil)
		require.NoError(t, err)
		answered := make(chan error)
		go func() {
			resp, err := a.Call(soon(t), b.peer, "wait", nil)
			if err == nil && string(resp) != "done" {
				err = errors.New(string(resp))
			}
			answered <- err
		}()
		<-asked

		begin := time.Now()
		b.stop()
		_, err = rest.Recv(nil)
		require.Equal(t, Unavailable, CodeOf(err))
		require.ErrorContains(t, err, "about to end")
		synctest.Wait()
		require.Zero(t, time.Since(begin))
		_, err = a.Call(soon(t), b.peer, "echo", nil)
		require.Equal(t, Unavailable, CodeOf(err))
		require.NoError(t, <-answered)
		b.end()
		require.Equal(t, 3*time.Second, time.Since(begin))
		require.Zero(t, value(a.metrics.lost[lostBroken])+value(b.metrics.lost[lostBroken]))
	})
}

// Requests that take too long are given up, on either side of the node that ends.
func TestEndWithoutGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		asked, causes := make(chan struct{}, 2), make(chan error, 2)
		wait := func(tr *Transport) {
			tr.Handle(Method{Name: "wait"}, func(ctx context.Context, _ Identity, _ Stream) error {
				asked <- struct{}{}
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return ctx.Err()
			})
		}
		a, b := pipeNode(t, p, 1, wait), pipeNode(t, p, 2, wait)
		ended := make(chan error, 2)
		call := func(from, to *node) {
			_, err := from.Call(context.Background(), to.peer, "wait", nil)
			ended <- err
		}
		go call(a, b)
		go call(b, a)
		<-asked
		<-asked
		begin := time.Now()
		b.end()
		require.Equal(t, 5*time.Second, time.Since(begin))
		for range 2 {
			require.Equal(t, Unavailable, CodeOf(<-ended))
			require.Equal(t, Unavailable, CodeOf(<-causes))
		}
		_, err := b.Call(context.Background(), a.peer, "echo", nil)
		require.Equal(t, errNotRunning, err)
		require.Error(t, b.Run(t.Context()), "once")
	})
}

func TestCannotListen(t *testing.T) {
	a := start(t, 1)
	tr, err := New(Options{Identity: identity(2), Listen: a.peer.Addr})
	require.NoError(t, err)
	require.ErrorContains(t, tr.Run(t.Context()), "listen for nodes")
	_, err = tr.Addr(t.Context())
	require.Error(t, err)
}

// The end of a message is not taken for the end of the stream, nor a broken one for whole.
func TestCutWithinMessage(t *testing.T) {
	says := appendFrame(nil, kindPart, 1, []byte("half of"))
	says = appendFrame(says, kindStatus, 1, []byte{0})
	tr, err := New(Options{Identity: identity(1)})
	require.NoError(t, err)
	handlers(tr)
	for _, cut := range []int{len(says), len(says) - 1} {
		l := scripted(tr, dialling, says[:cut])
		s, err := l.open(t.Context(), tr.methods["echo"])
		require.NoError(t, err)
		l.run()
		_, err = s.Recv(nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, io.EOF)
		s.Close()
	}
}
