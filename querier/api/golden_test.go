package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/api"
)

var update = flag.Bool("update", false, "rewrite testdata")

// The golden files hold what Prometheus' API would answer over the same data, as far as its source
// tells: compare with its web/api/v1 before accepting a difference.
var goldens = []struct{ file, target string }{
	{"query_vector", "/api/v1/query?time=60&query=requests_total"},
	{"query_scalar", "/api/v1/query?time=4&query=1%2B1"},
	{"query_scalar_large", "/api/v1/query?time=4.5&query=1e30"},
	{"query_string", "/api/v1/query?time=4.025&query=" + `"a%26%3Cb%3E"`},
	{"query_matrix", "/api/v1/query?time=60&query=requests_total{instance='a'}[1m]"},
	{"query_odd", "/api/v1/query?time=120&query=odd[5m]"},
	{"query_histogram", "/api/v1/query?time=60&query=latency_seconds"},
	{"query_histogram_custom", "/api/v1/query?time=60&query=custom_seconds"},
	{"query_empty", "/api/v1/query?time=60&query=nothing"},
	{"query_limited", "/api/v1/query?time=60&limit=1&query=requests_total"},
	{"query_warning", "/api/v1/query?time=60&query=quantile(2,requests_total)"},
	{"query_info", "/api/v1/query?time=60&query=rate(odd[1m])"},
	{"query_range", "/api/v1/query_range?start=0&end=60.5&step=30&query=requests_total"},
	{"query_range_histogram", "/api/v1/query_range?start=0&end=60&step=30&query=latency_seconds"},
	{"query_range_mixed", "/api/v1/query_range?start=0&end=60&step=30&query={__name__=~'latency_seconds|%C3%BCbung'}"},
	{"query_range_scalar", "/api/v1/query_range?start=-1.5&end=1&step=1&query=time()"},
	{"query_range_empty", "/api/v1/query_range?start=0&end=60&step=30&query=nothing"},
	{"query_error_syntax", "/api/v1/query?query=sum("},
	{"query_error_execution", "/api/v1/query?time=60&query=requests_total%2Bon(job)requests_total"},
	{"exemplars", "/api/v1/query_exemplars?query=requests_total"},
	{"format_query", "/api/v1/format_query?query=sum(rate(foo[5m]))by(bar)"},
	{"parse_query", "/api/v1/parse_query?query=-sum%20by(a)(rate(foo{b!~%22x%22}[5m]%20offset%201h))%20/%20on(a)%20group_left(c)%20bar%20@%20end()%20%2B%20(1h)%20%2B%20max_over_time(up[1h:5m])"},
	{"series", "/api/v1/series?match[]=odd&match[]=requests_total"},
	{"series_limited", "/api/v1/series?limit=1&match[]=requests_total&match[]=requests_total"},
	{"labels", "/api/v1/labels"},
	{"label_values", "/api/v1/label/instance/values"},
	{"label_values_escaped", "/api/v1/label/U__h_e9_llo_2e_w_f6_rld/values"},
	{"metadata", "/api/v1/metadata"},
	{"targets", "/api/v1/targets"},
	{"targets_metadata", "/api/v1/targets/metadata"},
	{"targets_metadata_metric", "/api/v1/targets/metadata?metric=node_load1"},
	{"targets_relabel_steps", "/api/v1/targets/relabel_steps?scrapePool=node&labels={%22a%22:%22b%22}"},
	{"scrape_pools", "/api/v1/scrape_pools"},
	{"scrape_pools_config", "/api/v1/scrape_pools/config?scrapePool=node"},
	{"rules", "/api/v1/rules"},
	{"rules_page", "/api/v1/rules?group_limit=1&exclude_alerts=true"},
	{"rules_match", "/api/v1/rules?type=alert&match[]={severity='page'}"},
	{"alerts", "/api/v1/alerts"},
	{"alertmanagers", "/api/v1/alertmanagers"},
	{"status_config", "/api/v1/status/config"},
	{"status_flags", "/api/v1/status/flags"},
	{"status_runtimeinfo", "/api/v1/status/runtimeinfo"},
	{"status_buildinfo", "/api/v1/status/buildinfo"},
	{"status_tsdb", "/api/v1/status/tsdb"},
	{"status_tsdb_blocks", "/api/v1/status/tsdb/blocks"},
	{"status_walreplay", "/api/v1/status/walreplay"},
	{"features", "/api/v1/features"},
	{"notifications", "/api/v1/notifications"},
}

func TestGolden(t *testing.T) {
	s := serve(t, fixture(t), func(o *api.Options) { scraped(o); described(o) })
	for _, g := range goldens {
		t.Run(g.file, func(t *testing.T) {
			resp := s.get(t, g.target)
			require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
			require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
			var text bytes.Buffer
			require.NoError(t, json.Indent(&text, []byte(resp.body), "", "  "), "%s", resp.body)
			text.WriteByte('\n')
			file := filepath.Join("testdata", g.file+".json")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o777))
				require.NoError(t, os.WriteFile(file, text.Bytes(), 0o666))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), text.String())
			if name, form, ok := bytes.Cut([]byte(g.target), []byte("?")); ok && len(form) > 0 {
				posted := s.post(t, "POST", string(name)+"?"+string(form))
				if posted.StatusCode != 405 {
					require.Equal(t, resp.body, posted.body)
				}
			}
		})
	}
}

// described is a node that says all there is to say of itself.
func described(o *api.Options) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o.Status = api.Status{
		Config: func() string { return "global:\n  scrape_interval: 15s\n" },
		Flags:  map[string]string{"web.listen-address": ":11013"},
		Runtime: func() (api.RuntimeInfo, error) {
			return api.RuntimeInfo{
				StartTime: at, CWD: "/", Hostname: "host", ServerTime: at, ReloadConfigSuccess: true, LastConfigTime: at,
				GoroutineCount: 7, GOMAXPROCS: 2, GOMEMLIMIT: 1 << 40, GOGC: "75", StorageRetention: "30d",
			}, nil
		},
		Build:         api.BuildInfo{Version: "1.0.0", Revision: "abc", Branch: "main", BuildUser: "me", BuildDate: "20260102", GoVersion: "go1.26"},
		Features:      func() map[string]map[string]bool { return map[string]map[string]bool{"promql_operators": {">=": true}} },
		Notifications: func() []api.Notification { return []api.Notification{{Text: "Look!", Date: at, Active: true}} },
	}
	o.Store = api.Store{
		Stats:     stats,
		Blocks:    blocks,
		WALReplay: func() (api.WALReplay, error) { return api.WALReplay{Min: 1, Max: 5, Current: 3}, nil },
	}
}
