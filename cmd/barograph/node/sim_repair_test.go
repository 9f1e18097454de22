package node

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

var simScenario = flag.String("sim.scenario", "", "run this scenario in this process, and print its history")

// scenarios are what befalls one of three nodes that hold everything.
var scenarios = map[string]func(*simulation){
	"lost":   (*simulation).lost,
	"wiped":  (*simulation).wiped,
	"damage": (*simulation).damage,
}

// TestRepair has a node miss or lose samples of which it hears nothing any more by itself: queries are not
// wrong meanwhile, and in the end it has them.
func TestRepair(t *testing.T) {
	if *simScenario != "" {
		synctest.Test(t, func(t *testing.T) { newScenario(t).run(scenarios[*simScenario]) })
		return
	}
	for name := range scenarios {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestRepair$", "-test.v", fmt.Sprint("-test.timeout=", simLimit), "-sim.scenario="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

type scenario struct{ *simulation }

func newScenario(t *testing.T) scenario {
	m := &simulation{fleet: newFleet(t, 1, shape{nodes: 3, factor: 3}), seed: 1, ledger: newBooks(), faults: rand.New(rand.NewPCG(1, 2))}
	for _, n := range m.nodes {
		n.cfg.Web.EnableAdminAPI = true
		n.cfg.Cluster.OutboxSize = 8 << 10
	}
	return scenario{m}
}

func (s scenario) run(play func(*simulation)) {
	defer func() {
		s.end()
		s.report()
	}()
	s.startAll(s.nodes)
	if s.settle("the first start") {
		play(s.simulation)
	}
}

// busy has clients write for a while, and ask.
func (m *simulation) busy(d time.Duration) {
	ctx, stop := context.WithTimeout(context.Background(), d)
	defer stop()
	var clients sync.WaitGroup
	for i := range uint64(3) {
		rng := rand.New(rand.NewPCG(m.faults.Uint64(), i))
		clients.Go(func() { m.write(ctx, rng, m.ledger) })
	}
	rng := rand.New(rand.NewPCG(m.faults.Uint64(), 9))
	clients.Go(func() { m.ask(ctx, rng, m.ledger) })
	clients.Wait()
}

// lost has a node be away for so long that others give up what they keep for it.
func (m *simulation) lost() {
	away := m.nodes[2]
	m.busy(5 * time.Second)
	m.stop(away)
	m.busy(60 * time.Second)
	if m.metric(m.nodes[0], "barograph_outbox_given_up_bytes_total") == 0 || m.metric(m.nodes[1], "barograph_outbox_given_up_bytes_total") == 0 {
		m.fail("nothing was given up")
	}
	m.start(away)
	m.repaired(away)
}

// wiped has a node start with its identity and without its samples.
func (m *simulation) wiped() {
	away := m.nodes[1]
	m.busy(20 * time.Second)
	m.stop(away)
	for _, dir := range []string{"store", "wal"} {
		if err := away.mem.RemoveAll(filepath.Join(away.cfg.Storage.Path, dir)); err != nil {
			m.fail("%v", err)
		}
	}
	m.start(away)
	m.busy(5 * time.Second)
	m.repaired(away)
}

// damage has a table of a node's be damaged.
func (m *simulation) damage() {
	hit := m.nodes[0]
	m.busy(30 * time.Second)
	w := hit.running().do(context.Background(), http.MethodPost, "/api/v1/admin/storage/flush", nil)
	if w.Code != http.StatusOK && w.Code != http.StatusNoContent {
		m.fail("flush: %d %s", w.Code, w.Body)
	}
	m.stop(hit)
	m.flip(hit)
	m.start(hit)
	m.busy(10 * time.Second)
	m.repaired(hit)
}

// flip changes bytes of the largest table of a node.
func (m *simulation) flip(n *simNode) {
	dir := filepath.Join(n.cfg.Storage.Path, "store")
	names, err := n.mem.List(dir)
	require.NoError(m.t, err)
	var largest []byte
	var path string
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			f, err := n.mem.Open(filepath.Join(dir, name))
			require.NoError(m.t, err)
			b, err := io.ReadAll(f)
			require.NoError(m.t, err)
			require.NoError(m.t, f.Close())
			if len(b) > len(largest) {
				largest, path = b, filepath.Join(dir, name)
			}
		}
	}
	m.note("%s has %d bytes, of which one is changed", path, len(largest))
	largest[100] ^= 0x40
	f, err := n.mem.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(m.t, err)
	_, err = f.Write(largest)
	require.NoError(m.t, err)
	require.NoError(m.t, f.Sync())
	require.NoError(m.t, f.Close())
}

// metric of a node, 0 if it tells of none.
func (m *simulation) metric(n *simNode, name string) (v float64) {
	w := n.running().do(context.Background(), http.MethodGet, "/metrics", nil)
	for line := range strings.Lines(w.Body.String()) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			_, _ = fmt.Sscan(text, &v)
		}
	}
	return v
}

// repaired waits until a node has closed a gap and has none, and looks whether it has everything.
func (m *simulation) repaired(n *simNode) {
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(time.Second) {
		p := n.running()
		if p != nil && p.node.Ready() && m.metric(n, "barograph_repair_closed_gaps_total") > 0 &&
			m.metric(n, "barograph_repair_gaps") == 0 && p.gaps() == "" {
			break
		}
		if time.Now().After(end) {
			m.fail("%s is not repaired", n.name)
			return
		}
	}
	m.note("%s is repaired", n.name)
	if m.metric(n, "barograph_repair_samples_total") == 0 {
		m.fail("nothing was fetched")
	}
	if !m.settle("the repair") {
		return
	}
	time.Sleep(2 * seenAfter)
	m.verify()
	m.stop(n)
	if wrong := m.ledger.compare(m.held(n), math.MinInt64, math.MaxInt64, time.Now()); len(wrong) > 0 {
		m.fail("%s has not all it should:\n\t%s", n.name, strings.Join(head(wrong, 20), "\n\t"))
	}
}

// held is what lies in the storage of a node whose process has ended.
func (m *simulation) held(n *simNode) map[sampleKey]float64 {
	db, err := storage.Open(n.cfg.Storage.Path, storage.Options{FS: n.disk()})
	require.NoError(m.t, err)
	defer db.Close()
	set, err := db.Select(context.Background(), series.Selector{Mint: math.MinInt64, Maxt: math.MaxInt64})
	require.NoError(m.t, err)
	got := map[sampleKey]float64{}
	for set.Next() {
		var i int
		_, err := fmt.Sscan(string(set.At().Labels.Get("i")), &i)
		require.NoError(m.t, err)
		it := chunk.NewIterator(set.At().Chunks)
		for it.Next() != chunkenc.ValNone {
			t, v := it.At()
			got[sampleKey{i, t}] = v
		}
		require.NoError(m.t, it.Err())
	}
	require.NoError(m.t, set.Err())
	return got
}
