package node

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	simSeed = flag.Uint64("sim.seed", 0, "run the simulation of this seed in this process, and print its history")
	simTime = flag.Duration("sim.time", 0, "run simulations of new seeds for so long")
)

const (
	// simSeeds are run by each test.
	simSeeds = 12
	// faultTime is how long faults come, writes and queries a little longer.
	faultTime = 60 * time.Second
	// settleTime is how long the nodes may take to be at rest when there are no more faults.
	settleTime = 5 * time.Minute
	// simLimit is how long a simulation may take on a slow machine, in the time outside.
	simLimit = 5 * time.Minute
)

// TestSimulation has whole clusters live through faults: no sample that was acknowledged is lost, and
// no query that is answered is wrong. Each seed has a process of its own: compressors that a process
// shares have channels, which must not be those of another bubble.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		synctest.Test(t, func(t *testing.T) { newSimulation(t, *simSeed).run() })
		return
	}
	next, last := uint64(1), uint64(simSeeds)
	end := time.Now().Add(*simTime)
	if *simTime > 0 {
		next, last = uint64(time.Now().UnixNano()), math.MaxUint64
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)/2) {
		all.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				mu.Unlock()
				if seed > last || *simTime > 0 && (time.Now().After(end) || t.Failed()) {
					return
				}
				simulate(t, seed)
			}
		})
	}
	all.Wait()
}

// simulate runs a seed in a process of its own.
func simulate(t *testing.T, seed uint64) {
	began := time.Now()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSimulation$", "-test.v", fmt.Sprint("-test.timeout=", simLimit), fmt.Sprint("-sim.seed=", seed))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("seed %d: %v\n%s", seed, err, out)
	}
	t.Logf("seed %d took %s", seed, time.Since(began).Round(time.Millisecond))
}

// simulation is one fleet, what was sent to it and what befell it.
type simulation struct {
	*fleet
	seed    uint64
	ledger  *books
	faults  *rand.Rand
	first   int  // nodes that start first
	drained bool // a node hands over what it has
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	rng := rand.New(rand.NewPCG(seed, 0))
	shapes := []shape{
		{3, 3, false, 0},
		{3, 3, true, 0},
		{3, 2, false, 0},
		{5, 3, true, 0},
		{3, 3, false, 1},
		{3, 3, false, 1},
		{3, 2, false, 1},
		{1, 3, false, 2},
	}
	s := shapes[rng.IntN(len(shapes))]
	m := &simulation{fleet: newFleet(t, seed, s), seed: seed, ledger: newBooks(), faults: rng, first: s.nodes}
	m.note("seed %d: %+v", seed, s)
	return m
}

func (m *simulation) run() {
	defer func() {
		m.end()
		m.report()
	}()
	all := m.nodes
	m.nodes = all[:m.first]
	m.startAll(m.nodes)
	settled := m.settle("the first start")
	if m.nodes = all; !settled {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for i := range uint64(3) {
		clients.Go(func() { m.write(ctx, rand.New(rand.NewPCG(m.seed, 10+i)), m.ledger) })
	}
	var answers, refused int
	clients.Go(func() { answers, refused = m.ask(ctx, rand.New(rand.NewPCG(m.seed, 20)), m.ledger) })
	m.disturb()
	m.heal()
	pause(ctx, 5*time.Second)
	stop()
	clients.Wait()
	m.note("%d of %d batches acknowledged, %d queries answered and %d not", m.ledger.mu.acked, m.ledger.mu.batches, answers, refused)
	if m.settle("the faults") {
		time.Sleep(2 * seenAfter)
		m.verify()
	}
}

// settle waits for the nodes to be at rest.
func (m *simulation) settle(after string) bool {
	why := m.settled()
	for end := time.Now().Add(settleTime); why != "" && time.Now().Before(end); why = m.settled() {
		time.Sleep(200 * time.Millisecond)
	}
	if why != "" {
		m.fail("%s after %s: %s", settleTime, after, why)
		return false
	}
	m.note("at rest after %s", after)
	return true
}

// verify reads everything from each node.
func (m *simulation) verify() {
	for _, n := range m.nodes {
		ok, wrong := m.query(n.running(), m.ledger, time.Now(), time.Since(m.began)+simLateMax)
		if !ok {
			m.fail("%s does not answer", n.name)
		}
		if len(wrong) > 0 {
			m.fail("%s:\n\t%s", n.name, strings.Join(head(wrong, 20), "\n\t"))
		}
	}
}

// report prints the history.
func (m *simulation) report() {
	m.mu.Lock() // Timers of processes that have ended may still log.
	defer m.mu.Unlock()
	m.t.Logf("history of seed %d:\n%s", m.seed, strings.Join(m.mu.history, "\n"))
	if m.mu.wrong > 0 {
		m.t.Errorf("%d things went wrong; to try it again: make sim SEED=%d", m.mu.wrong, m.seed)
	}
}
