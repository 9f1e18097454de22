package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// memoryLimit bounds the memory of programs that it starts.
type memoryLimit struct {
	how  string
	wrap func(cmd *exec.Cmd)
	// kills is how many processes the kernel has ended for going beyond; the limit has to be one that
	// counts them.
	kills func(t *testing.T) int
	// peak is the most memory that was in use, 0 if nobody knows.
	peak func() int64
}

// limitMemory makes a limit of so many bytes: by a control group of either version where the test
// may make one, else by the size of the process's data. In place of being killed a process then
// gets no memory, which ends a Go program as surely.
func limitMemory(t *testing.T, limit int64) memoryLimit {
	t.Helper()
	if l, ok := controlGroup(t, limit); ok {
		return l
	}
	// The runtime maps arenas of 64 MiB at once, of which parts may not be in use.
	data := limit + 256<<20
	return memoryLimit{
		how: fmt.Sprintf("ulimit -d %d", data>>10),
		wrap: func(cmd *exec.Cmd) {
			shell(cmd, fmt.Sprintf("ulimit -d %d && exec \"$@\"", data>>10))
			cmd.Env = append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", limit/10*9))
		},
		kills: func(*testing.T) int { return 0 },
		peak:  func() int64 { return 0 },
	}
}

// shell has a shell run the command in place of itself once the script has prepared everything.
func shell(cmd *exec.Cmd, script string) {
	cmd.Args = append([]string{"sh", "-c", script, cmd.Path}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path = "/bin/sh"
}

// controlGroup makes a group with the limit.
func controlGroup(t *testing.T, limit int64) (memoryLimit, bool) {
	t.Helper()
	for _, g := range []struct{ root, limit, kills, peak string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control", "memory.max_usage_in_bytes"},
		{"/sys/fs/cgroup", "memory.max", "memory.events", "memory.peak"},
	} {
		dir := filepath.Join(g.root, fmt.Sprintf("barograph-test-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if os.WriteFile(filepath.Join(dir, g.limit), strconv.AppendInt(nil, limit, 10), 0o644) != nil {
			continue // The group is not there for memory.
		}
		_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0o644) // Where there is swap.
		return memoryLimit{
			how: "control group " + dir,
			wrap: func(cmd *exec.Cmd) {
				shell(cmd, fmt.Sprintf("echo $$ > %s/cgroup.procs && exec \"$@\"", dir))
			},
			kills: func(t *testing.T) int {
				text, err := os.ReadFile(filepath.Join(dir, g.kills))
				require.NoError(t, err)
				for line := range strings.Lines(string(text)) {
					var n int
					if _, err := fmt.Sscanf(line, "oom_kill %d", &n); err == nil {
						return n
					}
				}
				return 0
			},
			peak: func() int64 {
				text, _ := os.ReadFile(filepath.Join(dir, g.peak))
				n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
				return n
			},
		}, true
	}
	return memoryLimit{}, false
}
