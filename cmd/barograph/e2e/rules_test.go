package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

const regionRules = `
groups:
- name: outlives
  interval: 1s
  rules:
  - {record: recorded, expr: time()}
  - {record: recorded:again, expr: recorded}
  - {alert: Always, expr: vector(1), for: 2s}
`

// The process that evaluates rules is killed: the others go on with each timestamp, and with the alert.
func TestRulesOutliveProcesses(t *testing.T) {
	r := planRegion(t, 3)
	config := filepath.Join(r.dir, "barograph.yml")
	require.NoError(t, os.WriteFile(config, []byte("rule_files: [outlives.yml]"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "outlives.yml"), []byte(regionRules), 0o600))
	r.args = append(r.args, "--config.file="+config)
	r.start()
	alerts := func(n *regionNode) string {
		resp, err := client.Get("http://" + n.web + "/api/v1/alerts")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Sprint(resp.Status, err)
		}
		return string(text)
	}
	for _, n := range r.nodes {
		eventually(t, time.Minute, n.name+" knows that it fires", func() bool { return strings.Contains(alerts(n), `"state":"firing"`) })
	}
	firing := alerts(r.nodes[0])

	s, err := r.status(r.nodes[0])
	require.NoError(t, err)
	var leader, other *regionNode
	for _, n := range r.nodes {
		if own, err := r.status(n); err == nil && own.Self == s.Leader {
			leader = n
		} else {
			other = n
		}
	}
	require.NotNil(t, leader)
	leader.kill()
	killed := time.Now()
	a := newAPI(t, other.web)
	var times []model.Time
	eventually(t, time.Minute, "others evaluate", func() bool {
		v, _, _, err := a.Query(t.Context(), "recorded:again[5m]", time.Now())
		if err != nil || len(v.(model.Matrix)) != 1 {
			return false
		}
		times = nil
		for _, p := range v.(model.Matrix)[0].Values {
			require.InDelta(t, float64(p.Timestamp)/1000, float64(p.Value), 0, "the second rule reads what the first wrote")
			times = append(times, p.Timestamp)
		}
		return times[len(times)-1].Time().After(killed.Add(10 * time.Second))
	})
	require.True(t, slices.IsSorted(times))
	for i := 1; i < len(times); i++ {
		require.Equal(t, model.Time(1000), times[i]-times[i-1], "after %d", times[i-1])
	}
	require.Equal(t, firing, alerts(other))
}
