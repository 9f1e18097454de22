package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// queries are of the kind that dashboards of node_exporter and of HTTP services ask.
var queries = []string{
	`node_load1`,
	`node_load1{instance="10.0.0.1:9100"}`,
	`node_load5 > 1`,
	`sum(node_load1)`,
	`avg by (cluster) (node_load15)`,
	`count(node_time_seconds)`,
	`max by (instance) (node_memory_MemFree_bytes)`,
	`1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes`,
	`sum(node_memory_Cached_bytes + node_memory_Buffers_bytes)`,
	`rate(node_cpu_seconds_total{instance="10.0.0.1:9100"}[5m])`,
	`sum by (mode) (rate(node_cpu_seconds_total[5m]))`,
	`sum by (instance) (rate(node_cpu_seconds_total{mode!="idle"}[5m]))`,
	`1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))`,
	`sum(rate(node_network_receive_bytes_total[5m]))`,
	`sum by (device) (rate(node_network_transmit_bytes_total[5m]))`,
	`topk(5, sum by (instance) (rate(node_network_receive_bytes_total[5m])))`,
	`irate(node_network_receive_packets_total{device="eth0",cluster="dc1"}[5m])`,
	`sum(increase(node_network_receive_errs_total[1h]))`,
	`rate(node_disk_io_time_seconds_total{device="vda"}[5m])`,
	`sum by (device) (rate(node_disk_read_bytes_total[5m]) + rate(node_disk_written_bytes_total[5m]))`,
	`sum(rate(node_disk_read_time_seconds_total[5m])) / sum(rate(node_disk_reads_completed_total[5m]))`,
	`min by (mountpoint) (node_filesystem_avail_bytes / node_filesystem_size_bytes)`,
	`predict_linear(node_filesystem_free_bytes{mountpoint="/"}[1h], 86400)`,
	`histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))`,
	`histogram_quantile(0.9, sum by (le, handler) (rate(http_request_duration_seconds_bucket[5m])))`,
	`sum by (handler) (rate(http_request_duration_seconds_bucket{le="+Inf"}[5m]))`,
	`avg_over_time(node_load1[10m])`,
	`max_over_time(node_load1{cluster="dc0"}[1h])`,
	`quantile(0.95, node_load1)`,
	`stddev by (cluster) (node_load5)`,
	`count by (state) (node_systemd_unit_state == 1)`,
	`changes(node_filesystem_readonly[30m])`,
	`node_scrape_collector_duration_seconds{collector=~"collector[0-4]"}`,
	`delta(node_memory_AnonPages_bytes{cluster=~"dc(0|1)"}[15m])`,
}

// series is one series of an answer: time in ms to value.
type answer map[string]map[int64]float64

type queryResponse struct {
	Status string
	Error  string
	Data   struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any
			Value  [2]any
		}
	}
}

const rangePath = "/api/v1/query_range"

// askAt runs an instant query.
func askAt(ctx context.Context, s *server, q string, t int64) (answer, error) {
	return s.query(ctx, "/api/v1/query", url.Values{"query": {q}, "time": {seconds(t)}})
}

func seconds(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64) }

// ask returns what the server says, as it says it.
func (s *server) ask(ctx context.Context, path string, form url.Values) (code int, body []byte, err error) {
	maps.Copy(form, s.target.query)
	return do(ctx, http.MethodPost, "http://"+s.addr+path, form)
}

func (s *server) query(ctx context.Context, path string, form url.Values) (answer, error) {
	code, body, err := s.ask(ctx, path, form)
	if err != nil {
		return nil, err
	}
	var r queryResponse
	if err := json.Unmarshal(body, &r); err != nil || r.Status != "success" {
		return nil, fmt.Errorf("status %d: %.300s", code, body)
	}
	a := answer{}
	for _, res := range r.Data.Result {
		points := map[int64]float64{}
		if res.Value[0] != nil {
			res.Values = append(res.Values, res.Value)
		}
		for _, v := range res.Values {
			t, ok := v[0].(float64)
			text, isText := v[1].(string)
			if !ok || !isText {
				return nil, fmt.Errorf("unexpected point %v", v)
			}
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, err
			}
			points[int64(math.Round(t*1000))] = f
		}
		a[key(res.Metric)] = points
	}
	return a, nil
}

func key(metric map[string]string) string {
	var parts []string
	for k, v := range metric {
		parts = append(parts, k+"="+strconv.Quote(v))
	}
	sort.Strings(parts)
	return strings.Join(parts, ",")
}

// differ says how two answers differ, "" if they agree to 1e-9.
func differ(a, b answer) string {
	if len(a) != len(b) {
		return fmt.Sprintf("%d series against %d", len(a), len(b))
	}
	for k, pa := range a {
		pb, ok := b[k]
		if !ok {
			return "only one has {" + k + "}"
		}
		if len(pa) != len(pb) {
			return fmt.Sprintf("{%s}: %d points against %d", k, len(pa), len(pb))
		}
		for t, x := range pa {
			y, ok := pb[t]
			if !ok || !close9(x, y) {
				return fmt.Sprintf("{%s} at %d: %v against %v", k, t, x, y)
			}
		}
	}
	return ""
}

func close9(x, y float64) bool {
	if x == y || math.IsNaN(x) && math.IsNaN(y) {
		return true
	}
	return math.Abs(x-y) <= 1e-9*math.Max(math.Abs(x), math.Abs(y))
}
