package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler/rules"
)

const file = `
groups:
- name: first
  interval: 15s
  query_offset: 5s
  limit: 7
  labels: {team: a, severity: low}
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: Down
    expr: up == 0
    for: 5m
    keep_firing_for: 10m
    labels: {severity: page}
    annotations: {summary: "{{ $labels.instance }} is down"}
  - alert: Down
    expr: up == 0 and on () vector(1)
    labels: {severity: page}
- name: second
  rules: []
`

func parse(t *testing.T, text string, o rules.Options) []*rules.Group {
	texts, err := rules.File([]byte(text), o)
	require.NoError(t, err)
	var groups []*rules.Group
	for _, text := range texts {
		g, err := rules.Parse("ns", text, o)
		require.NoError(t, err)
		groups = append(groups, g)
	}
	return groups
}

func TestFile(t *testing.T) {
	groups := parse(t, file, rules.Options{Interval: 30 * time.Second, QueryOffset: time.Second})
	require.Len(t, groups, 2)
	g := groups[0]
	require.Equal(t, "ns;first", g.Key.String())
	require.Equal(t, []any{15 * time.Second, 5 * time.Second, 7}, []any{g.Interval, g.QueryOffset, g.Limit})
	require.Equal(t, []rules.Kind{rules.Recording, rules.Alerting, rules.Alerting}, []rules.Kind{g.Rules[0].Kind, g.Rules[1].Kind, g.Rules[2].Kind})
	require.Equal(t, labels.FromStrings("severity", "low", "team", "a"), g.Rules[0].Labels)
	require.Equal(t, labels.FromStrings("severity", "page", "team", "a"), g.Rules[1].Labels)
	require.Equal(t, []time.Duration{5 * time.Minute, 10 * time.Minute}, []time.Duration{g.Rules[1].For, g.Rules[1].KeepFiringFor})
	require.Equal(t, "{{ $labels.instance }} is down", g.Rules[1].Annotations.Get("summary"))
	require.NotEqual(t, g.Rules[1].ID, g.Rules[2].ID, "they are alike and two")
	require.Equal(t, []any{30 * time.Second, time.Second}, []any{groups[1].Interval, groups[1].QueryOffset})
}

// A rule is the same rule as long as its kind, name and labels are.
func TestIDs(t *testing.T) {
	before := parse(t, file, rules.Options{})[0].Rules
	after := parse(t, strings.NewReplacer("for: 5m", "for: 6m", "expr: up == 0\n", "expr: up != 1\n").Replace(file), rules.Options{})[0].Rules
	for i := range before {
		require.Equal(t, before[i].ID, after[i].ID)
	}
	other := parse(t, strings.Replace(file, "severity: page", "severity: mail", 1), rules.Options{})[0].Rules
	require.NotEqual(t, before[1].ID, other[1].ID)
}

func TestTimestamps(t *testing.T) {
	g := parse(t, file, rules.Options{})[0]
	const step = 15_000
	first := g.At(1_700_000_000_000)
	for at := first; at < first+3*step; at += 997 {
		last := g.At(at)
		require.Zero(t, (last-first)%step)
		require.LessOrEqual(t, last, at)
		require.Greater(t, last+step, at)
		require.Equal(t, last+step, g.Next(at))
	}
	require.Equal(t, first, g.At(first))
	require.LessOrEqual(t, g.At(-3), int64(-3))
	require.Greater(t, g.Next(-3), int64(-3))
	other := parse(t, strings.Replace(file, "name: first", "name: third", 1), rules.Options{})[0]
	require.NotEqual(t, first%step, other.At(first)%step, "groups are spread over the interval")
}

func TestBadFiles(t *testing.T) {
	long := strings.Repeat("x", 100)
	for name, c := range map[string]struct{ text, err string }{
		"no YAML":             {"groups: [", "did not find"},
		"an unknown key":      {"groups:\n- name: a\n  foo: 1\n  rules: []", "foo"},
		"an expression":       {"groups:\n- name: a\n  rules:\n  - record: b\n    expr: sum(", "5:11"},
		"neither":             {"groups:\n- name: a\n  rules:\n  - expr: up", "must be set"},
		"both":                {"groups:\n- name: a\n  rules:\n  - {record: b, alert: c, expr: up}", "only one"},
		"for when recording":  {"groups:\n- name: a\n  rules:\n  - {record: b, expr: up, for: 1m}", "'for'"},
		"a name twice":        {"groups:\n- {name: a, rules: []}\n- {name: a, rules: []}", "repeated"},
		"a template":          {"groups:\n- name: a\n  rules:\n  - {alert: b, expr: up, annotations: {c: '{{ nosuch }}'}}", "nosuch"},
		"a limit":             {"groups:\n- {name: a, limit: -1, rules: []}", "limit of -1"},
		"too many groups":     {"groups:\n- {name: a, rules: []}\n- {name: b, rules: []}\n- {name: c, rules: []}", "3 groups"},
		"too many rules":      {"groups:\n- name: a\n  rules:\n  - {record: b, expr: up}\n  - {record: c, expr: up}\n  - {record: d, expr: up}", "3 rules"},
		"too long a template": {"groups:\n- name: a\n  rules:\n  - {alert: b, expr: up, annotations: {c: " + long + "}}", "100 bytes"},
		"too long":            {"groups:\n- {name: a, rules: []}\n# " + strings.Repeat(long, 20), "bytes, and 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rules.File([]byte(c.text), rules.Options{MaxGroups: 2, MaxRules: 2, MaxTemplate: 50, MaxBytes: 1000})
			require.ErrorContains(t, err, c.err)
		})
	}
}

func TestSingle(t *testing.T) {
	text, err := rules.Single([]byte("name: a\ninterval: 1m\nrules:\n- record: b\n  expr: up\n"), rules.Options{})
	require.NoError(t, err)
	require.Equal(t, "a", text.Name)
	g, err := rules.Parse("team", text, rules.Options{})
	require.NoError(t, err)
	require.Equal(t, time.Minute, g.Interval)
	for _, bad := range []string{"", "rules: []", "name: a\nrules: [{record: b}]", "name: a\nfoo: 1", strings.Repeat("#", 5<<20)} {
		_, err := rules.Single([]byte(bad), rules.Options{})
		require.Error(t, err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	a, b := write("a.yml", file), write("b.yml", "groups: []")
	got, err := rules.Load([]string{filepath.Join(dir, "*.yml"), a}, rules.Options{})
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, []string{a, b}, []string{got[0].Path, got[1].Path})
	require.Len(t, got[0].Groups, 2)

	write("c.yml", "groups: [")
	_, err = rules.Load([]string{filepath.Join(dir, "*.yml")}, rules.Options{})
	require.ErrorContains(t, err, "c.yml")
	_, err = rules.Load([]string{"[" + dir}, rules.Options{})
	require.ErrorContains(t, err, "syntax error in pattern")
}

func FuzzFile(f *testing.F) {
	f.Add(file)
	f.Add("groups:\n- {name: a, rules: [{alert: b, expr: up, for: 1m}]}")
	f.Fuzz(func(t *testing.T, text string) {
		texts, err := rules.File([]byte(text), rules.Options{})
		if err != nil {
			return
		}
		for _, text := range texts {
			g, err := rules.Parse("ns", text, rules.Options{})
			require.NoError(t, err)
			require.Greater(t, g.Next(0), int64(0))
		}
	})
}
