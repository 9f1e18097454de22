package rpc

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRaw(t *testing.T) {
	var listener net.Listener
	var dial func(context.Context, Peer) (net.Conn, error)
	a := start(t, 1, func(tr *Transport) { _, dial = tr.Raw("raft") })
	b := start(t, 2, func(tr *Transport) { listener, _ = tr.Raw("raft") })
	c := start(t, 3)
	require.Equal(t, "127.0.0.1:0", listener.Addr().String())

	conn, err := dial(soon(t), b.peer)
	require.NoError(t, err)
	far, err := listener.Accept()
	require.NoError(t, err)
	_, err = conn.Write([]byte("vote"))
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	require.Equal(t, "vote", string(got))
	_, err = far.Write([]byte("aye"))
	require.NoError(t, err)
	_, err = io.ReadFull(conn, got[:3])
	require.NoError(t, err)

	_, err = dial(soon(t), c.peer)
	require.Equal(t, Refused, CodeOf(err))
	require.ErrorContains(t, err, `nobody there takes connections of kind "raft"`)
	_, err = dial(soon(t), c.peer)
	require.Equal(t, Unavailable, CodeOf(err), "not so soon")

	// What nobody accepts is not kept without end.
	for range rawBacklog + 1 {
		_, err := dial(soon(t), b.peer)
		require.NoError(t, err)
	}
	eventually(t, func() bool { return value(b.metrics.limits[limitRaw]) == 1 })

	b.end()
	_, err = listener.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = conn.Read(got)
	require.Error(t, err)
	_, err = far.Read(got)
	require.ErrorIs(t, err, net.ErrClosed)
	a.end()
	_, err = conn.Read(got)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = dial(soon(t), b.peer)
	require.Error(t, err)
}
