package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	_ "github.com/barograph-db/barograph/cmd/barograph/node" // So that go test runs these again when it has changed.
)

// binary is the barograph under test, built once.
var binary string

func TestMain(m *testing.M) {
	if addr := os.Getenv(writerEnv); addr != "" {
		if err := writeSteadily(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "barograph-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "barograph")
	build := exec.Command("go", "build", "-o", binary, "github.com/barograph-db/barograph/cmd/barograph")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build barograph:", err)
		os.Exit(1)
	}
	code := m.Run()
	client.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

var client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}

// installed skips the test where a program is missing.
func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	return path
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// process is a program that a test started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// launch starts a program, whose output is kept beside dir, and waits until url answers 200. It is
// gone at the end of the test.
func launch(t *testing.T, url, log, path string, args ...string) *process {
	t.Helper()
	return launchCommand(t, url, log, exec.Command(path, args...))
}

func launchCommand(t *testing.T, url, log string, cmd *exec.Cmd) *process {
	t.Helper()
	path := cmd.Path
	logTo(t, cmd, log)
	require.NoError(t, cmd.Start())
	p := adopt(t, cmd)
	eventually(t, time.Minute, path+" is ready", func() bool {
		resp, err := client.Get(url)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// logTo keeps what the command prints, and shows the end of it if the test fails.
func logTo(t *testing.T, cmd *exec.Cmd, log string) {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	t.Cleanup(func() {
		out.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log)
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), text[max(0, len(text)-4000):])
		}
	})
}

// adopt waits for a process that was started, and ends it with the test.
func adopt(t *testing.T, cmd *exec.Cmd) *process {
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// terminate ends the program as an operator does and returns its exit code.
func (p *process) terminate() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// barograph starts a node on dir.
func barograph(t *testing.T, dir, addr string, args ...string) *process {
	t.Helper()
	args = append([]string{"serve", "--storage.path=" + dir, "--web.listen-address=" + addr}, args...)
	return launch(t, "http://"+addr+"/-/ready", dir+".log", binary, args...)
}

// eventually waits for a condition and fails the test when it does not come.
func eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, within)
		case <-tick.C:
		}
	}
}
