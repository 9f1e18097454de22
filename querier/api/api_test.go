package api_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/api"
)

// TestMethods asks every URL by every method: the table decides which is there, and both prefixes
// are alike.
func TestMethods(t *testing.T) {
	a, err := api.New(api.Options{Engine: serve(t, &memory{}, nil).engine})
	require.NoError(t, err)
	mux := http.NewServeMux()
	a.Register(mux.Handle, "", "/prometheus")
	known := map[string]bool{}
	for _, r := range a.Routes() {
		known[r.Method+" "+r.Path] = true
	}
	for _, prefix := range []string{"", "/prometheus"} {
		for _, r := range a.Routes() {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
				req, err := http.NewRequest(method, "http://node"+prefix+strings.Replace(r.Path, "{name}", "a", 1), nil)
				require.NoError(t, err)
				_, pattern := mux.Handler(req)
				require.Equal(t, known[method+" "+r.Path], pattern != "", "%s %s", method, r.Path)
			}
		}
	}
}

func TestOptionsHasNoCORS(t *testing.T) {
	s := serve(t, fixture(t), nil)
	req, err := http.NewRequest(http.MethodOptions, s.URL+"/api/v1/query", nil)
	require.NoError(t, err)
	req.Header.Set("Origin", "https://elsewhere.example")
	resp := s.do(t, req)
	require.Equal(t, 204, resp.StatusCode)
	require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
}

func TestAdmin(t *testing.T) {
	s := serve(t, fixture(t), nil)
	require.Equal(t, 204, s.post(t, "POST", `/api/v1/admin/tsdb/delete_series?match[]=up&match[]={a=~"x.*"}&start=1&end=2`).StatusCode)
	require.Equal(t, 204, s.post(t, "PUT", "/api/v1/admin/tsdb/clean_tombstones").StatusCode)
	require.Equal(t, 204, s.post(t, "POST", "/api/v1/admin/storage/flush").StatusCode)
	require.Equal(t, []string{`delete __name__="up"`, `delete a=~"x.*"`, "clean", "flush"}, s.calls)
	resp := s.post(t, "POST", "/api/v1/admin/tsdb/snapshot?skip_head=true")
	require.Equal(t, `{"status":"success","data":{"name":"20260101T000000Z-skipped"}}`, resp.body)
	require.Equal(t, 405, s.get(t, "/api/v1/admin/tsdb/clean_tombstones").StatusCode)
}

func TestAdminRefused(t *testing.T) {
	off := serve(t, fixture(t), func(o *api.Options) { o.Admin.Enabled = false })
	on := serve(t, fixture(t), nil)
	for _, path := range []string{"tsdb/delete_series?match[]=up", "tsdb/clean_tombstones", "tsdb/snapshot", "storage/flush", "storage/seal"} {
		resp := off.post(t, "POST", "/api/v1/admin/"+path)
		require.Equal(t, 403, resp.StatusCode)
		require.Equal(t, `{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}`, resp.body)

		name, _, _ := strings.Cut(path, "?")
		req, err := http.NewRequest("POST", on.URL+"/api/v1/admin/"+name, strings.NewReader("match[]=up"))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		require.Equal(t, 403, on.do(t, req).StatusCode, "a page of another site")
	}
	require.Empty(t, off.calls)
	require.Empty(t, on.calls)
}

func TestNotReady(t *testing.T) {
	var ready atomic.Bool
	s := serve(t, fixture(t), func(o *api.Options) { o.Ready = ready.Load })
	requireError(t, s.get(t, "/api/v1/query?query=1"), "GET", 503, "unavailable", "starting", s, "/query?query=1")
	require.Equal(t, "1", s.get(t, "/federate").Header.Get("Retry-After"))
	require.Equal(t, 200, s.get(t, "/api/v1/status/walreplay").StatusCode)
	ready.Store(true)
	require.Equal(t, 200, s.get(t, "/api/v1/query?query=1").StatusCode)
}

func TestPanic(t *testing.T) {
	s := serve(t, fixture(t), func(o *api.Options) {
		o.Status.Config = func() string { panic("no config; secret=1") }
	})
	resp := s.get(t, "/api/v1/status/config")
	require.Equal(t, 500, resp.StatusCode)
	require.Equal(t, `{"status":"error","errorType":"internal","error":"unexpected error, see the log of the node"}`, resp.body)
	require.NoError(t, testutil.GatherAndCompare(s.reg, strings.NewReader(`
# HELP barograph_http_panics_total Panics of handlers that were answered with status 500.
# TYPE barograph_http_panics_total counter
barograph_http_panics_total 1
`), "barograph_http_panics_total"))
}

func TestStorageFails(t *testing.T) {
	store := fixture(t)
	s := serve(t, store, nil)
	for err, want := range map[error]int{
		errors.New("disk is gone"): 500,
		context.Canceled:           499,
		context.DeadlineExceeded:   503,
	} {
		store.err = err
		for _, target := range []string{"query?query=up", "query_range?query=up&start=0&end=1&step=1", "series?match[]=up", "series?match[]=up&match[]=x", "labels", "label/a/values", "query_exemplars?query=up"} {
			require.Equal(t, want, s.get(t, "/api/v1/"+target).StatusCode, "%s: %s", err, target)
		}
		require.Equal(t, want, s.get(t, "/federate?match[]=up").StatusCode)
	}
}

// TestLarge is an answer that goes out in pieces, plain and compressed.
func TestLarge(t *testing.T) {
	store := &memory{}
	for i := range 300 {
		name := strings.Repeat(string(rune('a'+i%26)), 1+i)
		store.add(t, labels.FromStrings("__name__", "large", "n", name), floats(0, 1000, make([]float64, 100)...)...)
	}
	s := serve(t, store, nil)
	const target = "/api/v1/query_range?query=large&start=0&end=1000&step=1"
	plain := s.get(t, target)
	require.Greater(t, len(plain.body), 1<<20)
	require.True(t, strings.HasSuffix(plain.body, "]]}]}}"))
	require.Empty(t, plain.Header.Get("Content-Encoding"))

	req, err := http.NewRequest("GET", s.URL+target, nil)
	require.NoError(t, err)
	req.Header.Set("Accept-Encoding", "deflate, gzip;q=0.5")
	zipped := s.do(t, req)
	require.Equal(t, "gzip", zipped.Header.Get("Content-Encoding"))
	require.Equal(t, "Accept-Encoding", zipped.Header.Get("Vary"))
	r, err := gzip.NewReader(strings.NewReader(zipped.body))
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, plain.body, string(text))
	require.Less(t, len(zipped.body), len(text)/4)
}

func TestNotZipped(t *testing.T) {
	s := serve(t, fixture(t), nil)
	for _, accept := range []string{"gzip", "gzip;q=0", "br", "identity"} {
		req, err := http.NewRequest("GET", s.URL+"/api/v1/query?query=1&time=1", nil)
		require.NoError(t, err)
		req.Header.Set("Accept-Encoding", accept)
		resp := s.do(t, req)
		require.Empty(t, resp.Header.Get("Content-Encoding"), "small, or not wanted")
		require.NotEmpty(t, resp.Header.Get("Content-Length"))
	}
}

// TestClientLeaves holds a client that goes away in the middle of an answer: nothing hangs.
func TestClientLeaves(t *testing.T) {
	store := &memory{}
	for i := range 400 {
		store.add(t, labels.FromStrings("__name__", "large", "n", strings.Repeat("x", i)), floats(0, 1000, make([]float64, 100)...)...)
	}
	s := serve(t, store, nil)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/api/v1/query_range?query=large&start=0&end=10000&step=1", nil)
	require.NoError(t, err)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := s.Client().Do(req)
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 1<<10))
	require.NoError(t, err)
	cancel()
	resp.Body.Close()
	require.Eventually(t, func() bool { return gauge(t, s, "barograph_http_requests_in_flight") == 0 }, waitFor, tick)
}

func TestFormTooLarge(t *testing.T) {
	s := serve(t, fixture(t), func(o *api.Options) { o.MaxFormBytes = 1000 })
	resp := s.post(t, "POST", "/api/v1/query?query="+strings.Repeat("x", 2000))
	require.Equal(t, 413, resp.StatusCode)
	require.Contains(t, resp.body, "request body too large")
}

func TestOptionsValidate(t *testing.T) {
	_, err := api.New(api.Options{})
	require.ErrorContains(t, err, "no engine")
	_, err = api.New(api.Options{Engine: serve(t, &memory{}, nil).engine, MaxReads: -1})
	require.ErrorContains(t, err, "negative")
}
