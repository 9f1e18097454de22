package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// All threads of a node have the slack, the runtime's own among them.
func TestSlack(t *testing.T) {
	p := serving(t, t.TempDir())
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.cmd.Process.Pid))
	require.NoError(t, err)
	require.NotEmpty(t, threads)
	for _, thread := range threads {
		text, err := os.ReadFile(filepath.Join("/proc", filepath.Base(thread), "timerslack_ns"))
		if errors.Is(err, fs.ErrPermission) {
			t.Skip("the slack of another process can't be read here")
		}
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(slack), strings.TrimSpace(string(text)))
	}
}
