package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster"
)

// region is a cluster of processes, each at a loopback address of its own.
type region struct {
	t    *testing.T
	dir  string
	args []string // of all nodes
	// program is what nodes are started with from now on.
	program string
	join    []string // addresses
	nodes   []*regionNode
}

type regionNode struct {
	*process
	name string
	web  string
	args []string
}

// freePort is one that is free at an address, for TCP and UDP.
func freePort(t *testing.T, host string) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", host+":0")
		require.NoError(t, err)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		u, err := net.ListenPacket("udp", net.JoinHostPort(host, port))
		l.Close()
		if err == nil {
			u.Close()
			return port
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

// newRegion starts so many nodes that expect each other.
func newRegion(t *testing.T, n int) *region {
	t.Helper()
	r := planRegion(t, n)
	r.start()
	return r
}

// planRegion is a region of so many nodes that expect each other, which are not started; all nodes have
// these flags.
func planRegion(t *testing.T, n int, args ...string) *region {
	t.Helper()
	r := &region{t: t, dir: t.TempDir(), program: binary, args: append([]string{"--cluster.name=e2e", "--web.enable-admin-api"}, args...)}
	for range n {
		r.add(fmt.Sprint("--cluster.bootstrap-expect=", n))
	}
	return r
}

func (r *region) start() {
	r.t.Helper()
	for _, node := range r.nodes {
		r.launch(node)
	}
	for _, node := range r.nodes {
		r.ready(node)
	}
}

// add gives the region another node, which is not started yet.
func (r *region) add(args ...string) *regionNode {
	r.t.Helper()
	number := len(r.join) + 1
	host := fmt.Sprintf("127.0.0.%d", number)
	gossip := net.JoinHostPort(host, freePort(r.t, host))
	r.join = append(r.join, gossip)
	n := &regionNode{
		name: fmt.Sprint("n", number),
		web:  net.JoinHostPort(host, freePort(r.t, host)),
		args: append(args, "--cluster.advertise-host="+host, "--cluster.gossip-address="+gossip,
			"--cluster.rpc-address="+net.JoinHostPort(host, freePort(r.t, host))),
	}
	r.nodes = append(slices.Clip(r.nodes), n)
	return n
}

// launch starts a node, anew or on the data it has.
func (r *region) launch(n *regionNode) {
	r.t.Helper()
	args := append([]string{
		"serve", "--node.name=" + n.name, "--storage.path=" + filepath.Join(r.dir, n.name), "--web.listen-address=" + n.web,
		"--cluster.join=" + strings.Join(r.join, ","),
	}, append(n.args, r.args...)...)
	cmd := exec.Command(r.program, args...)
	logTo(r.t, cmd, filepath.Join(r.dir, n.name+".log"))
	require.NoError(r.t, cmd.Start())
	n.process = adopt(r.t, cmd)
}

func (r *region) ready(n *regionNode) {
	r.t.Helper()
	eventually(r.t, time.Minute, n.name+" is ready", func() bool { return r.isReady(n) })
}

func (r *region) isReady(n *regionNode) bool {
	resp, err := client.Get("http://" + n.web + "/-/ready")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// status is what a node tells of the cluster.
func (r *region) status(n *regionNode) (s cluster.Status, err error) {
	resp, err := client.Get("http://" + n.web + "/api/v1/cluster/status")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	answer := struct{ Data *cluster.Status }{&s}
	return s, json.NewDecoder(resp.Body).Decode(&answer)
}

// versions counts the living nodes by their version, as a node tells.
func (r *region) versions(n *regionNode) map[string]int {
	r.t.Helper()
	s, err := r.status(n)
	require.NoError(r.t, err)
	count := map[string]int{}
	for _, o := range s.Nodes {
		require.False(r.t, o.Incompatible, o.Name)
		if o.Health == "alive" {
			count[o.Software]++
		}
	}
	return count
}

// whole reports whether no node keeps anything for another.
func (r *region) whole() bool {
	for _, n := range r.nodes {
		if !strings.Contains(r.metrics(n), "\nbarograph_outbox_peers 0\n") {
			return false
		}
	}
	return true
}

// metrics are a node's own, nothing if it does not answer.
func (r *region) metrics(n *regionNode) string {
	resp, err := client.Get("http://" + n.web + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(text)
}

// regionLoad writes batches of one time each to whichever node takes them, and knows which were
// acknowledged.
type regionLoad struct {
	t       *testing.T
	nodes   atomic.Pointer[[]*regionNode] // that are written to and asked
	pause   time.Duration                 // after each batch
	sent    atomic.Int64                  // batches that may be there
	acked   atomic.Int64                  // batches that must be
	failed  atomic.Int64                  // writes and questions that were not answered well
	refused time.Duration                 // the longest time for which none was taken
	first   int64                         // time of the first batch, in milliseconds
}

// run writes one batch after the other until ctx ends. A batch that a node does not take goes to the next.
func (l *regionLoad) run(ctx context.Context) {
	s := &sender{id: 7}
	for i := 0; ctx.Err() == nil; i++ {
		body := s.request(l.first + int64(i))
		l.sent.Add(1)
		begin := time.Now()
		for n := i; !l.write(l.node(n), body); n++ {
			l.failed.Add(1)
			select { // As a sender does that is told to come back.
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
		l.acked.Add(1)
		l.refused = max(l.refused, time.Since(begin))
		time.Sleep(l.pause)
	}
}

// node is the one whose turn it is.
func (l *regionLoad) node(turn int) *regionNode {
	nodes := *l.nodes.Load()
	return nodes[turn%len(nodes)]
}

// history writes batches some hours apart, before the load begins, and returns how many.
func (l *regionLoad) history() (batches int) {
	s := &sender{id: 7}
	for at := l.first - 20*24*time.Hour.Milliseconds(); at < l.first-time.Hour.Milliseconds(); at += 5 * time.Hour.Milliseconds() {
		require.True(l.t, l.write(l.node(batches), s.request(at)))
		batches++
	}
	return batches
}

func (l *regionLoad) write(n *regionNode, body []byte) bool {
	taken, mode := remoteWrite(n.web, body)
	if taken && mode != "quorum; wal=batch" {
		l.t.Errorf("an acknowledgement means %q", mode)
	}
	return taken
}

// remoteWrite sends a request, and returns whether it was taken and what that means.
func remoteWrite(addr string, body []byte) (taken bool, mode string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/api/v1/write", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := client.Do(req)
	if err != nil {
		return false, ""
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode/100 == 2, resp.Header.Get("X-Barograph-Ack")
}

// count asks a node for the number of batches that all series have together.
func (l *regionLoad) count(ctx context.Context, n *regionNode) (batches float64, err error) {
	return l.countOver(ctx, n, "1h")
}

func (l *regionLoad) countOver(ctx context.Context, n *regionNode, times string) (batches float64, err error) {
	a := newAPI(l.t, n.web)
	v, _, _, err := a.Query(ctx, `sum(count_over_time(kill_test[`+times+`]))`, time.UnixMilli(l.first+int64(30*time.Minute/time.Millisecond)))
	if err != nil {
		return 0, err
	}
	if vector := v.(model.Vector); len(vector) > 0 {
		return float64(vector[0].Value) / seriesPerSender, nil
	}
	return 0, nil
}

// ask has all nodes that live answer again and again. No answer may lack what was acknowledged a
// second or more before, or have what was never sent.
func (l *regionLoad) ask(ctx context.Context) (answers int) {
	type mark struct {
		at    time.Time
		acked int64
	}
	var marks []mark
	for i := 0; ctx.Err() == nil; i++ {
		marks = append(marks, mark{time.Now(), l.acked.Load()})
		for len(marks) > 1 && time.Since(marks[1].at) >= time.Second {
			marks = marks[1:]
		}
		least := int64(0)
		if time.Since(marks[0].at) >= time.Second {
			least = marks[0].acked
		}
		n := l.node(i)
		got, err := l.count(ctx, n)
		if err == nil {
			answers++
			if most := l.sent.Load(); got < float64(least) || got > float64(most) {
				l.t.Errorf("%s has %g batches; %d were acknowledged, %d sent", n.name, got, least, most)
			}
		} else if ctx.Err() == nil {
			l.failed.Add(1)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return answers
}

// nextVersion builds the program as another version.
func nextVersion(t *testing.T) (path, version string) {
	t.Helper()
	path, version = filepath.Join(t.TempDir(), "barograph"), "99.0.0"
	out, err := exec.Command("go", "build", "-o", path, "-ldflags=-X github.com/prometheus/common/version.Version="+version,
		"github.com/barograph-db/barograph/cmd/barograph").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path, version
}

// Three nodes go on when any one of them is killed, and when they are upgraded one after the other and
// one goes back, under load; nothing that was acknowledged is lost, and no answer is ever wrong.
func TestClusterUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	later, version := nextVersion(t)
	r := newRegion(t, 3)
	load := &regionLoad{t: t, first: time.Now().Add(-30 * time.Minute).UnixMilli()}
	load.nodes.Store(&r.nodes)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var loading sync.WaitGroup
	loading.Go(func() { load.run(ctx) })
	answers := 0
	loading.Go(func() { answers = load.ask(ctx) })
	progress := func(what string) {
		from := load.acked.Load()
		eventually(t, time.Minute, what+": writes go on", func() bool { return load.acked.Load() >= from+50 })
	}
	progress("all live")

	victim := r.nodes[1]
	victim.kill()
	progress(victim.name + " is dead")
	eventually(t, 10*time.Second, "its death is noticed", func() bool {
		s, err := r.status(r.nodes[0])
		return err == nil && s.Thin > 0
	})
	progress("its death is known")
	r.launch(victim)
	r.ready(victim)
	progress(victim.name + " is back")
	eventually(t, time.Minute, "it has what it missed", r.whole)

	restart := func(n *regionNode, upgraded int) {
		require.Zero(t, n.terminate(), "%s ends in order", n.name)
		r.launch(n)
		r.ready(n)
		progress(n.name + " was restarted")
		eventually(t, time.Minute, "all have what they missed", r.whole)
		for _, from := range r.nodes {
			eventually(t, 20*time.Second, "the versions are seen", func() bool {
				seen := r.versions(from)
				return seen[version] == upgraded && len(seen) <= 2
			})
		}
	}
	r.program = later
	for i, n := range r.nodes {
		restart(n, i+1)
	}
	r.program = binary
	restart(r.nodes[2], 2)
	stop()
	loading.Wait()
	eventually(t, time.Minute, "all have everything", r.whole)

	t.Logf("%d batches of %d series acknowledged, %d answers, longest refusal %v", load.acked.Load(), seriesPerSender, answers, load.refused)
	require.Less(t, load.refused, 5*time.Second)
	for _, n := range r.nodes {
		got, err := load.count(t.Context(), n)
		require.NoError(t, err)
		require.GreaterOrEqual(t, got, float64(load.acked.Load()), n.name)
		require.LessOrEqual(t, got, float64(load.sent.Load()), n.name)
	}
}
