package rpc

import (
	"bytes"
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// conversation is what the two sides of a stream say.
func conversation() (caller, server []byte) {
	caller = appendFrame(nil, kindOpen, 1, appendOpen(nil, 1500*time.Millisecond, true, "echo"))
	caller = appendFrame(caller, kindPart, 1, []byte("a message "))
	caller = appendFrame(caller, kindLast, 1, []byte("in two parts"))
	caller = appendFrame(caller, kindEnd, 1, nil)
	caller = appendFrame(caller, kindCredit, 1, []byte{0, 0, 2, 0})
	caller = appendFrame(caller, kindCancel, 1, []byte{byte(Deadline)})
	caller = appendFrame(caller, kindPing, 0, nil)
	server = appendFrame(nil, kindPong, 0, nil)
	server = appendFrame(server, kindLast, 1, []byte("yes"))
	server = appendFrame(server, kindStatus, 1, appendStatus(nil, &Error{StaleEpoch, "epoch 7 is old"}))
	server = appendFrame(server, kindStatus, 2, appendStatus(nil, nil))
	return caller, appendFrame(server, kindBye, 0, nil)
}

func TestFramesGolden(t *testing.T) {
	caller, server := conversation()
	golden(t, "caller.bin", caller)
	golden(t, "server.bin", server)
}

func TestFrames(t *testing.T) {
	for _, c := range []struct {
		left, want time.Duration
	}{{0, time.Millisecond}, {-time.Hour, time.Millisecond}, {1, time.Millisecond}, {1001 * time.Microsecond, 2 * time.Millisecond}, {time.Hour, time.Hour}} {
		left, bounded, method, err := decodeOpen(appendOpen(nil, c.left, true, "m"))
		require.NoError(t, err)
		require.True(t, bounded)
		require.Equal(t, c.want, left)
		require.Equal(t, "m", string(method))
	}
	_, bounded, _, err := decodeOpen(appendOpen(nil, 0, false, "m"))
	require.NoError(t, err)
	require.False(t, bounded)
	for _, bad := range [][]byte{nil, {0}, {0x80}, append([]byte{0}, make([]byte, maxMethod+1)...)} {
		_, _, _, err := decodeOpen(bad)
		require.Error(t, err)
	}
	status, err := decodeStatus([]byte{200, 'x', 0xff})
	require.NoError(t, err)
	require.Equal(t, &Error{Internal, "x?"}, status)
	for _, bad := range [][]byte{nil, {0}, {0, 0, 0, 0}, {0, 0, 0, 255}} {
		_, err := decodeCredit(bad)
		require.Error(t, err)
	}
	for _, bad := range [][headerLen]byte{{}, {200}, {kindPing, 9: 1}, {kindLast, 9: 1, 11: 1}} {
		_, err := decodeHeader(&bad)
		require.Error(t, err)
	}
}

// script is a connection that says what was written down, and takes everything in.
type script struct {
	net.Conn
	says *bytes.Reader
}

func (s *script) Read(b []byte) (int, error)  { return s.says.Read(b) }
func (s *script) Write(b []byte) (int, error) { return len(b), nil }
func (s *script) Close() error                { return nil }

func scripted(tr *Transport, side side, says []byte) *link {
	raw := &script{says: bytes.NewReader(says)}
	c := &conn{Conn: raw, raw: raw, received: tr.metrics.received, sent: tr.metrics.sent}
	return tr.newLink(c, side, Interactive, identity(2), minWindow)
}

// listen runs a link whose peer says some bytes, until they are over.
func listen(t testing.TB, side side, says []byte) *link {
	tr, err := New(Options{Identity: identity(1)})
	require.NoError(t, err)
	handlers(tr)
	tr.Handle(Method{Name: "hold"}, func(ctx context.Context, _ Identity, _ Stream) error {
		<-ctx.Done()
		return ctx.Err()
	})
	l := scripted(tr, side, says)
	if side == dialling {
		for range 2 {
			s, err := l.open(t.Context(), tr.methods["echo"])
			require.NoError(t, err)
			defer s.Close()
		}
	}
	l.run()
	require.Zero(t, tr.running.Load())
	return l
}

func TestViolations(t *testing.T) {
	open := slices.Clip(appendFrame(nil, kindOpen, 5, appendOpen(nil, 0, false, "hold")))
	end := slices.Clip(appendFrame(open, kindEnd, 5, nil))
	for name, c := range map[string]struct {
		side  side
		says  []byte
		wrong bool
	}{
		"fine":                 {accepting, end, false},
		"the same again":       {accepting, append(open, open...), true},
		"an end twice":         {accepting, appendFrame(end, kindEnd, 5, nil), true},
		"after the end":        {accepting, appendFrame(end, kindLast, 5, nil), true},
		"never opened":         {accepting, appendFrame(nil, kindLast, 1, nil), true},
		"of none":              {accepting, appendFrame(nil, kindEnd, 0, nil), true},
		"over already":         {accepting, appendFrame(open, kindLast, 3, nil), false},
		"status of a caller":   {accepting, appendFrame(open, kindStatus, 5, []byte{0}), true},
		"bye of a caller":      {accepting, appendFrame(nil, kindBye, 0, nil), true},
		"empty open":           {accepting, appendFrame(nil, kindOpen, 1, nil), true},
		"too much credit":      {accepting, appendFrame(open, kindCredit, 5, []byte{1, 0, 0, 0}), true},
		"malformed credit":     {accepting, appendFrame(open, kindCredit, 5, nil), true},
		"malformed cancel":     {accepting, appendFrame(open, kindCancel, 5, nil), true},
		"malformed status":     {dialling, appendFrame(nil, kindStatus, 1, nil), true},
		"open of a server":     {dialling, open, true},
		"cancel of a server":   {dialling, appendFrame(nil, kindCancel, 1, []byte{1}), true},
		"status":               {dialling, appendFrame(nil, kindStatus, 1, []byte{0}), false},
		"more than the window": {accepting, append(open, bytes.Repeat(appendFrame(nil, kindPart, 5, make([]byte, maxPart)), 4)...), true},
	} {
		l := listen(t, c.side, c.says)
		require.Equal(t, c.wrong, value(l.t.metrics.lost[lostProtocol]) == 1, name)
	}
}

// Whatever a peer says, a link ends when the connection does, and leaves nothing behind.
func FuzzLink(f *testing.F) {
	caller, server := conversation()
	f.Add(true, caller)
	f.Add(false, server)
	f.Fuzz(func(t *testing.T, serves bool, says []byte) {
		side := dialling
		if serves {
			side = accepting
		}
		l := listen(t, side, says)
		require.Empty(t, l.mu.streams)
		require.Error(t, l.mu.err)
	})
}

func FuzzBodies(f *testing.F) {
	f.Add(appendOpen(nil, time.Second, true, "echo"))
	f.Add(appendStatus(nil, &Error{Internal, "x"}))
	f.Fuzz(func(t *testing.T, body []byte) {
		if left, bounded, method, err := decodeOpen(body); err == nil {
			l, b, m, err := decodeOpen(appendOpen(nil, left, bounded, string(method)))
			require.NoError(t, err)
			require.True(t, l == left && b == bounded && bytes.Equal(m, method))
		}
		if status, err := decodeStatus(body); err == nil {
			again, err := decodeStatus(appendStatus(nil, status))
			require.NoError(t, err)
			require.Equal(t, status, again)
		}
		if n, err := decodeCredit(body); err == nil {
			require.Positive(t, n)
		}
	})
}
