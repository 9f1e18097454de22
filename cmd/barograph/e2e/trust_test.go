package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/trust/trusttest"
)

// trustIn makes a node's certificates and keys in a folder beside its data, and returns its flags.
func (r *region) trustIn(n *regionNode, ca *trusttest.CA) (trusttest.Files, []string) {
	r.t.Helper()
	dir := filepath.Join(r.dir, n.name+"-trust")
	require.NoError(r.t, os.MkdirAll(dir, 0o700))
	f := trusttest.FilesIn(dir)
	ca.Issue(f, n.name)
	trusttest.Keys(r.t, f.GossipKeys, "a")
	return f, []string{
		"--cluster.tls-cert-file=" + f.Cert, "--cluster.tls-key-file=" + f.Key, "--cluster.tls-ca-file=" + f.CA,
		"--cluster.gossip-key-file=" + f.GossipKeys,
	}
}

// metric is the value of one without labels, or of one with those in its name.
func (r *region) metric(n *regionNode, name string) float64 {
	r.t.Helper()
	resp, err := client.Get("http://" + n.web + "/metrics")
	require.NoError(r.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindSubmatch(text)
	require.NotNil(r.t, found, name)
	v, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(r.t, err)
	return v
}

// Three nodes meet over TLS and gossip with a key, and both are changed while they run: not a write
// or question fails. Who does not have them stays out.
func TestClusterOfTrust(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	r := planRegion(t, 3)
	old, fresh := trusttest.NewCA(t, "old"), trusttest.NewCA(t, "fresh")
	files := map[*regionNode]trusttest.Files{}
	for _, n := range r.nodes {
		f, args := r.trustIn(n, old)
		files[n], n.args = f, append(n.args, args...)
	}
	r.start()
	load := &regionLoad{t: t, first: time.Now().Add(-30 * time.Minute).UnixMilli()}
	load.nodes.Store(&r.nodes)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var loading sync.WaitGroup
	loading.Go(func() { load.run(ctx) })
	loading.Go(func() { load.ask(ctx) })

	both := append(append([]byte{}, old.PEM...), fresh.PEM...)
	for i, step := range []struct {
		ca   *trusttest.CA
		pem  []byte // of those that are trusted
		keys string
	}{{old, both, "ab"}, {fresh, both, "ba"}, {fresh, fresh.PEM, "b"}} {
		step.ca.PEM = step.pem
		for _, n := range r.nodes {
			loaded := r.metric(n, "barograph_config_last_reload_success_timestamp_seconds")
			step.ca.Issue(files[n], n.name)
			trusttest.Keys(t, files[n].GossipKeys, step.keys)
			require.NoError(t, n.cmd.Process.Signal(syscall.SIGHUP))
			eventually(t, 10*time.Second, "it has loaded them", func() bool {
				return r.metric(n, "barograph_config_last_reload_success_timestamp_seconds") > loaded
			})
			require.InDelta(t, len(step.keys), r.metric(n, "barograph_trust_gossip_keys"), 0)
		}
		from := load.acked.Load()
		eventually(t, time.Minute, fmt.Sprint("writes go on after step ", i), func() bool { return load.acked.Load() >= from+100 })
	}
	require.Zero(t, load.failed.Load(), "no write and no question has failed")

	last := r.nodes[2] // New connections are made by what is new, in both directions.
	require.Zero(t, last.terminate())
	r.launch(last)
	r.ready(last)
	eventually(t, time.Minute, "all have what they missed", r.whole)
	stop()
	loading.Wait()
	eventually(t, time.Minute, "all have everything", r.whole)
	for _, n := range r.nodes {
		got, err := load.count(t.Context(), n)
		require.NoError(t, err)
		require.GreaterOrEqual(t, got, float64(load.acked.Load()), n.name)
	}

	stranger := r.add()
	r.launch(stranger)
	for name, words := range map[string]string{
		stranger.name: "it gossips with a key, and this node has none", r.nodes[0].name: "it gossips without a key, and this node has keys",
	} {
		eventually(t, time.Minute, name+" says so", func() bool {
			text, err := os.ReadFile(filepath.Join(r.dir, name+".log"))
			return err == nil && strings.Contains(string(text), words)
		})
	}
	require.False(t, r.isReady(stranger))
}
