package e2e

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster"
)

// replicas of a node that are whole, and how many replicas of any are on their way, as another node
// tells.
func (r *region) replicas(from *regionNode, name string) (whole, moving int) {
	s, err := r.status(from)
	if err != nil {
		return 0, 1
	}
	for _, n := range s.Nodes {
		if n.Name == name {
			whole = n.Replicas - n.Filling
		}
	}
	return whole, s.Moving + s.Waiting
}

// command runs a subcommand of cluster on a node.
func (r *region) command(n *regionNode, args ...string) string {
	r.t.Helper()
	out, err := r.try(n, args...)
	require.NoError(r.t, err, "%s", out)
	return out
}

func (r *region) try(n *regionNode, args ...string) (string, error) {
	args = append([]string{"cluster", args[0], "--url=http://" + n.web}, args[1:]...)
	out, err := exec.Command(binary, args...).CombinedOutput()
	return string(out), err
}

// forget has a node forgotten that has stopped.
func (r *region) forget(n *regionNode) {
	r.t.Helper()
	r.nodes = slices.DeleteFunc(slices.Clone(r.nodes), func(o *regionNode) bool { return o == n })
	eventually(r.t, 30*time.Second, "the node is seen to be gone", func() bool {
		s, err := r.status(r.nodes[0])
		return err == nil && slices.ContainsFunc(s.Nodes, func(o cluster.NodeStatus) bool { return o.Name == n.name && o.Health != "alive" })
	})
	eventually(r.t, 30*time.Second, "it is forgotten", func() bool { // Once somebody leads again, if that was the leader.
		_, err := r.try(r.nodes[0], "remove", n.name)
		return err == nil
	})
}

// A fourth node joins three under load and is given its part; then one of the three hands over all it
// holds, and goes, and another one is lost. Nothing that was acknowledged is lost, and no answer is
// ever wrong.
func TestClusterGrowsAndShrinks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some minutes")
	}
	r := planRegion(t, 3, "--cluster.replication-factor=2")
	for _, n := range r.nodes[:2] { // So that the others have few shards, and moving them takes less time.
		n.args = append(n.args, "--cluster.weight=3")
	}
	r.start()
	load := &regionLoad{t: t, first: time.Now().Add(-30 * time.Minute).UnixMilli(), pause: 20 * time.Millisecond}
	founders := r.nodes
	load.nodes.Store(&founders)
	old := load.history()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var loading sync.WaitGroup
	loading.Go(func() { load.run(ctx) })
	answers := 0
	loading.Go(func() { answers = load.ask(ctx) })

	fourth := r.add()
	r.launch(fourth)
	r.ready(fourth)
	nodes := r.nodes
	load.nodes.Store(&nodes)
	var seen string
	eventually(t, 3*time.Minute, "the fourth has its part", func() bool {
		if text := r.command(r.nodes[0], "status"); strings.Contains(text, "days") {
			seen = text
		}
		whole, moving := r.replicas(r.nodes[0], fourth.name)
		return moving == 0 && whole == 64
	})
	require.Contains(t, seen, "n4", "the status has shown the copying")
	t.Logf("joined:\n%s", seen)

	third := r.nodes[2]
	r.command(r.nodes[0], "drain", third.name)
	eventually(t, 4*time.Minute, "the third holds nothing", func() bool {
		whole, moving := r.replicas(r.nodes[0], third.name)
		return moving == 0 && whole == 0
	})
	left := slices.DeleteFunc(slices.Clone(r.nodes), func(n *regionNode) bool { return n == third })
	load.nodes.Store(&left)
	eventually(t, time.Minute, "it keeps nothing for others", r.whole)
	require.Zero(t, third.terminate())
	r.forget(third)
	from := load.acked.Load()
	eventually(t, time.Minute, "writes go on", func() bool { return load.acked.Load() > from+20 })
	stop()
	loading.Wait()
	eventually(t, time.Minute, "all have everything", r.whole)

	t.Logf("%d batches acknowledged, %d answers, longest refusal %v", load.acked.Load(), answers, load.refused)
	require.Less(t, load.refused, 5*time.Second)
	r.holds(load, old)

	// Then the disk of another is lost.
	lost := fourth
	eventually(t, time.Minute, "three vote", func() bool { return r.voters() == 3 })
	lost.kill()
	r.forget(lost)
	eventually(t, 4*time.Minute, "what it held is restored", func() bool {
		s, err := r.status(r.nodes[0])
		return err == nil && s.Moving+s.Waiting+s.Thin == 0
	})
	r.holds(load, old)
}

// voters counts those that live.
func (r *region) voters() (n int) {
	s, err := r.status(r.nodes[0])
	if err != nil {
		return 0
	}
	for _, node := range s.Nodes {
		if node.Voter && node.Health == "alive" {
			n++
		}
	}
	return n
}

// holds asserts that each node answers with all that was acknowledged.
func (r *region) holds(load *regionLoad, old int) {
	t := r.t
	t.Helper()
	for _, n := range r.nodes {
		got, err := load.count(t.Context(), n)
		require.NoError(t, err)
		require.GreaterOrEqual(t, got, float64(load.acked.Load()), n.name)
		require.LessOrEqual(t, got, float64(load.sent.Load()), n.name)
		all, err := load.countOver(t.Context(), n, "30d")
		require.NoError(t, err)
		require.InDelta(t, got+float64(old), all, 0, "%s has what is weeks old", n.name)
	}
}
