package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster/placement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func id(n int) placement.NodeID { return placement.NodeID{0: byte(n), 15: byte(n)} }

func addr(n int) string { return fmt.Sprintf("host%d:11014", n) }

// list is a state that keeps all commands.
type list struct {
	mu      sync.Mutex
	entries []string
	refuse  error // of Restore
	newer   bool  // reads what newer software writes
}

var errNewer = errors.New("written by newer software")

func (l *list) Reads(command []byte) error {
	if bytes.HasPrefix(command, []byte("newer")) && !l.newer {
		return errNewer
	}
	return nil
}

func (l *list) Apply(command []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, string(command))
	return fmt.Appendf(nil, "%d %s", len(l.entries), command[:min(len(command), 20)])
}

func (l *list) Snapshot() ([]byte, error) { return []byte(strings.Join(l.all(), "\n")), nil }

func (l *list) Restore(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return l.refuse
	}
	l.entries = nil
	for e := range bytes.SplitSeq(b, []byte("\n")) {
		if len(e) > 0 {
			l.entries = append(l.entries, string(e))
		}
	}
	return nil
}

func (l *list) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// network joins hosts by pipes. A host that is down has no connections.
type network struct {
	mu    sync.Mutex
	hosts map[string]*host
}

type host struct {
	net     *network
	addr    string
	down    bool
	accept  chan net.Conn
	closed  chan struct{}
	once    sync.Once
	conns   []net.Conn
	forward func(context.Context, []byte) ([]byte, error)
	bytes   atomic.Int64 // in both directions
}

// metered counts for the host at its end.
type metered struct {
	net.Conn
	host *host
}

func (m metered) Write(p []byte) (int, error) {
	m.host.bytes.Add(int64(len(p)))
	return m.Conn.Write(p)
}

func (m metered) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.host.bytes.Add(int64(n))
	return n, err
}

func (n *network) listen(at string) *host {
	h := &host{net: n, addr: at, accept: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts == nil {
		n.hosts = map[string]*host{}
	}
	n.hosts[at] = h
	return h
}

func (h *host) Addr() net.Addr { return idAddr(h.addr) }
func (h *host) Close() error   { h.once.Do(func() { close(h.closed) }); return nil }

func (h *host) Accept() (net.Conn, error) {
	select {
	case c := <-h.accept:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// reach returns the host at an address if there is a way from this one.
func (h *host) reach(at string) (*host, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	to := h.net.hosts[at]
	if to == nil || to.down || h.down {
		return nil, fmt.Errorf("no way from %s to %s", h.addr, at)
	}
	return to, nil
}

func (h *host) dial(ctx context.Context, s Server) (net.Conn, error) {
	to, err := h.reach(s.Addr)
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	select {
	case to.accept <- metered{there, to}:
	case <-to.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.conns = append(h.conns, here)
	to.conns = append(to.conns, there)
	return metered{here, h}, nil
}

// setDown breaks all connections of the host, or lets others come.
func (h *host) setDown(down bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.down = down
	for _, c := range h.conns {
		_ = c.Close()
	}
	h.conns = nil
}

func (h *host) send(ctx context.Context, to Server, request []byte) ([]byte, error) {
	at, err := h.reach(to.Addr)
	if err != nil {
		return nil, err
	}
	response, err := at.forward(ctx, request)
	if err != nil {
		return nil, err
	}
	if _, err := h.reach(to.Addr); err != nil { // The way back.
		return nil, err
	}
	return response, nil
}

// node is a group and what it runs on.
type node struct {
	*Group
	t     testing.TB
	n     int
	fs    vfs.FS
	host  *host
	state *list
	other *list
	end   context.CancelFunc
	done  chan error
	gone  bool
}

// newDisk has the data directory, as the node makes it.
func newDisk() *vfs.MemFS {
	fs := vfs.NewCrashableMem()
	if err := errors.Join(fs.MkdirAll("/data", 0o750), syncDir(fs, "/")); err != nil {
		panic(err)
	}
	return fs
}

type region struct {
	t     testing.TB
	net   network
	tune  func(*Options)
	nodes map[int]*node
}

func newRegion(t testing.TB) *region { return &region{t: t, nodes: map[int]*node{}} }

// options of node n.
func (r *region) options(n *node) Options {
	o := Options{
		ID: id(n.n), Dir: "/data/raft", FS: n.fs, States: map[string]State{"list": n.state, "other": n.other},
		Listener: n.host, Dial: n.host.dial, Forward: n.host.send,
		Registerer: prometheus.NewPedanticRegistry(),
	}
	if r.tune != nil {
		r.tune(&o)
	}
	return o
}

// start starts node n on the disk that it has.
func (r *region) start(n int) *node {
	r.t.Helper()
	x := &node{t: r.t, n: n, fs: newDisk(), state: &list{}, other: &list{}, done: make(chan error, 1)}
	if old := r.nodes[n]; old != nil {
		x.fs = old.fs
	}
	x.host = r.net.listen(addr(n))
	g, err := Open(r.options(x))
	require.NoError(r.t, err)
	x.Group = g
	x.host.forward = g.Forwarded
	var ctx context.Context
	ctx, x.end = context.WithCancel(context.Background())
	go func() { x.done <- g.Run(ctx) }()
	r.nodes[n] = x
	return x
}

// stop ends a node in order.
func (x *node) stop() {
	x.t.Helper()
	x.gone = true
	x.end()
	require.NoError(x.t, <-x.done)
	require.NoError(x.t, x.Close())
}

// kill ends a node without a word to the others.
func (x *node) kill() {
	x.t.Helper()
	x.host.setDown(true)
	x.stop()
}

func (r *region) stopAll() {
	for _, x := range r.nodes {
		x.host.setDown(true)
	}
	for _, x := range r.nodes {
		if x.gone {
			continue
		}
		x.end()
		<-x.done
		require.NoError(r.t, x.Close())
	}
}

// until waits for something that must come.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("not within a minute: " + what)
		}
	}
}

// leader waits for one that knows it and has applied all.
func (r *region) leader(among ...int) *node {
	r.t.Helper()
	if among == nil {
		for n := range r.nodes {
			among = append(among, n)
		}
	}
	var leader *node
	until(r.t, "a leader", func() bool {
		for _, n := range among {
			if r.nodes[n].Leading() {
				leader = r.nodes[n]
				return true
			}
		}
		return false
	})
	return leader
}

// found starts nodes 1 to n as voters.
func (r *region) found(n int) *node {
	r.t.Helper()
	var servers []Server
	for i := 1; i <= n; i++ {
		r.start(i)
		servers = append(servers, Server{ID: id(i), Addr: addr(i), Voter: true})
	}
	until(r.t, "Raft to run", func() bool { return r.nodes[1].raft.Load() != nil })
	require.NoError(r.t, r.nodes[1].Bootstrap(servers))
	return r.leader()
}

func (x *node) propose(command string) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := x.Propose(ctx, "list", []byte(command))
	require.NoError(x.t, err)
}

// agree waits until the nodes have this list.
func (r *region) agree(want []string, among ...int) {
	r.t.Helper()
	for _, n := range among {
		until(r.t, fmt.Sprintf("node %d to have %d entries", n, len(want)), func() bool {
			return slices.Equal(r.nodes[n].state.all(), want)
		})
	}
}

var errRefused = errors.New("not with me")

// commands are n of them, from one number on.
func commands(from, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("command %d", from+i))
	}
	return all
}
