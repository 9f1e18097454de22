package e2e

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// questions of the kind that dashboards of node_exporter and of Prometheus itself ask.
var questions = []string{
	`up`,
	`sum(up)`,
	`count by (job) (up)`,
	`up == 1`,
	`scrape_duration_seconds`,
	`avg_over_time(scrape_duration_seconds[1m])`,
	`max by (job) (scrape_samples_scraped)`,
	`sum(scrape_series_added)`,
	`node_load1`,
	`node_load1 / count without (cpu, mode) (node_cpu_seconds_total{mode="idle"})`,
	`avg_over_time(node_load5[1m])`,
	`node_memory_MemTotal_bytes`,
	`1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes`,
	`node_memory_MemTotal_bytes - node_memory_MemFree_bytes - node_memory_Buffers_bytes - node_memory_Cached_bytes`,
	`rate(node_cpu_seconds_total[1m])`,
	`sum by (mode) (rate(node_cpu_seconds_total[1m]))`,
	`1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[1m]))`,
	`sum by (instance) (irate(node_cpu_seconds_total{mode!="idle"}[1m]))`,
	`topk(3, sum by (cpu) (rate(node_cpu_seconds_total[1m])))`,
	`increase(node_context_switches_total[1m])`,
	`rate(node_intr_total[30s])`,
	`deriv(node_memory_MemFree_bytes[1m])`,
	`predict_linear(node_filesystem_avail_bytes[1m], 3600)`,
	`min by (mountpoint) (node_filesystem_avail_bytes / node_filesystem_size_bytes)`,
	`node_filesystem_size_bytes{fstype!~"tmpfs|overlay"}`,
	`sum without (device) (rate(node_network_receive_bytes_total[1m]))`,
	`rate(node_network_transmit_packets_total{device="lo"}[1m])`,
	`sum(rate(node_disk_io_time_seconds_total[1m]))`,
	`rate(node_disk_read_time_seconds_total[1m]) / rate(node_disk_reads_completed_total[1m])`,
	`node_time_seconds - node_boot_time_seconds`,
	`changes(node_boot_time_seconds[1m])`,
	`resets(node_cpu_seconds_total{cpu="0"}[1m])`,
	`count(node_scrape_collector_success == 1)`,
	`quantile(0.9, node_scrape_collector_duration_seconds)`,
	`bottomk(2, node_scrape_collector_duration_seconds)`,
	`stddev(node_scrape_collector_duration_seconds)`,
	`prometheus_tsdb_head_series`,
	`rate(prometheus_tsdb_head_samples_appended_total[1m])`,
	`histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[1m])))`,
	`histogram_quantile(0.5, rate(prometheus_http_response_size_bytes_bucket[1m]))`,
	`sum by (handler) (rate(prometheus_http_requests_total[1m]))`,
	`rate(prometheus_engine_query_duration_seconds_sum[1m]) / rate(prometheus_engine_query_duration_seconds_count[1m])`,
	`prometheus_engine_query_duration_seconds{quantile="0.99"}`,
	`process_resident_memory_bytes{job="prometheus"} / 1024 / 1024`,
	`rate(process_cpu_seconds_total[1m])`,
	`go_goroutines`,
	`go_memstats_alloc_bytes{job="prometheus"}`,
	`rate(go_gc_duration_seconds_count[1m])`,
	`max_over_time(go_goroutines[1m]) - min_over_time(go_goroutines[1m])`,
	`go_info * on (instance) group_left () up`,
	`label_replace(up, "host", "$1", "instance", "(.*):.*")`,
	`absent(nothing_like_this)`,
	`up offset 30s`,
	`sum_over_time(up[1m:10s])`,
	`max_over_time(sum(rate(node_cpu_seconds_total[30s]))[1m:5s])`,
	`sort_desc(node_scrape_collector_duration_seconds)`,
	`{__name__=~"node_load.*"}`,
	`count({job="node"}) by (__name__)`,
	`quantile_over_time(0.5, node_load1[1m])`,
	`delta(node_load15[1m]) or up`,
	`clamp_max(node_load1, 0.5) unless on (instance) (up == 0)`,
	`hour() >= bool 0`,
	`last_over_time(node_load1[1m])`,
}

// A real Prometheus scrapes a real node_exporter and itself for more than two minutes and
// remote-writes to Barograph: both servers must give the same answers. Prometheus does not send what
// it scraped in its first moments, so no query looks that far back.
func TestSameAnswersAsPrometheus(t *testing.T) {
	prometheus := installed(t, "prometheus")
	exporter := installed(t, "prometheus-node-exporter")
	dir := t.TempDir()
	addr, promAddr, nodeAddr := freeAddr(t), freeAddr(t), freeAddr(t)
	own := filepath.Join(dir, "barograph.yml")
	require.NoError(t, os.WriteFile(own, []byte("barograph: {self_scrape: {enabled: false}}\n"), 0o644))
	barograph(t, filepath.Join(dir, "data"), addr, "--config.file="+own)
	launch(t, "http://"+nodeAddr+"/", filepath.Join(dir, "node.log"), exporter, "--web.listen-address="+nodeAddr)
	config := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 2s}
remote_write:
- url: http://%s/api/v1/write
  queue_config: {batch_send_deadline: 1s}
  metadata_config: {send_interval: 5s}
scrape_configs:
- job_name: prometheus
  static_configs: [{targets: [%q]}]
- job_name: node
  static_configs: [{targets: [%q]}]
`, addr, promAddr, nodeAddr), 0o644))
	launch(t, "http://"+promAddr+"/-/ready", filepath.Join(dir, "prometheus.log"), prometheus,
		"--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "prometheus"), "--web.listen-address="+promAddr)
	begin := time.Now()

	reference, ours := newAPI(t, promAddr), newAPI(t, addr)
	ctx := context.Background()
	const scraped = 150 * time.Second
	var end time.Time
	eventually(t, 4*time.Minute, "the same samples in both", func() bool {
		if time.Since(begin) < scraped {
			return false
		}
		end = begin.Add(scraped)
		q := `count_over_time(up{job=~"node|prometheus"}[2m])`
		a, _, _, errA := reference.Query(ctx, q, end)
		b, _, _, errB := ours.Query(ctx, q, end)
		return errA == nil && errB == nil && len(a.(model.Vector)) == 2 && maps.Equal(points(a), points(b))
	})
	end = awayFromSamples(t, reference, end.Add(-time.Second))
	require.GreaterOrEqual(t, len(questions), 50)
	for _, q := range questions {
		t.Run(q, func(t *testing.T) {
			want, _, _, err := reference.Query(ctx, q, end)
			require.NoError(t, err)
			got, _, _, err := ours.Query(ctx, q, end)
			require.NoError(t, err)
			same(t, want, got)
			r := promv1.Range{Start: end.Add(-40 * time.Second), End: end, Step: 2 * time.Second}
			want, _, _, err = reference.QueryRange(ctx, q, r)
			require.NoError(t, err)
			got, _, _, err = ours.QueryRange(ctx, q, r)
			require.NoError(t, err)
			same(t, want, got)
		})
	}
}

func newAPI(t *testing.T, addr string) promv1.API {
	t.Helper()
	c, err := api.NewClient(api.Config{Address: "http://" + addr, Client: client})
	require.NoError(t, err)
	return promv1.NewAPI(c)
}

// awayFromSamples returns a time near end at whose fraction of a second no sample lies: Prometheus 2
// takes a sample at the very beginning of a range in, and 3 leaves it out.
func awayFromSamples(t *testing.T, a promv1.API, end time.Time) time.Time {
	t.Helper()
	taken := map[int64]bool{}
	v, _, _, err := a.Query(context.Background(), `up[2m]`, end)
	require.NoError(t, err)
	for _, s := range v.(model.Matrix) {
		for _, p := range s.Values {
			taken[int64(p.Timestamp)%1000] = true
		}
	}
	ms := end.UnixMilli()
	for taken[ms%1000] {
		ms++
	}
	return time.UnixMilli(ms)
}

// same compares two answers, values to 1e-12: the two engines add in another order.
func same(t *testing.T, want, got model.Value) {
	t.Helper()
	a, b := points(want), points(got)
	var differences []string
	for k, x := range a {
		y, ok := b[k]
		switch {
		case !ok:
			differences = append(differences, "missing: "+k)
		case x != y && !(math.IsNaN(x) && math.IsNaN(y)) && math.Abs(x-y) > 1e-12*math.Max(math.Abs(x), math.Abs(y)):
			differences = append(differences, fmt.Sprintf("%s: want %v, have %v", k, x, y))
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			differences = append(differences, "not asked for: "+k)
		}
	}
	if len(differences) > 0 {
		t.Fatalf("%d of %d points differ:\n%s", len(differences), len(a), strings.Join(differences[:min(5, len(differences))], "\n"))
	}
}

func points(v model.Value) map[string]float64 {
	out := map[string]float64{}
	switch v := v.(type) {
	case model.Vector:
		for _, s := range v {
			out[s.Metric.String()+" at "+s.Timestamp.String()] = float64(s.Value)
		}
	case model.Matrix:
		for _, s := range v {
			for _, p := range s.Values {
				out[s.Metric.String()+" at "+p.Timestamp.String()] = float64(p.Value)
			}
		}
	case *model.Scalar:
		out["scalar"] = float64(v.Value)
	case *model.String:
		out[v.Value] = 0
	}
	return out
}
