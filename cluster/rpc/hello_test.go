package rpc

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = "testdata/v1/" + name
	if *update {
		require.NoError(t, os.MkdirAll("testdata/v1", 0o755))
		require.NoError(t, os.WriteFile(name, got, 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func someHello() *hello {
	return &hello{speaks: Versions{1, 3}, purpose: purposeRaw, to: id(2), from: identity(1), kind: "raft", window: minWindow}
}

func TestHandshakeGolden(t *testing.T) {
	h := someHello()
	golden(t, "hello.bin", appendHello(nil, h))
	body, err := readPacket(bytes.NewReader(appendHello(nil, h)))
	require.NoError(t, err)
	got, err := decodeHello(append(body, "of a later version"...), Spoken)
	require.NoError(t, err)
	require.Equal(t, *h, got)

	for name, a := range map[string]*answer{
		"welcome.bin": {version: 1, from: identity(2), window: 1 << 20},
		"refusal.bin": {refusal: refusedCluster, words: `it is of cluster "a", and not of "b"`},
	} {
		golden(t, name, appendAnswer(nil, a))
		body, err := readPacket(bytes.NewReader(appendAnswer(nil, a)))
		require.NoError(t, err)
		got, err := decodeAnswer(body, Spoken)
		require.NoError(t, err)
		require.Equal(t, *a, got)
	}
}

func TestHandshakeRefusesNonsense(t *testing.T) {
	whole := appendHello(nil, someHello())
	for n := range whole {
		_, err := readPacket(bytes.NewReader(whole[:n]))
		require.Error(t, err, "%d bytes", n)
	}
	body := whole[len(magic)+2:]
	for n := range body {
		_, err := decodeHello(body[:n], Spoken)
		require.Error(t, err, "%d bytes", n)
	}
	_, err := readPacket(bytes.NewReader([]byte("GET / HTTP/1.1\r\n\r\n")))
	require.ErrorContains(t, err, "does not speak this protocol")
	_, err = readPacket(bytes.NewReader([]byte(magic + "\xff\xff")))
	require.ErrorContains(t, err, "65535 bytes, more than")
	h := someHello()
	h.window = minWindow - 1
	_, err = decodeHello(appendHello(nil, h)[len(magic)+2:], Spoken)
	require.ErrorContains(t, err, "window")
	_, err = decodeAnswer(appendAnswer(nil, &answer{version: 9, window: minWindow})[len(magic)+2:], Spoken)
	require.ErrorContains(t, err, "version 9")
}

// log collects what a node says.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Each refusal is told in words on both sides, and counted.
func TestRefusals(t *testing.T) {
	var said log
	a := start(t, 1)
	b := startOpts(t, Options{Identity: identity(2), MaxPeerConns: 1, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	other := identity(3)
	other.Cluster = "test"
	c := startOpts(t, Options{Identity: other})
	twin := startOpts(t, Options{Identity: identity(2)})
	later := startOpts(t, Options{Identity: identity(4)})

	refused := func(from *node, to Peer, code Code, why refusal, words string) {
		t.Helper()
		before := value(b.metrics.refusals[accepting][why])
		_, err := from.Call(soon(t), to, "echo", nil)
		require.Equal(t, code, CodeOf(err))
		require.ErrorContains(t, err, words)
		require.Equal(t, 1, value(from.metrics.refusals[dialling][why]))
		eventually(t, func() bool { return value(b.metrics.refusals[accepting][why]) == before+1 })
		_, err = from.Call(soon(t), to, "echo", nil)
		require.Equal(t, Unavailable, CodeOf(err), "later")
		require.ErrorContains(t, err, words)
	}
	refused(c, b.peer, Refused, refusedCluster, `it is of cluster "prod", and not of "test"`)
	refused(a, Peer{id(7), b.peer.Addr}, Refused, refusedOther,
		"it is node b (00000000-0000-0000-0000-000000000002), and not 00000000-0000-0000-0000-000000000007")
	refused(twin, Peer{id(5), b.peer.Addr}, Refused, refusedSelf, "the caller's own ID 00000000-0000-0000-0000-000000000002")
	_, err := later.Call(soon(t), b.peer, "echo", nil)
	require.NoError(t, err)
	later.methods["bulk"] = &method{Method: Method{Name: "bulk", Class: Bulk}}
	_, err = later.Call(soon(t), b.peer, "bulk", nil)
	require.Equal(t, Unavailable, CodeOf(err))
	require.ErrorContains(t, err, "it has 1 connections of this node already")
	require.Equal(t, 1, value(b.metrics.limits[limitPeerConns]))
	for _, words := range []string{`cluster=test answer="it is of cluster`, "the caller's own ID"} {
		eventually(t, func() bool { return strings.Contains(said.String(), words) })
	}

	t.Run("version", func(t *testing.T) {
		conn, err := net.Dial("tcp", b.peer.Addr)
		require.NoError(t, err)
		defer conn.Close()
		h := someHello()
		h.speaks = Versions{7, 9}
		_, err = conn.Write(appendHello(nil, h))
		require.NoError(t, err)
		body, err := readPacket(conn)
		require.NoError(t, err)
		answer, err := decodeAnswer(body, Spoken)
		require.NoError(t, err)
		require.Equal(t, refusedVersion, answer.refusal)
		require.Equal(t, "it speaks version 1 of the protocol (software 1.0), and the caller versions 7 to 9: upgrade the older one first to a release that speaks both", answer.words)
	})
	t.Run("another protocol", func(t *testing.T) {
		conn, err := net.Dial("tcp", b.peer.Addr)
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.Error(t, err)
		eventually(t, func() bool { return value(b.metrics.failed[accepting]) == 1 })
	})
}

// Nodes speak the newest version that both know; where there is none, both say so in words.
func TestVersions(t *testing.T) {
	for _, c := range []struct {
		a, b   Versions
		common uint8
	}{
		{Versions{1, 1}, Versions{1, 1}, 1},
		{Versions{1, 3}, Versions{2, 5}, 3},
		{Versions{2, 5}, Versions{1, 3}, 3},
		{Versions{1, 2}, Versions{3, 4}, 0},
		{Versions{3, 4}, Versions{1, 2}, 0},
		{Versions{1, 1}, Versions{}, 0},
	} {
		require.Equal(t, c.common, c.a.Common(c.b), "%v and %v", c.a, c.b)
	}

	speaking := func(n byte, v Versions) (*node, *log) {
		said := &log{}
		return startOpts(t, Options{Identity: identity(n), Logger: slog.New(slog.NewTextHandler(said, nil))}, func(tr *Transport) { tr.speaks = v }), said
	}
	now, heard := speaking(1, Versions{1, 2})
	next, _ := speaking(2, Versions{2, 3})
	far, _ := speaking(3, Versions{3, 4})
	for _, pair := range [][2]*node{{now, next}, {next, now}, {next, far}, {far, next}} {
		_, a, err := pair[0].connect(soon(t), pair[1].peer, byte(Bulk), "")
		require.Nil(t, err)
		require.Equal(t, pair[0].speaks.Common(pair[1].speaks), a.version)
	}
	const words = "it speaks versions %d to %d of the protocol (software 1.0), and the caller versions %d to %d: upgrade the older one first"
	_, err := far.Call(soon(t), now.peer, "echo", nil)
	require.Equal(t, Refused, CodeOf(err))
	require.ErrorContains(t, err, fmt.Sprintf(words, 1, 2, 3, 4))
	eventually(t, func() bool { return strings.Contains(heard.String(), fmt.Sprintf(words, 1, 2, 3, 4)) })
	_, err = now.Call(soon(t), far.peer, "echo", nil)
	require.ErrorContains(t, err, fmt.Sprintf(words, 3, 4, 1, 2))
}

// The side that dials judges as well: who answers may be of another make.
func TestJudgeAnswer(t *testing.T) {
	self := identity(1)
	for _, c := range []struct {
		from Identity
		why  refusal
	}{
		{identity(2), welcome},
		{identity(1), refusedSelf},
		{identity(3), refusedOther},
		{Identity{Cluster: "test", Node: id(2)}, refusedCluster},
	} {
		why, words := judgeAnswer(&self, id(2), &answer{from: c.from})
		require.Equal(t, c.why, why)
		require.Equal(t, why == welcome, words == "")
	}
	why, _ := judgeHello(&self, Spoken, &hello{speaks: Spoken, to: self.Node, from: Identity{Cluster: "prod", Node: placement.NodeID{}}})
	require.Equal(t, refusedOther, why)
	require.Equal(t, "unknown", refusal(200).String())
}

func TestHandshakeTakesTooLong(t *testing.T) {
	a := startOpts(t, Options{Identity: identity(1), HandshakeTimeout: 50 * time.Millisecond, MaxConns: 2})
	var conns []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", a.peer.Addr)
		require.NoError(t, err)
		defer conn.Close()
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err)
	}
	eventually(t, func() bool { return value(a.metrics.failed[accepting]) == 2 })
	require.Equal(t, 1, value(a.metrics.limits[limitConns]))
	b := start(t, 2)
	_, err := b.Call(soon(t), a.peer, "echo", nil)
	require.NoError(t, err)
}

func TestOptions(t *testing.T) {
	_, err := New(Options{})
	require.ErrorContains(t, err, "no node ID")
	long := identity(1)
	long.Region = string(make([]byte, 256))
	_, err = New(Options{Identity: long})
	require.ErrorContains(t, err, "256 bytes of name")
	_, err = New(Options{Identity: identity(1), KeepAlive: -1})
	require.Error(t, err)
	_, err = New(Options{Identity: identity(1), MaxConns: -1})
	require.Error(t, err)
	tr, err := New(Options{Identity: identity(1)})
	require.NoError(t, err)
	_, err = tr.Call(t.Context(), Peer{id(2), "b"}, "none", nil)
	require.Equal(t, NotFound, CodeOf(err))
	handlers(tr)
	_, err = tr.Call(t.Context(), Peer{id(2), "b"}, "echo", nil)
	require.Equal(t, errNotRunning, err)
	require.Panics(t, func() { handlers(tr) })
}

func FuzzHandshake(f *testing.F) {
	f.Add(appendHello(nil, someHello()))
	f.Add(appendAnswer(nil, &answer{version: 1, from: identity(2), window: 1 << 20}))
	f.Add(appendAnswer(nil, &answer{refusal: refusedSelf, words: "no"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		body, err := readPacket(bytes.NewReader(data))
		if err != nil {
			return
		}
		if h, err := decodeHello(body, Spoken); err == nil && Spoken.Common(h.speaks) != 0 {
			again, err := decodeHello(appendHello(nil, &h)[len(magic)+2:], Spoken)
			require.NoError(t, err)
			require.Equal(t, h, again)
		}
		if a, err := decodeAnswer(body, Spoken); err == nil {
			again, err := decodeAnswer(appendAnswer(nil, &a)[len(magic)+2:], Spoken)
			require.NoError(t, err)
			require.Equal(t, a, again)
		}
	})
}
