package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler/rules"
)

const examples = "../../docs/examples/"

// The rules in docs/examples are good, and so are their tests, also by promtool.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(examples + "*.yml")
	require.NoError(t, err)
	var tests, rest []string
	for _, f := range files {
		if strings.HasSuffix(f, "_test.yml") {
			tests = append(tests, f)
		} else {
			rest = append(rest, f)
		}
	}
	require.Len(t, tests, 4)
	code, out, errOut := do(append([]string{"check", "rules"}, rest...)...)
	require.Equal(t, 0, code, errOut)
	require.NotContains(t, out, "warning")
	code, out, errOut = do(append([]string{"rules", "test"}, tests...)...)
	require.Equal(t, 0, code, out+errOut)
	require.NotContains(t, errOut, "WARNING")
	content, said := promtool(t, append([]string{"test", "rules"}, tests...)...)
	require.True(t, content, said)
	content, said = promtool(t, append([]string{"check", "rules"}, rest...)...)
	require.True(t, content, said)
}

// Each alert of the examples is seen to fire in their tests.
func TestExamplesAreTested(t *testing.T) {
	for _, name := range []string{"node", "alertmanager", "flink", "barograph"} {
		groups, err := readRuleFile(examples+name+".alerts.yml", "")
		require.NoError(t, err)
		text, err := os.ReadFile(examples + name + "_test.yml")
		require.NoError(t, err)
		for _, g := range groups {
			for _, r := range g.Rules {
				require.Equal(t, rules.Alerting, r.Kind)
				fires := regexp.MustCompile(`alertname: ` + r.Name + `\n\s+exp_alerts:`)
				require.True(t, fires.Match(text), r.Name)
			}
		}
	}
}

// The metrics in our own alerts are metrics that we have.
func TestExamplesOfOurMetrics(t *testing.T) {
	text, err := os.ReadFile(examples + "barograph.alerts.yml")
	require.NoError(t, err)
	listed, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	known := string(listed)
	all := regexp.MustCompile(`barograph_[a-z_]+`).FindAllString(string(text), -1)
	slices.Sort(all)
	for _, name := range slices.Compact(all) {
		require.True(t, strings.Contains(known, "| `"+name+"` |"), name)
	}
}
