package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a node under test.
type running struct {
	t      *testing.T
	node   *Node
	url    string
	client *http.Client
	stop   func() error // ends the node and returns what Run returned
}

// config is a node's on a free port and a folder of its own. The configuration file holds text.
func config(t *testing.T, text string) Config {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "barograph.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return Config{
		ConfigFile: path,
		Name:       "test",
		Storage:    StorageConfig{Path: filepath.Join(dir, "data")},
		Web:        WebConfig{ListenAddresses: []string{"127.0.0.1:0"}},
	}
}

// start runs a node until the test ends, and waits until it is ready.
func start(t *testing.T, cfg Config) *running {
	t.Helper()
	n, err := New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	r := &running{t: t, node: n, url: "http://" + n.Addresses()[0].String(), client: &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	var result error
	stopped := false
	r.stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			r.client.CloseIdleConnections()
			result = <-done
		}
		return result
	}
	t.Cleanup(func() { require.NoError(t, r.stop()) })
	require.Eventually(t, n.Ready, 10*time.Second, time.Millisecond)
	return r
}

// do sends a request and returns the answer with its body read.
func (r *running) do(method, path, body string, header ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	require.NoError(r.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp, string(text)
}

func (r *running) status(method, path string) int {
	r.t.Helper()
	resp, _ := r.do(method, path, "")
	return resp.StatusCode
}

func TestNodeAnswers(t *testing.T) {
	r := start(t, config(t, ""))
	for _, path := range []string{
		"/-/healthy", "/-/ready", "/health", "/ready", "/metrics", "/debug/pprof/", "/debug/pprof/heap", "/",
		"/api/v1/status/config", "/api/v1/status/flags", "/api/v1/status/runtimeinfo", "/api/v1/status/buildinfo",
		"/api/v1/status/tsdb", "/api/v1/status/walreplay", "/api/v1/targets", "/api/v1/rules", "/api/v1/alerts",
		"/api/v1/labels", "/federate?match[]=up",
	} {
		for _, prefix := range []string{"", "/prometheus"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				require.Equal(t, http.StatusOK, r.status(method, prefix+path), "%s %s", method, prefix+path)
			}
		}
	}
	require.Equal(t, http.StatusNotFound, r.status(http.MethodGet, "/nothing"))
	resp, _ := r.do(http.MethodGet, "/prometheus", "")
	require.Equal(t, "/prometheus/", resp.Header.Get("Location"))
}

// The first query finds the node's own metrics as soon as it is ready.
func TestSelfScrapeAnswersAtOnce(t *testing.T) {
	r := start(t, config(t, ""))
	_, text := r.do(http.MethodGet, "/api/v1/query?query=up", "")
	port := r.node.Addresses()[0].(*net.TCPAddr).Port
	require.Contains(t, text, fmt.Sprintf(`"metric":{"__name__":"up","instance":"test:%d","job":"barograph"}`, port))
	_, text = r.do(http.MethodPost, "/api/v1/query", "query=go_gc_duration_seconds_count%7Bjob=%22barograph%22%7D",
		"Content-Type", "application/x-www-form-urlencoded")
	require.Contains(t, text, `"__name__":"go_gc_duration_seconds_count"`)
}

func TestSelfScrapeOff(t *testing.T) {
	r := start(t, config(t, "barograph: {self_scrape: {enabled: false}}"))
	_, text := r.do(http.MethodGet, "/api/v1/query?query=up", "")
	require.Contains(t, text, `"result":[]`)
}

// What was written is there after a restart.
func TestRestartKeepsSamples(t *testing.T) {
	cfg := config(t, "barograph: {self_scrape: {enabled: false}}")
	r := start(t, cfg)
	resp, text := r.do(http.MethodPost, "/api/v1/import/prometheus", "kept{a=\"b\"} 42\n")
	require.Equal(t, http.StatusOK, resp.StatusCode, text)
	require.NoError(t, r.stop())

	r = start(t, cfg)
	_, text = r.do(http.MethodGet, "/api/v1/query?query=kept", "")
	require.Contains(t, text, `"42"]`)
}

func TestHeadersOnAnswers(t *testing.T) {
	r := start(t, config(t, ""))
	for _, path := range []string{"/", "/metrics", "/nothing", "/api/v1/query?query=1"} {
		resp, _ := r.do(http.MethodGet, path, "")
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"), path)
		require.Equal(t, "DENY", resp.Header.Get("X-Frame-Options"), path)
		require.Equal(t, "no-referrer", resp.Header.Get("Referrer-Policy"), path)
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'self'", path)
		require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"), path)
	}
}

func TestAnswersSayWhatAnAcknowledgementMeans(t *testing.T) {
	r := start(t, config(t, ""))
	resp, _ := r.do(http.MethodPost, "/api/v1/import/prometheus", "a 1\n")
	require.Equal(t, "local; wal=batch", resp.Header.Get("X-Barograph-Ack"))
}

func TestNoOpenRedirect(t *testing.T) {
	r := start(t, config(t, ""))
	for _, path := range []string{"//evil.example/x", "/prometheus//evil.example/x", "/%5cevil.example", "/prometheus/%2f%2fevil.example", "//evil.example/..", "/prometheus//"} {
		resp, _ := r.do(http.MethodGet, path, "", "Host", "evil.example")
		where := resp.Header.Get("Location")
		if where == "" {
			continue
		}
		require.True(t, strings.HasPrefix(where, "/") && !strings.HasPrefix(where, "//") && !strings.HasPrefix(where, `/\`),
			"%s leads to %s", path, where)
	}
}

func TestLifecycleAndAdmin(t *testing.T) {
	paths := []string{"/-/reload", "/api/v1/admin/tsdb/clean_tombstones", "/-/quit"}
	r := start(t, config(t, ""))
	for _, path := range paths {
		require.Equal(t, http.StatusForbidden, r.status(http.MethodPost, path), path)
		require.Equal(t, http.StatusMethodNotAllowed, r.status(http.MethodGet, path), path)
	}

	cfg := config(t, "")
	cfg.Web.EnableLifecycle, cfg.Web.EnableAdminAPI = true, true
	r = start(t, cfg)
	for _, path := range paths {
		resp, _ := r.do(http.MethodPost, path, "", "Origin", "https://evil.example")
		require.Equal(t, http.StatusForbidden, resp.StatusCode, "%s from another site", path)
		require.Equal(t, http.StatusMethodNotAllowed, r.status(http.MethodGet, path), path)
	}
	for _, path := range paths {
		require.Less(t, r.status(http.MethodPost, path), 300, path)
	}
	require.NoError(t, r.stop(), "quit ends the node as SIGTERM does")
}

func TestReload(t *testing.T) {
	cfg := config(t, "global: {external_labels: {dc: a}}")
	cfg.Web.EnableLifecycle = true
	r := start(t, cfg)
	shown := func() string {
		_, text := r.do(http.MethodGet, "/api/v1/status/config", "")
		return text
	}
	metric := func(name string) string {
		_, text := r.do(http.MethodGet, "/metrics", "")
		for line := range strings.SplitSeq(text, "\n") {
			if rest, ok := strings.CutPrefix(line, name+" "); ok {
				return rest
			}
		}
		return ""
	}
	write := func(text string) { require.NoError(t, os.WriteFile(cfg.ConfigFile, []byte(text), 0o600)) }
	require.Contains(t, shown(), "dc: a")
	require.Equal(t, "1", metric("barograph_config_last_reload_successful"))
	loaded := metric("barograph_config_last_reload_success_timestamp_seconds")

	write("global: {external_labels: {dc: b}}\nwrong: 1\n")
	resp, text := r.do(http.MethodPost, "/-/reload", "")
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.Contains(t, text, `barograph.yml:2: unknown key "wrong"`)
	require.Contains(t, shown(), "dc: a", "the old one stays in force")
	require.Equal(t, "0", metric("barograph_config_last_reload_successful"))
	require.Equal(t, loaded, metric("barograph_config_last_reload_success_timestamp_seconds"))
	_, text = r.do(http.MethodGet, "/api/v1/status/runtimeinfo", "")
	require.Contains(t, text, `"reloadConfigSuccess":false`)

	write("global: {external_labels: {dc: b}}\nbarograph: {limits: {labels_per_series: 3}}\n")
	require.Equal(t, http.StatusOK, r.status(http.MethodPost, "/-/reload"))
	require.Contains(t, shown(), "dc: b")
	require.Equal(t, "1", metric("barograph_config_last_reload_successful"))
	resp, text = r.do(http.MethodPost, "/api/v1/import/prometheus", "x{a=\"1\",b=\"2\",c=\"3\",d=\"4\"} 1\n")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Contains(t, text, "err-barograph-too-many-labels", "the limits follow")
	_, text = r.do(http.MethodGet, "/federate?match[]=up", "")
	require.Contains(t, text, `dc="b"`, "and so do external labels")
}

// Before the storage is open, only what tells about the process answers.
func TestStarting(t *testing.T) {
	n, err := New(config(t, ""))
	require.NoError(t, err)
	h := n.root()
	for path, want := range map[string]int{
		"/-/healthy": 200, "/metrics": 200, "/": 200, "/-/ready": 503, "/ready": 503, "/api/v1/query?query=1": 503,
		"/prometheus/api/v1/labels": 503, "/api/v1/write": 503,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, want, w.Code, path)
		require.Equal(t, want == 503, w.Header().Get("Retry-After") != "", path)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, n.Run(ctx), "a node that is stopped at once stops in order")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/-/ready", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/write", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "err-barograph-stopping")
}

func TestNewErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"port":         {func(c *Config) { c.Web.ListenAddresses = []string{"127.0.0.1:0", taken.Addr().String()} }, "--web.listen-address=" + taken.Addr().String() + " is in use by another process"},
		"wal mode":     {func(c *Config) { c.Storage.WALSync = "x" }, "--storage.wal-sync: "},
		"route prefix": {func(c *Config) { c.Web.RoutePrefix = "/a?b" }, "--web.route-prefix: "},
		"query":        {func(c *Config) { c.Query.MaxConcurrency = 1 << 20 }, "query.max_concurrency"},
		"web config":   {func(c *Config) { c.Web.ConfigFile = "/does/not/exist" }, "--web.config.file=/does/not/exist: "},
		"config":       {func(c *Config) { c.ConfigFile = "/does/not/exist" }, "--config.file"},
	} {
		cfg := config(t, "")
		tc.change(&cfg)
		_, err := New(cfg)
		require.ErrorContains(t, err, tc.want, name)
	}
}

func TestDataDirectoryErrors(t *testing.T) {
	cfg := config(t, "")
	start(t, cfg)
	n, err := New(cfg)
	require.NoError(t, err)
	err = n.Run(context.Background())
	require.ErrorContains(t, err, "--storage.path="+cfg.Storage.Path)
	require.ErrorContains(t, err, "in use by another process")

	cfg = config(t, "")
	require.NoError(t, os.WriteFile(cfg.Storage.Path, nil, 0o600))
	n, err = New(cfg)
	require.NoError(t, err)
	require.ErrorContains(t, n.Run(context.Background()), "--storage.path="+cfg.Storage.Path)
}

func TestRoutePrefix(t *testing.T) {
	cfg := config(t, "")
	cfg.Web.RoutePrefix = "metrics-db/"
	r := start(t, cfg)
	require.Equal(t, http.StatusOK, r.status(http.MethodGet, "/metrics-db/api/v1/query?query=1"))
	require.Equal(t, http.StatusOK, r.status(http.MethodGet, "/metrics-db/"))
	require.Equal(t, http.StatusNotFound, r.status(http.MethodGet, "/metrics-dbs/"))
}

func TestFlagsOverFile(t *testing.T) {
	cfg := config(t, "barograph: {retention: {time: 10d, size: 1GiB}, query: {timeout: 1m, max_samples: 5}}")
	cfg.Storage.Retention = Duration(5 * 24 * time.Hour)
	cfg.Query.MaxSamples = 7
	n, err := newNode(cfg, prometheus.NewRegistry())
	require.NoError(t, err)
	require.Equal(t, "5d or 1GiB", n.retention())
	require.Equal(t, Query{Timeout: Duration(time.Minute), MaxSamples: 7}, n.options.Query)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, n.Run(ctx))
}
