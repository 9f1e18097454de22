package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a node in a process of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    *syncBuffer
	client *http.Client
	url    string
	done   chan struct{}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// serving starts a node on dir and waits until it is ready.
func serving(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	addr := freeAddress(t)
	p := &process{
		t: t, log: &syncBuffer{}, url: "http://" + addr, done: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second},
	}
	p.cmd = exec.Command(binary, append([]string{"serve", "--storage.path=" + dir, "--web.listen-address=" + addr}, args...)...)
	p.cmd.Stderr = p.log
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		p.client.CloseIdleConnections()
	})
	require.Eventually(t, func() bool { return p.get("/-/ready") != "" }, 20*time.Second, 5*time.Millisecond, "%s", p.log)
	return p
}

// get returns the body of an answer with status 200, else nothing.
func (p *process) get(path string) string {
	resp, err := p.client.Get(p.url + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

func (p *process) signal(s os.Signal) { require.NoError(p.t, p.cmd.Process.Signal(s)) }

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Fatalf("the process does not end\n%s", p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// refused runs a node that is expected not to start, and returns the last line it says.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"serve", "--log.level=error"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	require.Error(t, cmd.Run())
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	require.Len(t, lines, 1, "one clear line: %s", stderr.String())
	return lines[0]
}

func TestTerminate(t *testing.T) {
	dir := t.TempDir()
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := serving(t, dir)
		resp, err := p.client.Post(p.url+"/api/v1/import/prometheus", "text/plain", strings.NewReader("kept{by=\""+s.String()+"\"} 1\n"))
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		p.signal(s)
		require.Equal(t, 0, p.exit(), "%s", p.log)
	}
	p := serving(t, dir)
	require.Contains(t, p.get("/api/v1/query?query=count(kept)"), `"2"]`)
}

// Writes that are under way when the node is told to stop are answered, and whatever was
// acknowledged is there afterwards.
func TestTerminateUnderLoad(t *testing.T) {
	dir := t.TempDir()
	p := serving(t, dir)
	var wg sync.WaitGroup
	acked := make([]int, 4)
	for w := range acked {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			for {
				body := strings.NewReader("load{w=\"" + string(rune('a'+w)) + "\",n=\"" + strings.Repeat("i", acked[w]+1) + "\"} 1\n")
				resp, err := client.Post(p.url+"/api/v1/import/prometheus", "text/plain", body)
				if err != nil {
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
						t.Errorf("status %d without Retry-After", resp.StatusCode)
					}
					return
				}
				acked[w]++
			}
		})
	}
	require.Eventually(t, func() bool { return strings.Contains(p.get("/api/v1/query?query=count(load)>20"), "value") }, 20*time.Second, 10*time.Millisecond)
	p.signal(syscall.SIGTERM)
	require.Equal(t, 0, p.exit(), "%s", p.log)
	wg.Wait()
	p = serving(t, dir)
	for w, n := range acked {
		for i := 1; i <= n; i++ {
			q := `/api/v1/query?query=load{w="` + string(rune('a'+w)) + `",n="` + strings.Repeat("i", i) + `"}`
			require.Contains(t, p.get(q), `"value"`, "writer %d, write %d of %d", w, i, n)
		}
	}
}

func TestHangupReloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "barograph.yml")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("global: {external_labels: {dc: a}}")
	p := serving(t, t.TempDir(), "--config.file="+file)
	shows := func(s string) func() bool {
		return func() bool { return strings.Contains(p.get("/api/v1/status/config"), s) }
	}
	require.True(t, shows("dc: a")())
	write("global: {external_labels: {dc: b}}")
	p.signal(syscall.SIGHUP)
	require.Eventually(t, shows("dc: b"), 10*time.Second, 5*time.Millisecond)
	write("nonsense: 1")
	p.signal(syscall.SIGHUP)
	require.Eventually(t, func() bool {
		return strings.Contains(p.get("/metrics"), "\nbarograph_config_last_reload_successful 0\n")
	}, 10*time.Second, 5*time.Millisecond)
	require.True(t, shows("dc: b")())
	require.Contains(t, p.log.String(), `:1: unknown key \"nonsense\"`)
}

func TestRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	p := serving(t, dir)
	line := refused(t, "--storage.path="+dir, "--web.listen-address=127.0.0.1:0")
	require.Contains(t, line, "--storage.path="+dir+": data directory is in use by another process")

	addr := strings.TrimPrefix(p.url, "http://")
	line = refused(t, "--storage.path="+t.TempDir(), "--web.listen-address="+addr)
	require.Equal(t, "barograph: --web.listen-address="+addr+" is in use by another process", line)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("x: 1\n"), 0o600))
	line = refused(t, "--storage.path="+file, "--web.listen-address=127.0.0.1:0")
	require.Contains(t, line, "--storage.path="+file+": ")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "x: 1\n", string(text), "the file is as it was")

	line = refused(t, "--config.file="+file, "--storage.path="+dir, "--web.listen-address=127.0.0.1:0")
	require.Equal(t, "barograph: "+file+`:1: unknown key "x"`, line)
}

// A process that may open few files limits its connections instead of failing.
func TestFewFiles(t *testing.T) {
	addr := freeAddress(t)
	var log syncBuffer
	cmd := exec.Command("sh", "-c", `ulimit -n 64; exec "$0" "$@"`, binary, "serve", "--storage.path="+t.TempDir(), "--web.listen-address="+addr)
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	healthy := func() bool {
		resp, err := client.Get("http://" + addr + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	require.Eventually(t, healthy, 20*time.Second, 5*time.Millisecond, "%s", &log)
	require.Contains(t, log.String(), "connections=32")
	var conns []net.Conn
	for range 100 {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		conns = append(conns, c)
	}
	for _, c := range conns {
		c.Close()
	}
	require.Eventually(t, healthy, 20*time.Second, 5*time.Millisecond, "%s", &log)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
}
