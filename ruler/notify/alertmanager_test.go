package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// webhook is a receiver of Alertmanagers' notifications.
type webhook struct {
	*httptest.Server
	mu    sync.Mutex
	heard []string
}

func newWebhook(t *testing.T) *webhook {
	w := &webhook{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			n.Alerts = nil
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, a := range n.Alerts {
			w.heard = append(w.heard, a.Labels[labels.AlertName]+" "+a.Status)
		}
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *webhook) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.heard...)
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// alertmanagers starts Debian's, which know of each other, and returns their addresses.
func alertmanagers(t *testing.T, n int, w *webhook) []string {
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Skip("prometheus-alertmanager is not installed")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	// The second of a pair gives the first a moment, the peer timeout, before it looks up what that one
	// has told. A change in the meantime would be told twice, so they look less often than that.
	interval := "300ms"
	if n > 1 {
		interval = "4s"
	}
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
route: {receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: %s, repeat_interval: 1h}
receivers:
- name: hook
  webhook_configs: [{url: %q, send_resolved: true}]
`, interval, w.URL), 0o644))
	web, cluster := make([]string, n), make([]string, n)
	for i := range n {
		web[i], cluster[i] = freeAddr(t), freeAddr(t)
	}
	for i := range n {
		args := []string{
			"--config.file=" + config, "--storage.path=" + filepath.Join(dir, fmt.Sprint(i)),
			"--web.listen-address=" + web[i], "--cluster.listen-address=",
		}
		if n > 1 {
			args = append(args[:3], "--cluster.listen-address="+cluster[i], "--cluster.peer="+cluster[(i+1)%n],
				"--cluster.gossip-interval=20ms", "--cluster.settle-timeout=20s", "--cluster.peer-timeout=1s")
		}
		startProgram(t, path, args)
	}
	for _, addr := range web {
		require.Eventually(t, func() bool { return settled(addr, n) }, time.Minute, 20*time.Millisecond)
	}
	return web
}

func startProgram(t *testing.T, path string, args []string) {
	var out strings.Builder
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
}

// settled reports whether an Alertmanager is ready and knows of as many as there are.
func settled(addr string, n int) bool {
	var s struct {
		Cluster struct {
			Status string
			Peers  []any
		}
	}
	if !get("http://"+addr+"/api/v2/status", &s) {
		return false
	}
	return n == 1 || s.Cluster.Status == "ready" && len(s.Cluster.Peers) == n
}

func get(url string, into any) bool {
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(into) == nil
}

// known are the names of the alerts that fire as an Alertmanager sees it.
func known(addr string) []string {
	var alerts []struct{ Labels map[string]string }
	get("http://"+addr+"/api/v2/alerts", &alerts)
	var names []string
	for _, a := range alerts {
		names = append(names, a.Labels[labels.AlertName])
	}
	return names
}

// lookups is how often an Alertmanager has looked up whether another has told of a change.
func lookups(addr string) (n int) {
	resp, err := client.Get("http://" + addr + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "alertmanager_nflog_queries_total %d", &n)
	}
	return n
}

// Real Alertmanagers, alone and as a pair, hear of each alert, and tell of each change once.
func TestAlertmanagers(t *testing.T) {
	for n := range 2 {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			t.Parallel()
			w := newWebhook(t)
			addrs := alertmanagers(t, n+1, w)
			notifier, err := New(Options{})
			require.NoError(t, err)
			config := "alerting: {alertmanagers: [{static_configs: [{targets: ['" + strings.Join(addrs, "','") + "']}]}]}"
			require.NoError(t, notifier.Apply(parse(t, config), labels.FromStrings("dc", "here")))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- notifier.Run(ctx) }()
			defer func() {
				cancel()
				require.NoError(t, <-ended)
			}()

			hears := func(want ...string) {
				t.Helper()
				require.Eventually(t, func() bool { return len(w.all()) >= len(want) }, time.Minute, 10*time.Millisecond)
				require.Equal(t, want, w.all())
			}
			looked := make([]int, len(addrs))
			send := func(alerts ...Alert) {
				for i, addr := range addrs {
					looked[i] = lookups(addr)
				}
				notifier.Send(alerts)
			}
			eachLooks := func(times int) {
				t.Helper()
				for i, addr := range addrs {
					require.Eventually(t, func() bool { return lookups(addr) >= looked[i]+times }, time.Minute, 20*time.Millisecond)
				}
			}
			eachKnows := func(want ...string) {
				t.Helper()
				for _, addr := range addrs {
					require.Eventually(t, func() bool { return fmt.Sprint(known(addr)) == fmt.Sprint(want) }, time.Minute, 10*time.Millisecond)
				}
			}
			down := firing("Down")
			send(down)
			eachKnows("Down")
			hears("Down firing")
			eachLooks(1)

			again := down
			again.EndsAt = time.Now().Add(5 * time.Minute)
			send(again)
			eachLooks(1)
			hears("Down firing")

			over := down
			over.EndsAt = time.Now()
			send(over)
			hears("Down firing", "Down resolved")
			eachLooks(1)
			eachKnows()

			send(over, firing("Other"))
			eachKnows("Other")
			eachLooks(2)
			hears("Down firing", "Down resolved", "Other firing")
		})
	}
}
