package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/simnet"
)

// fleet are whole nodes on one network in memory, each with a disk that forgets in a crash what was
// not synced, inside a bubble.
type fleet struct {
	t     *testing.T
	began time.Time
	net   *simnet.Network
	nodes []*simNode
	ended sync.WaitGroup // processes that were killed and have not noticed it yet

	mu struct {
		sync.Mutex
		history []string
		wrong   int
	}
}

// simNode is a machine with a disk, on which one process runs after the other.
type simNode struct {
	name    string
	cfg     Config
	mem     *vfs.MemFS
	full    atomic.Bool // the disk
	started bool        // a process ran on it

	mu struct {
		sync.Mutex
		process *process // nil: none runs
		paused  bool
	}
}

type process struct {
	node    *Node
	handler http.Handler
	cancel  context.CancelFunc
	done    chan error
}

// shape is what a fleet is made of.
type shape struct {
	nodes, factor int
	zones         bool
	late          int // nodes that join later
}

func newFleet(t *testing.T, seed uint64, s shape) *fleet {
	f := &fleet{t: t, began: time.Now(), net: simnet.New(seed)}
	f.net.DelayAll(100*time.Microsecond, time.Millisecond)
	dir := t.TempDir()
	file := filepath.Join(dir, "barograph.yml")
	require.NoError(t, os.WriteFile(file, []byte("barograph: {self_scrape: {enabled: false}}"), 0o600))
	var join []string
	for i := range s.nodes {
		join = append(join, net.JoinHostPort(f.net.Host(fmt.Sprint("n", i)).IP().String(), "11015"))
	}
	for i := range s.nodes + s.late {
		n := &simNode{name: fmt.Sprint("n", i), mem: vfs.NewCrashableMem()}
		n.cfg = Config{ConfigFile: file, Name: n.name, Storage: StorageConfig{Path: filepath.Join(dir, n.name)}}
		n.cfg.Cluster = ClusterConfig{
			Name: "sim", Join: join, BootstrapExpect: s.nodes, ReplicationFactor: s.factor,
			AdvertiseHost: f.net.Host(n.name).IP().String(),
		}
		if i >= s.nodes {
			n.cfg.Cluster.BootstrapExpect = 0 // It joins a region, and founds none.
		}
		if s.zones {
			n.cfg.Cluster.Zone = fmt.Sprint("z", i)
		}
		// The file that says which queries run is no part of the data, and on the machine's disk.
		require.NoError(t, os.MkdirAll(n.cfg.Storage.Path, 0o700))
		require.NoError(t, n.mem.MkdirAll(n.cfg.Storage.Path, 0o700))
		syncAbove(t, n.mem, n.cfg.Storage.Path)
		f.nodes = append(f.nodes, n)
	}
	return f
}

// syncAbove makes a folder outlive a crash.
func syncAbove(t *testing.T, fs vfs.FS, path string) {
	for ; ; path = filepath.Dir(path) {
		d, err := fs.OpenDir(path)
		require.NoError(t, err)
		require.NoError(t, errors.Join(d.Sync(), d.Close()))
		if path == filepath.Dir(path) {
			return
		}
	}
}

// note adds a line to the history.
func (f *fleet) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.history = append(f.mu.history, fmt.Sprintf("%9.3f  ", time.Since(f.began).Seconds())+fmt.Sprintf(format, args...))
}

// fail notes something that must not be. The test goes on, for there is more to be seen.
func (f *fleet) fail(format string, args ...any) {
	f.note("WRONG: "+format, args...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.wrong++
}

// disk is what a process of the node gets. When it is full, what is left is the reserve that the
// outbox and consensus keep to: there is nothing for the samples, and the others can say so.
func (n *simNode) disk() vfs.FS {
	return simDisk{errorfs.Wrap(n.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpLink:
			if n.full.Load() && !strings.Contains(op.Path, "/"+outboxDir+"/") && !strings.Contains(op.Path, "/raft/") {
				return syscall.ENOSPC
			}
		}
		return nil
	})), &n.full}
}

// simDisk says how much room it has.
type simDisk struct {
	vfs.FS
	full *atomic.Bool
}

func (d simDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	const total = 1 << 40
	if d.full.Load() {
		return vfs.DiskUsage{TotalBytes: total, UsedBytes: total}, nil
	}
	return vfs.DiskUsage{TotalBytes: total, AvailBytes: total}, nil
}

// start starts a process on the node, which has none.
func (f *fleet) start(n *simNode) {
	f.note("start %s", n.name)
	n.started = true
	n.full.Store(false) // Whoever starts a node sees to it that it has room.
	cfg := n.cfg
	cfg.disk, cfg.network = n.disk(), f.net.Host(n.name)
	cfg.Logger = slog.New(slog.NewTextHandler(logLines{f, n.name}, nil))
	made, err := New(cfg)
	if err != nil {
		f.fail("%s can't be made: %v", n.name, err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{node: made, handler: made.root(), cancel: cancel, done: make(chan error, 1)}
	n.mu.Lock()
	n.mu.process = p
	n.mu.Unlock()
	f.ended.Go(func() {
		err := made.Run(ctx)
		p.done <- err
		if n.runs(p) {
			f.fail("%s ended by itself: %v", n.name, err)
		}
	})
}

// logLines are the log of a node, as a part of the history.
type logLines struct {
	fleet *fleet
	name  string
}

func (l logLines) Write(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	if _, after, ok := strings.Cut(text, " "); ok {
		text = after // The time is that of the history.
	}
	l.fleet.note("  %s: %s", l.name, text)
	return len(b), nil
}

// process that runs on the node, nil if there is none or it does not answer.
func (n *simNode) running() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.paused {
		return nil
	}
	return n.mu.process
}

// runs reports whether it is the process that runs on the node.
func (n *simNode) runs(p *process) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.process == p
}

// take makes the process one that nobody listens to any more.
func (n *simNode) take() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.mu.process
	n.mu.process, n.mu.paused = nil, false
	return p
}

// kill ends processes at once. Of what their disks have and was not synced, so many percent are kept:
// all of it when only the process ends, some when the power goes.
func (f *fleet) kill(rng *rand.Rand, keep int, nodes ...*simNode) {
	var gone []*process
	for _, n := range nodes {
		if p := n.take(); p != nil { // What is acknowledged from here on was not.
			gone = append(gone, p)
		}
	}
	for _, n := range nodes {
		f.net.Kill(n.name)
		n.mem = n.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(rng.Uint64(), 1))})
	}
	for _, p := range gone {
		p.cancel()
	}
}

// stop ends a process in order.
func (f *fleet) stop(n *simNode) {
	p := n.take()
	if p == nil {
		return
	}
	p.cancel()
	if err := <-p.done; err != nil && !n.full.Load() { // What is written last may find no room.
		f.fail("%s did not stop in order: %v", n.name, err)
	}
	f.net.Kill(n.name)
}

// pause stops all that a process does outside, and resume lets it go on.
func (f *fleet) pause(n *simNode) { n.setPaused(true); f.net.Pause(n.name) }

func (f *fleet) resume(n *simNode) { f.net.Resume(n.name); n.setPaused(false) }

func (n *simNode) setPaused(paused bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.paused = paused
}

// do sends a request to a process.
func (p *process) do(ctx context.Context, method, url string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, url, body)
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w
}

// settled says why the nodes are not at rest, or nothing: all are ready, agree on the placement, and
// none keeps anything for another.
func (f *fleet) settled() string {
	var epoch uint64
	for _, n := range f.nodes {
		p := n.running()
		if p == nil || !p.node.Ready() {
			return n.name + " is not ready"
		}
		s, err := p.status()
		switch {
		case err != nil:
			return fmt.Sprintf("%s: %v", n.name, err)
		case len(s.Nodes) != len(f.nodes) || s.Leader == "" || epoch != 0 && s.Epoch != epoch:
			return fmt.Sprintf("%s does not agree: %d nodes, leader %q, epoch %d of %d", n.name, len(s.Nodes), s.Leader, s.Epoch, epoch)
		}
		for _, m := range s.Nodes {
			if m.Health != "alive" || m.State != "active" && (m.State != "draining" || m.Replicas > 0) {
				return fmt.Sprintf("%s takes %s for %s and %s", n.name, m.Name, m.Health, m.State)
			}
		}
		if s.Moving > 0 || s.Waiting > 0 {
			return fmt.Sprintf("%s knows of %d moves and %d that wait", n.name, s.Moving, s.Waiting)
		}
		epoch = s.Epoch
		if view := p.gaps(); view != "" {
			return n.name + " keeps " + view
		}
	}
	return ""
}

// end ends all processes, and returns when nothing of them is left.
func (f *fleet) end() {
	for _, n := range f.nodes {
		if p := n.take(); p != nil {
			p.cancel()
		}
	}
	f.ended.Wait()
	// memberlist may still be waiting for the answer to a probe.
	time.Sleep(10 * time.Second)
}

// status is what a process tells of the cluster.
func (p *process) status() (s cluster.Status, err error) {
	answer := struct{ Data *cluster.Status }{&s}
	w := p.do(context.Background(), http.MethodGet, "/api/v1/cluster/status", nil)
	return s, json.NewDecoder(w.Body).Decode(&answer)
}

// gaps says what the process keeps for others, or nothing. What it had to give up stays a gap, which queries avoid.
func (p *process) gaps() string {
	w := p.do(context.Background(), http.MethodGet, "/metrics", nil)
	for line := range strings.Lines(w.Body.String()) {
		if bytes, ok := strings.CutPrefix(line, "barograph_outbox_bytes "); ok && bytes != "0\n" {
			return strings.TrimSpace(bytes) + " bytes that others lack"
		}
	}
	return ""
}
