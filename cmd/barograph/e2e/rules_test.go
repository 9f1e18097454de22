package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

// ruleFiles writes a configuration with these rules, and an Alertmanager, and returns its name.
func ruleFiles(t *testing.T, rules, alertmanager string) (config string) {
	t.Helper()
	dir := t.TempDir()
	config = filepath.Join(dir, "barograph.yml")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(rules), 0o600))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
`, alertmanager), 0o600))
	return config
}

// tankLevels is a request with levels of a tank.
func tankLevels(tank string, levels ...prompb.Sample) []byte {
	return encodeWrite(&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "__name__", Value: "level"}, {Name: "tank", Value: tank}},
		Samples: levels,
	}}})
}

const tankRules = `
groups:
- name: tanks
  interval: 1s
  rules:
  - {alert: Low, expr: level < 10, for: 2s}
`

// A real Alertmanager hears of an alert once it has been pending for its time, and of its end.
func TestAlert(t *testing.T) {
	w := newWebhook(t)
	config := ruleFiles(t, tankRules, alertmanager(t, w))
	addr := freeAddr(t)
	barograph(t, filepath.Join(t.TempDir(), "data"), addr, "--config.file="+config)
	a := newAPI(t, addr)
	eventually(t, time.Minute, "rules are evaluated", func() bool {
		r, err := a.Rules(t.Context(), nil)
		return err == nil && len(r.Groups) == 1 && r.Groups[0].Rules[0].(promv1.AlertingRule).Health == promv1.RuleHealthGood
	})
	write := func(level float64) (from, known time.Time) {
		from = time.Now().Truncate(time.Millisecond)
		taken, _ := remoteWrite(addr, tankLevels("one", prompb.Sample{Timestamp: from.UnixMilli(), Value: level}))
		require.True(t, taken)
		return from, time.Now()
	}
	becomes := func(want ...promv1.AlertState) {
		t.Helper()
		eventually(t, 30*time.Second, fmt.Sprint(want), func() bool {
			r, err := a.Alerts(t.Context())
			if err != nil || len(r.Alerts) != len(want) {
				return false
			}
			for i, s := range want {
				if r.Alerts[i].State != s {
					return false
				}
			}
			return true
		})
	}
	hears := func(n int) notification {
		t.Helper()
		eventually(t, 30*time.Second, "a notification", func() bool { return len(w.heard()) >= n })
		return w.heard()[n-1]
	}

	from, known := write(5)
	becomes(promv1.AlertStatePending)
	require.Empty(t, w.heard())
	becomes(promv1.AlertStateFiring)
	n := hears(1)
	require.Equal(t, "firing", n.Status)
	require.Equal(t, map[string]string{"alertname": "Low", "tank": "one"}, n.Labels)
	between(t, from.Add(2*time.Second), known.Add(3*time.Second), n.StartsAt)

	from, known = write(50)
	becomes()
	n = hears(2)
	require.Equal(t, "resolved", n.Status)
	between(t, from, known.Add(time.Second), n.EndsAt)
	require.Len(t, w.heard(), 2)
}

// between fails the test unless a time is one from the first to before the second.
func between(t *testing.T, from, to, at time.Time) {
	t.Helper()
	if at.Before(from) || !at.Before(to) {
		t.Errorf("%s is not from %s to before %s", at, from, to)
	}
}
