package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// promtool runs Debian's, and returns whether it was content and what it said. Without one the test is
// skipped.
func promtool(t *testing.T, args ...string) (content bool, said string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool is installed (Debian's package prometheus)")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return err == nil, string(out)
}

// Each test file has the verdict that its name says, ours and promtool's.
func TestRulesTestVerdicts(t *testing.T) {
	files, err := filepath.Glob("testdata/rules/*_test.yml")
	require.NoError(t, err)
	newer, err := filepath.Glob("testdata/rules/newer/*_test.yml") // What Debian's promtool is too old for.
	require.NoError(t, err)
	require.NotEmpty(t, files)
	require.NotEmpty(t, newer)
	for _, f := range append(files, newer...) {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			good := strings.HasPrefix(filepath.Base(f), "good_")
			code, out, errOut := do("rules", "test", f)
			require.Equal(t, good, code == 0, "%s%s", out, errOut)
			require.Equal(t, good, !strings.Contains(errOut, "FAILED"))
			require.Equal(t, good, strings.Contains(out, "SUCCESS"))
			if filepath.Base(filepath.Dir(f)) == "newer" {
				t.Skip("Debian's promtool does not know of this yet")
			}
			content, said := promtool(t, "test", "rules", f)
			require.Equal(t, good, content, said)
		})
	}
}

func TestRulesTestOutput(t *testing.T) {
	code, _, errOut := do("rules", "test", "testdata/rules/bad_alerts_test.yml", "testdata/rules/bad_value_test.yml")
	require.Equal(t, 1, code)
	require.Equal(t, `  FAILED:
    name: wrong,
    alertname: InstanceDown, time: 5m, 
        exp:[
            0:
              Labels:{alertname="InstanceDown", instance="a", job="web", severity="page"}
              Annotations:{summary="b of web is down", value="0"}
            ], 
        got:[
            0:
              Labels:{alertname="InstanceDown", instance="a", job="web", severity="page"}
              Annotations:{summary="a of web is down", value="0"}
            ]

  FAILED:
    expr: "x", time: 2m,
        exp: {__name__="x"} 2E+00
        got: {__name__="x"} 3E+00

`, errOut)
	_, said := promtool(t, "test", "rules", "testdata/rules/bad_alerts_test.yml", "testdata/rules/bad_value_test.yml")
	for line := range strings.Lines(errOut) {
		require.Contains(t, said, strings.TrimSpace(line))
	}
}

func TestRulesTestRun(t *testing.T) {
	code, out, errOut := do("rules", "test", "--run=^other$", "--run=none", "testdata/rules/bad_alerts_test.yml")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "SUCCESS")
	code, _, _ = do("rules", "test", "--run=^wrong$", "testdata/rules/bad_alerts_test.yml")
	require.Equal(t, 1, code)
	code, _, errOut = do("rules", "test", "--run=(", "testdata/rules/bad_alerts_test.yml")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "--run: ")
}

func TestCheckRules(t *testing.T) {
	code, out, errOut := do("check", "rules", "testdata/rules/site.rules.yml", "testdata/rules/clash.rules.yml")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, "testdata/rules/site.rules.yml: 5 rules found\n"+
		"testdata/rules/clash.rules.yml: 2 rules found\n"+
		"testdata/rules/clash.rules.yml: warning: there is more than one rule twice{}\n", out)
	code, out, errOut = do("check", "rules", "testdata/rules/broken.rules.yml", "testdata/rules/none.yml")
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Contains(t, errOut, `testdata/rules/broken.rules.yml:5:15: group "broken", rule 1, "x": could not parse expression: `)
	require.Contains(t, errOut, "testdata/rules/none.yml: open testdata/rules/none.yml: no such file or directory\n")
	for f, good := range map[string]bool{"site": true, "clash": true, "broken": false} {
		content, said := promtool(t, "check", "rules", "testdata/rules/"+f+".rules.yml")
		require.Equal(t, good, content, said)
	}
}
