package node

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barograph-db/barograph/cluster"
)

var simMoved = flag.Bool("sim.moved", false, "run the simulation of shards that move in this process, and print its history")

// moveTime is how long shards may take to move, and what was moved away to be dropped.
const moveTime = 15 * time.Minute

// TestMovedShards has a node join, be drained, and join again with what it had, while there are writes and
// queries: all that was acknowledged is read from every node, all the time, and what has moved away is gone
// from the nodes that had it.
func TestMovedShards(t *testing.T) {
	if *simMoved {
		synctest.Test(t, func(t *testing.T) { newMoves(t).run() })
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMovedShards$", "-test.v", fmt.Sprint("-test.timeout=", 2*simLimit), "-sim.moved")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

type moves struct {
	*simulation
	all []*simNode
}

func newMoves(t *testing.T) *moves {
	f := newFleet(t, 1, shape{nodes: 4, factor: 2})
	for _, n := range f.nodes {
		n.cfg.Cluster.BootstrapExpect = 3
		n.cfg.Web.EnableAdminAPI = true
		n.cfg.dropHold = 20 * time.Second
	}
	m := &moves{&simulation{fleet: f, seed: 1, ledger: newBooks()}, f.nodes}
	f.nodes = m.all[:3]
	return m
}

func (m *moves) run() {
	defer func() {
		m.nodes = m.all
		m.end()
		m.report()
	}()
	for _, n := range m.nodes {
		m.start(n)
	}
	if !m.settle("the first start") {
		return
	}
	m.nodes = m.all
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	clients.Go(func() { m.write(ctx, rand.New(rand.NewPCG(1, 10)), m.ledger) })
	var answers, refused int
	clients.Go(func() { answers, refused = m.ask(ctx, rand.New(rand.NewPCG(1, 20)), m.ledger) })
	pause(ctx, 20*time.Second)
	last := m.all[3]
	ok := m.join(last) && m.drain(last) && m.joinAgain(last)
	stop()
	clients.Wait()
	m.note("%d queries answered and %d not", answers, refused)
	for _, n := range m.nodes {
		if p := n.running(); p != nil {
			m.note("%s refused %d requests for what it does not hold, and planned anew %d times", n.name,
				p.metric("barograph_wire_stale_requests_total"), p.metric(`barograph_fanout_replans_total{result="done"}`))
		}
	}
	if ok && refused > answers/20 {
		m.fail("too many queries were not answered")
	}
	if ok && m.settle("all moves") {
		time.Sleep(2 * seenAfter)
		m.verify()
	}
}

// join has one more node, to which shards of all others move.
func (m *moves) join(n *simNode) bool {
	m.start(n)
	return m.settle("a join") && m.moved("a join", func(s cluster.NodeStatus) bool { return s.Replicas > 0 }) &&
		m.dropped("a join", m.all[:3]...)
}

// drain has a node hand over all it has.
func (m *moves) drain(n *simNode) bool {
	w := m.all[0].running().do(context.Background(), http.MethodPost, "/api/v1/cluster/drain?node="+n.name, nil)
	if w.Code != http.StatusOK {
		m.fail("drain: %s", w.Body)
		return false
	}
	return m.moved("a drain", func(s cluster.NodeStatus) bool { return s.Name != n.name || s.Replicas == 0 }) &&
		m.dropped("a drain", n)
}

// joinAgain removes a node and has it come back with what it has.
func (m *moves) joinAgain(n *simNode) bool {
	m.stop(n)
	removed := func() bool {
		w := m.all[0].running().do(context.Background(), http.MethodPost, "/api/v1/cluster/remove?node="+n.name, nil)
		return w.Code == http.StatusOK
	}
	if !m.within("the removal", removed) {
		return false
	}
	m.start(n)
	return m.settle("joining again") &&
		m.moved("joining again", func(s cluster.NodeStatus) bool { return s.Replicas > 0 }) && m.dropped("joining again", m.all[:3]...)
}

// within waits for something to become true.
func (m *moves) within(what string, done func() bool) bool {
	for end := time.Now().Add(moveTime); !done(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			m.fail("%s takes longer than %s", what, moveTime)
			return false
		}
	}
	m.note("%s is done", what)
	return true
}

// moved waits until nothing moves any more, and each node is as it is to be.
func (m *moves) moved(what string, is func(cluster.NodeStatus) bool) bool {
	return m.within("moving after "+what, func() bool {
		s, err := m.all[0].running().status()
		if err != nil || s.Moving+s.Waiting > 0 {
			return false
		}
		for _, n := range s.Nodes {
			if !is(n) {
				return false
			}
		}
		return true
	})
}

// dropped waits until the nodes have nothing that they are not to have.
func (m *moves) dropped(what string, nodes ...*simNode) bool {
	before := map[*simNode]int{}
	for _, n := range nodes {
		before[n] = n.running().metric("barograph_storage_dropped_shards_total")
	}
	return m.within("dropping after "+what, func() bool {
		for _, n := range nodes {
			if n.running().metric("barograph_storage_dropped_shards_total") == before[n] {
				n.running().do(context.Background(), http.MethodPost, "/api/v1/admin/storage/flush", nil)
				return false
			}
			if n.running().metric("barograph_node_given_up_shards") > 0 {
				return false
			}
		}
		return true
	})
}

// metric is the value of a metric, 0 if there is none.
func (p *process) metric(name string) int {
	w := p.do(context.Background(), http.MethodGet, "/metrics", nil)
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			f, _ := strconv.ParseFloat(value, 64)
			return int(f)
		}
	}
	return 0
}
