package node

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var simRules = flag.Bool("sim.rules", false, "run the simulation of rules in this process, and print its history")

// TestSimulationOfRules kills the node that evaluates rules, which leads, twice: no timestamp is missing or
// doubled, each rule has read what the one before it wrote, and an alert goes on firing from when it did
// at first. It has a process of its own, as each of TestSimulation.
func TestSimulationOfRules(t *testing.T) {
	if *simRules {
		synctest.Test(t, ruleFailovers)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSimulationOfRules$", "-test.v", fmt.Sprint("-test.timeout=", simLimit), "-sim.rules")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

func ruleFailovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := &simulation{fleet: newFleet(t, 1, shape{nodes: 3, factor: 3})}
	defer func() {
		m.end()
		m.report()
	}()
	file := m.nodes[0].cfg.ConfigFile
	for name, text := range map[string]string{
		filepath.Base(file): ruleConfig,
		"chain.rules":       chainRules,
		"alerts.rules":      strings.ReplaceAll(alertRules, "level < 10", "vector(1)"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), name), []byte(text), 0o600))
	}
	for _, n := range m.nodes {
		m.start(n)
	}
	if !m.settle("the first start") {
		return
	}
	time.Sleep(15 * time.Second)
	for range 2 {
		leader := m.leader()
		m.note("kill %s, which leads", leader.name)
		m.kill(rng, 100, leader)
		time.Sleep(20 * time.Second)
		m.start(leader)
		if !m.settle("the failover") {
			return
		}
	}
	for _, n := range m.nodes {
		m.checkRecorded(n, time.Since(m.began))
	}
	m.checkAlerts()
}

// leader is the node that leads.
func (m *simulation) leader() *simNode {
	for _, n := range m.nodes {
		if s, err := n.running().status(); err == nil && s.Self == s.Leader {
			return n
		}
	}
	m.fail("nobody leads")
	return m.nodes[0]
}

// checkRecorded holds what rules wrote against when they had to be evaluated.
func (m *simulation) checkRecorded(n *simNode, length time.Duration) {
	read := func(name string) map[int64]float64 {
		w := n.running().do(context.Background(), http.MethodGet, "/api/v1/query?query="+url.QueryEscape(fmt.Sprintf("%s[%dms]", name, length.Milliseconds())), nil)
		if w.Code != http.StatusOK {
			m.fail("%s answers %d %s", n.name, w.Code, w.Body)
		}
		return samplesOf(m.t, w.Body.String())
	}
	now, gap := read("now"), read("now:gap")
	times := make([]int64, 0, len(now))
	for at := range now {
		times = append(times, at)
	}
	slices.Sort(times)
	m.note("%s has %d timestamps", n.name, len(times))
	if len(times) < 50 {
		m.fail("%s has %d timestamps", n.name, len(times))
	}
	for i, at := range times {
		if i > 0 && at-times[i-1] != 1000 {
			m.fail("%s: after %d comes %d", n.name, times[i-1], at)
		}
		if v, ok := gap[at]; now[at] != float64(at)/1000 || v != 0 || !ok && i < len(times)-1 {
			m.fail("%s: at %d there is %v, and later rules see %v (%v)", n.name, at, now[at], v, ok)
		}
	}
}

// checkAlerts holds the alerts of all nodes against what they must be.
func (m *simulation) checkAlerts() {
	for _, n := range m.nodes {
		w := n.running().do(context.Background(), http.MethodGet, "/api/v1/alerts", nil)
		text := w.Body.String()
		if strings.Count(text, `"state":"firing"`) != 1 || strings.Count(text, `"state":"pending"`) != 1 {
			m.fail("%s: %s", n.name, text)
		}
	}
	n := m.nodes[0]
	w := n.running().do(context.Background(), http.MethodGet, "/api/v1/query?query="+url.QueryEscape(`count_over_time(ALERTS_FOR_STATE{alertname="Low"}[5m]) and changes(ALERTS_FOR_STATE[5m]) == 0`), nil)
	if strings.Count(w.Body.String(), `"metric"`) != 1 {
		m.fail("%s: it began to be active more than once: %s", n.name, w.Body)
	}
}
