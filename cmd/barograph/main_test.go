package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// binary is the program itself, built once: signals, locks and exit codes are a process' matter.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "barograph-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "barograph")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build barograph: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// do runs a command line in this process.
func do(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, streams{out: &out, err: &errs})
	return code, out.String(), errs.String()
}

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		args        []string
		code        int
		out, errOut string
	}{
		{[]string{"version"}, 0, "barograph, version", ""},
		{[]string{"--help"}, 0, "A Prometheus-compatible time-series database.", ""},
		{[]string{"serve", "--help"}, 0, "--storage.path", ""},
		{[]string{"check", "config", "--help"}, 0, "Configuration files.", ""},
		{nil, 0, "serve [<flags>]", ""},
		{[]string{"query"}, 2, "", "barograph: must select a subcommand of 'query'"},
		{[]string{"fly"}, 2, "", `barograph: expected command but got "fly"`},
		{[]string{"serve", "--wings"}, 2, "", "barograph: unknown long flag '--wings'"},
		{[]string{"serve", "--storage.retention=long"}, 2, "", `"long" is not a duration`},
		{[]string{"serve", "--storage.retention-size=big"}, 2, "", `"big" is not a size`},
		{[]string{"serve", "--storage.wal-sync=maybe"}, 2, "", "batch"},
		{[]string{"serve", "--query.max-samples=-1"}, 1, "", "barograph: --query.max-samples must not be negative"},
		{[]string{"serve", "--config.file=/does/not/exist"}, 1, "", "barograph: read the configuration (--config.file): open /does/not/exist: no such file or directory\n"},
		{[]string{"serve", "--web.config.file=/does/not/exist"}, 1, "", "barograph: --web.config.file=/does/not/exist: "},
		{[]string{"serve", "--web.listen-address=nonsense"}, 1, "", "barograph: --web.listen-address=nonsense: "},
		{[]string{"query", "instant", "--url=localhost", "up"}, 1, "", `barograph: --url: "localhost" is not the address of a server`},
		{[]string{"query", "instant", "--time=noon", "up"}, 1, "", `barograph: --time: "noon" is neither RFC 3339 nor seconds`},
		{[]string{"query", "range", "--start=2", "--end=1", "up"}, 1, "", "barograph: --end is before --start"},
		{[]string{"query", "range", "--step=0", "up"}, 1, "", `barograph: --step: "0" is not a duration`},
		{[]string{"import", "/does/not/exist"}, 1, "", "barograph: import: open /does/not/exist"},
		{[]string{"import", "--label=x", os.DevNull}, 1, "", `barograph: --label: "x" is not name=value`},
	} {
		code, out, errOut := do(tc.args...)
		require.Equal(t, tc.code, code, "%q: %s", tc.args, errOut)
		require.Contains(t, out, tc.out, "%q", tc.args)
		require.Contains(t, errOut, tc.errOut, "%q", tc.args)
	}
}

func TestCheckConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good := write("good.yml", "scrape_configs: [{job_name: a}]\n")
	bad := write("bad.yml", "global:\n  one: 1\nbarograph:\n  two: 2\n")

	code, out, errOut := do("check", "config", good)
	require.Equal(t, 0, code, errOut)
	require.Equal(t, good+": the configuration is valid\n"+good+": note: scrape_configs is accepted, but has no effect in this version\n", out)

	code, _, errOut = do("check", "config", good, bad, filepath.Join(dir, "none.yml"))
	require.Equal(t, 1, code)
	require.Contains(t, errOut, bad+`:2: unknown key "one" in global`+"\n"+bad+`:4: unknown key "two" in barograph`+"\n")
	require.Contains(t, errOut, "none.yml: ")
}
