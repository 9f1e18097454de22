package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// Two real Prometheus servers scrape the same and write as an HA pair; the elected one is killed. What
// is stored is of one at a time: no sample is doubled, no counter resets, and the gap is a failover and
// an interval at most, and what a sender and the clocks need.
func TestPairOfPrometheus(t *testing.T) {
	program := installed(t, "prometheus")
	dir := t.TempDir()
	addr := freeAddr(t)
	own := filepath.Join(dir, "barograph.yml")
	require.NoError(t, os.WriteFile(own, []byte("barograph: {ha: {enabled: true, failover: 8s}}\n"), 0o644))
	barograph(t, filepath.Join(dir, "data"), addr, "--config.file="+own)
	const interval = time.Second
	start := func(replica string) *process {
		promAddr := freeAddr(t)
		config := filepath.Join(dir, replica+".yml")
		require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: %s, external_labels: {cluster: pair, __replica__: %s}}
remote_write:
- url: http://%s/api/v1/write
  queue_config: {batch_send_deadline: 500ms}
scrape_configs:
- job_name: target
  static_configs: [{targets: [%q]}]
`, interval, replica, addr, addr), 0o644))
		return launch(t, "http://"+promAddr+"/-/ready", filepath.Join(dir, replica+".log"), program,
			"--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, replica), "--web.listen-address="+promAddr)
	}
	ours := newAPI(t, addr)
	ctx := context.Background()
	query := func(q string) model.Value {
		t.Helper()
		v, _, _, err := ours.Query(ctx, q, time.Now())
		require.NoError(t, err)
		return v
	}
	// one is the value of a query with one series, which is zero if there is none.
	one := func(q string) float64 {
		t.Helper()
		v := query(q).(model.Vector)
		if len(v) == 0 {
			return 0
		}
		require.Len(t, v, 1, q)
		return float64(v[0].Value)
	}
	const up = `up{job="target"}`
	a := start("a")
	eventually(t, time.Minute, "the first is stored", func() bool { return one("count_over_time("+up+"[5m])") >= 3 })
	start("b")
	const left = `barograph_dedup_left_out_samples_total{cluster="pair",job="target"}`
	eventually(t, time.Minute, "the second is left out", func() bool { return one("count_over_time("+left+"[5m])") >= 5 && one(left) > 1000 })

	a.kill()
	killed := time.Now()
	eventually(t, time.Minute, "the second takes over", func() bool {
		since := time.Since(killed.Add(2 * time.Second)).Milliseconds()
		return since > 0 && one(fmt.Sprintf("count_over_time(%s[%dms])", up, since)) >= 8
	})

	matrix := query(up + "[10m]").(model.Matrix)
	require.Len(t, matrix, 1, "both replicas' samples are one series")
	require.Equal(t, model.LabelValue("pair"), matrix[0].Metric["cluster"])
	require.NotContains(t, matrix[0].Metric, model.LabelName("__replica__"))
	var longest time.Duration
	gaps, last := 0, matrix[0].Values[0]
	for _, v := range matrix[0].Values[1:] {
		d := v.Timestamp.Sub(last.Timestamp)
		require.Greater(t, d, interval/2, "no sample is doubled")
		// Of what the second sends with its first request taken, the oldest samples are earlier than the
		// request by as long as its sender waited: the gap may be that much shorter than the failover.
		if d > 4*time.Second {
			gaps++
		}
		longest, last = max(longest, d), v
	}
	require.Equal(t, 1, gaps, "one failover")
	require.LessOrEqual(t, longest, 8*time.Second+interval+3*time.Second)
	t.Logf("the gap is %s", longest)
	for _, counter := range []string{"barograph_ingest_written_total", "barograph_http_connections_total", "process_cpu_seconds_total", "go_memstats_alloc_bytes_total"} {
		require.Zero(t, one(`sum(resets(`+counter+`{job="target"}[10m]))`), "no counter goes back")
	}
	require.Zero(t, one(`sum(barograph_ingest_rejected_samples_total{job="target"})`))
}
