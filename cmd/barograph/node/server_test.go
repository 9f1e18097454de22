package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A closed gate turns new requests away, waits for those inside, and gives up on slow ones.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		release := make(chan struct{})
		h := g.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		serve := func() int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
			return w.Code
		}
		inside := make(chan int, 1)
		go func() { inside <- serve() }()
		synctest.Wait()

		closed := make(chan bool, 1)
		go func() { closed <- g.close(time.Minute) }()
		synctest.Wait()
		require.Equal(t, http.StatusServiceUnavailable, serve())
		require.Empty(t, closed)
		close(release)
		require.True(t, <-closed)
		require.Equal(t, http.StatusOK, <-inside)
		require.Equal(t, http.StatusServiceUnavailable, serve())
	})
	synctest.Test(t, func(t *testing.T) {
		var g gate
		release := make(chan struct{})
		h := g.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		go h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil))
		synctest.Wait()
		require.False(t, g.close(time.Second))
		close(release)
	})
}

func dial(t *testing.T, r *running) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.node.Addresses()[0].String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return c
}

// get asks over the connection and returns the status; 0 when the server has closed it.
func get(t *testing.T, c net.Conn) int {
	t.Helper()
	if _, err := fmt.Fprint(c, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestConnectionLimit(t *testing.T) {
	r := start(t, config(t, "barograph: {web: {max_connections: 2}}"))
	a, b := dial(t, r), dial(t, r)
	require.Equal(t, 200, get(t, a))
	require.Equal(t, 200, get(t, b))
	require.Equal(t, 0, get(t, dial(t, r)), "a third one is closed at once")
	require.Equal(t, 200, get(t, a), "the others go on")
	a.Close()
	require.Eventually(t, func() bool { return get(t, dial(t, r)) == 200 }, 10*time.Second, 10*time.Millisecond)
}

func TestMaxConnections(t *testing.T) {
	require.Equal(t, 4096, maxConnections(4096, 0), "unknown")
	require.Equal(t, 4096, maxConnections(4096, 1<<20))
	require.Equal(t, 512, maxConnections(4096, 1024))
	require.Equal(t, 1, maxConnections(4096, 1))
}

func TestSlowClientsAreCutOff(t *testing.T) {
	r := start(t, config(t, "barograph: {web: {header_timeout: 50ms, body_timeout: 50ms}}"))
	for name, request := range map[string]string{
		"header": "GET / HTTP/1.1\r\nHost: x\r\n",
		"body":   "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nquery=",
	} {
		c := dial(t, r)
		_, err := io.WriteString(c, request)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, c) // Until the server closes; the deadline of dial would be an error.
		require.NoError(t, err, name)
	}
}

// A query may run for longer than its body may take to come.
func TestBodyDeadlineEndsWithTheBody(t *testing.T) {
	s := httptest.NewServer(bodyDeadline(20*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			w.WriteHeader(http.StatusInternalServerError)
		case <-time.After(100 * time.Millisecond):
		}
	})))
	defer s.Close()
	resp, err := s.Client().Post(s.URL, "text/plain", http.NoBody)
	require.NoError(t, err)
	resp.Body.Close()
	resp, err = s.Client().Post(s.URL, "text/plain", io.LimitReader(zeros{}, 1000))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Users of the web configuration file are asked for on every URL.
func TestUsers(t *testing.T) {
	cfg := config(t, "")
	cfg.Web.ConfigFile = filepath.Join(t.TempDir(), "web.yml")
	const hash = "$2b$04$ZLFHkfMEmnB/oTC6M6nqIOwb/8hi1OQRlvDeUDLeBvk1v1P2tYV4O" // of "secret"
	require.NoError(t, os.WriteFile(cfg.Web.ConfigFile, []byte("basic_auth_users: {me: '"+hash+"'}\n"), 0o600))
	r := start(t, cfg)
	for _, path := range []string{"/", "/-/healthy", "/metrics", "/api/v1/query?query=1", "/prometheus/api/v1/labels"} {
		require.Equal(t, http.StatusUnauthorized, r.status(http.MethodGet, path), path)
		resp, _ := r.do(http.MethodGet, path, "", "Authorization", "Basic bWU6c2VjcmV0")
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
	}
}
