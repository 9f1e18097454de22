package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/api"
)

// TestRefused holds what the parameters of each endpoint may not be.
func TestRefused(t *testing.T) {
	const bad, step = "bad_data", "zero or negative query resolution step widths are not accepted"
	cases := []struct {
		target    string
		status    int
		errorType string
		text      string
	}{
		{"/query", 400, bad, `invalid parameter "query": unknown position: parse error: no expression found in input`},
		{"/query?query=up&time=x", 400, bad, `invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp`},
		{"/query?query=up&time=NaN", 400, bad, `cannot parse "NaN" to a valid timestamp`},
		{"/query?query=up&time=Inf", 400, bad, `cannot parse "Inf" to a valid timestamp`},
		{"/query?query=up&time=1e300", 400, bad, `cannot parse "1e300" to a valid timestamp`},
		{"/query?query=up&limit=x", 400, bad, `invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax`},
		{"/query?query=up&limit=-1", 400, bad, `invalid parameter "limit": limit must be non-negative`},
		{"/query?query=up&timeout=x", 400, bad, `invalid parameter "timeout": cannot parse "x" to a valid duration`},
		{"/query?query=up&timeout=0", 400, bad, `invalid parameter "timeout": timeout must be positive, got 0s`},
		{"/query?query=up&timeout=NaN", 400, bad, `overflows int64`},
		{"/query?query=up&lookback_delta=x", 400, bad, `error parsing lookback delta duration: cannot parse "x" to a valid duration`},
		{"/query?query=up&lookback_delta=1e300", 400, bad, `overflows int64`},
		{"/query?query=" + strings.Repeat("(", 100_000), 400, bad, ""},
		{"/query?query=%zz", 400, bad, "error parsing form values"},
		{"/query?query=up&timeout=1e-9", 503, "timeout", ""},

		{"/query_range?query=up&end=1&step=1", 400, bad, `invalid parameter "start": cannot parse "" to a valid timestamp`},
		{"/query_range?query=up&start=1&step=1", 400, bad, `invalid parameter "end": cannot parse "" to a valid timestamp`},
		{"/query_range?query=up&start=1&end=2", 400, bad, `invalid parameter "step": cannot parse "" to a valid duration`},
		{"/query_range?query=up&start=2&end=1&step=1", 400, bad, `invalid parameter "end": end timestamp must not be before start time`},
		{"/query_range?query=up&start=1&end=2&step=0", 400, bad, step},
		{"/query_range?query=up&start=1&end=2&step=-1", 400, bad, step},
		{"/query_range?query=up&start=1&end=2&step=1e-12", 400, bad, step},
		{"/query_range?query=up&start=1&end=2&step=NaN", 400, bad, `overflows int64`},
		{"/query_range?query=up&start=NaN&end=2&step=1", 400, bad, `cannot parse "NaN"`},
		{"/query_range?query=up&start=0&end=11001&step=1", 400, bad, "exceeded maximum resolution of 11"},
		{"/query_range?query=up&start=0&end=31536000&step=0.001", 400, bad, "exceeded maximum resolution of 11"},
		{"/query_range?query=up[5m]&start=0&end=1&step=1", 400, bad, `invalid expression type "range vector" for range query`},
		{"/query_range?query=up&start=0&end=1&step=1&limit=x", 400, bad, `invalid parameter "limit"`},
		{"/query_range?query=up&start=0&end=1&step=1&timeout=-1", 400, bad, `invalid parameter "timeout"`},
		{"/query_range?query=up&start=0&end=1&step=1&lookback_delta=x", 400, bad, `error parsing lookback delta`},

		{"/query_exemplars?query=(", 400, bad, "parse error"},
		{"/query_exemplars?query=up&start=x", 400, bad, `invalid parameter "start"`},
		{"/query_exemplars?query=up&end=x", 400, bad, `invalid parameter "end"`},
		{"/query_exemplars?query=up&start=2&end=1", 400, bad, "end timestamp must not be before start timestamp"},
		{"/format_query", 400, bad, `invalid parameter "query"`},
		{"/format_query?query=" + strings.Repeat("-", 100_000) + "1", 400, bad, `invalid parameter "query"`},
		{"/parse_query?query=sum(", 400, bad, `invalid parameter "query"`},
		{"/parse_query?query=" + strings.Repeat("abs(", 100_000), 400, bad, `invalid parameter "query"`},

		{"/series", 400, bad, "no match[] parameter provided"},
		{"/series?match[]=", 400, bad, `invalid parameter "match[]"`},
		{"/series?match[]={a=~'.*'}", 400, bad, `invalid parameter "match[]": match[] must contain at least one non-empty matcher`},
		{"/series?match[]=up&limit=-1", 400, bad, `invalid parameter "limit"`},
		{"/series?match[]=up&start=x", 400, bad, `invalid parameter "start"`},
		{"/series?match[]=up&end=x", 400, bad, `invalid parameter "end"`},
		{"/series?match[]=up" + strings.Repeat("&match[]=up", 1000), 400, bad, "at most 1000 are accepted"},
		{"/labels?match[]={a=~'.*'}", 400, bad, "match[] must contain at least one non-empty matcher"},
		{"/labels?match[]=(", 400, bad, "parse error"},
		{"/labels?limit=x", 400, bad, `invalid parameter "limit"`},
		{"/labels?start=x", 400, bad, `invalid parameter "start"`},
		{"/label/a/values?limit=x", 400, bad, `invalid parameter "limit"`},
		{"/label/a/values?end=x", 400, bad, `invalid parameter "end"`},
		{"/label/a/values?match[]={a=~'.*'}", 400, bad, "match[] must contain at least one non-empty matcher"},
		{"/label/%ff/values", 400, bad, `invalid label name: "\xff"`},
		{"/metadata?limit=x", 400, bad, "limit must be a number"},
		{"/metadata?limit_per_metric=x", 400, bad, "limit_per_metric must be a number"},

		{"/targets/metadata?limit=x", 400, bad, "limit must be a number"},
		{"/targets/metadata?match_target=(", 400, bad, `invalid parameter "match_target"`},
		{"/targets/relabel_steps", 400, bad, "no scrapePool parameter provided"},
		{"/targets/relabel_steps?scrapePool=node", 400, bad, "no labels parameter provided"},
		{"/targets/relabel_steps?scrapePool=node&labels=x", 400, bad, "error parsing labels"},
		{"/targets/relabel_steps?scrapePool=gone&labels={}", 400, bad, "error retrieving scrape config: scrape pool not found"},
		{"/scrape_pools/config", 400, bad, "no scrapePool parameter provided"},
		{"/scrape_pools/config?scrapePool=gone", 400, bad, "error retrieving scrape config"},

		{"/rules?type=x", 400, bad, `invalid parameter "type": not supported value "x"`},
		{"/rules?exclude_alerts=x", 400, bad, `invalid parameter "exclude_alerts"`},
		{"/rules?match[]=(", 400, bad, "parse error"},
		{"/rules?group_next_token=x", 400, bad, "group_limit needs to be present in order to paginate over the groups"},
		{"/rules?group_limit=x", 400, bad, `invalid parameter "group_limit": group_limit needs to be a valid number`},
		{"/rules?group_limit=0", 400, bad, "group_limit needs to be greater than 0"},
		{"/rules?group_limit=1&group_next_token=x", 400, bad, "invalid group_next_token 'x'. were rule groups changed?"},

		{"/status/tsdb?limit=0", 400, bad, "limit must be a positive number"},
		{"/status/tsdb?limit=x", 400, bad, "limit must be a positive number"},
		{"/status/tsdb?limit=10001", 400, bad, "limit must not exceed 10000"},
		{"/status/self_metrics?metric_name_pattern=(", 400, bad, "invalid metric_name_pattern"},
		{"/status/self_metrics?metric_name_pattern=" + strings.Repeat("x", 1001), 400, bad, "longer than 1000 bytes"},

		{"PUT /admin/tsdb/delete_series", 400, bad, "no match[] parameter provided"},
		{"PUT /admin/tsdb/delete_series?match[]=up&start=x", 400, bad, `invalid parameter "start"`},
		{"PUT /admin/tsdb/delete_series?match[]=up&match[]=(", 400, bad, `invalid parameter "match[]"`},
		{"PUT /admin/tsdb/delete_series?match[]=up&start=2&end=1", 500, "internal", "nothing lies there"},
		{"PUT /admin/tsdb/snapshot?skip_head=x", 400, bad, `invalid parameter "skip_head": unable to parse boolean`},
		{"POST /admin/storage/seal", 404, "not_found", "this node cannot do that"},
	}
	s := serve(t, fixture(t), func(o *api.Options) { scraped(o); described(o) })
	for _, c := range cases {
		t.Run(c.target[:min(len(c.target), 80)], func(t *testing.T) {
			method, path, given := strings.Cut(c.target, " ")
			if !given {
				method, path = http.MethodGet, c.target
			}
			requireError(t, s.post(t, method, "/api/v1"+path), method, c.status, c.errorType, c.text, s, path)
		})
	}
	require.Empty(t, without(s.calls, `delete __name__="up"`), "nothing is done for a refused request")
}

func without(list []string, known string) (rest []string) {
	for _, s := range list {
		if s != known {
			rest = append(rest, s)
		}
	}
	return rest
}

// requireError asks again by GET where the endpoint has no POST, and holds the answer to the envelope.
func requireError(t *testing.T, resp response, method string, status int, errorType, text string, s *server, path string) {
	t.Helper()
	if method == http.MethodGet {
		resp = s.get(t, "/api/v1"+path)
	}
	require.Equal(t, status, resp.StatusCode, "%s", resp.body)
	require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	var e struct{ Status, ErrorType, Error string }
	require.NoError(t, json.Unmarshal([]byte(resp.body), &e))
	require.Equal(t, "error", e.Status)
	require.Equal(t, errorType, e.ErrorType)
	require.Contains(t, e.Error, text)
	if status == http.StatusServiceUnavailable {
		require.Equal(t, "1", resp.Header.Get("Retry-After"))
	}
}

// TestAccepted holds what parameters may be, and what comes of it.
func TestAccepted(t *testing.T) {
	cases := []struct{ target, want string }{
		// Grafana tests a data source so, and then asks for buildinfo.
		{"/query?query=1%2B1&time=4", `"result":[4,"2"]`},
		{"/query?query=1&time=1970-01-01T00:00:01.5Z", `"result":[1.5,"1"]`},
		{"/query?query=1&time=-1.5", `"result":[-1.5,"1"]`},
		{"/query?query=1&time=1.0006", `"result":[1.001,"1"]`},
		{"/query?query=1&timeout=1e9&lookback_delta=90s&limit=0", `"resultType":"scalar"`},
		{"/query?query=requests_total&time=150&lookback_delta=29s", `"result":[]`},
		{"/query?query=1&stats=true", `"stats":{"timings":{`},
		{"/query?query=1&stats=all", `"stats":{"timings":{`},
		{"/query?query=1&stats=much", `is deprecated and will be rejected in the next major release`},
		{"/query_range?query=1&start=0&end=11000&step=1", `"resultType":"matrix"`},
		{"/query_range?query=1&start=0&end=0&step=1h", `"values":[[0,"1"]]`},
		{"/query_range?query=requests_total&start=0&end=0&step=1&limit=1", `"warnings":["results truncated due to limit"]`},
		{"/series?match[]=odd&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z", `"__name__":"odd"`},
		{"/series?match[]=odd&start=121", `"data":[]`},
		{"/series?match[]=nothing", `"data":[]`},
		{"/labels?limit=1", `"data":["__name__"],"warnings":["results truncated due to limit"]`},
		{"/labels?match[]=nothing", `"data":[]`},
		{"/labels?match[]=odd&match[]=requests_total", `["__name__","instance","job","text"]`},
		{"/label/instance/values?match[]=requests_total&match[]={job='web'}", `"data":["a","b"]`},
		{"/label/instance/values?limit=1", `"data":["a"],"warnings":["results truncated due to limit"]`},
		{"/label/nothing/values", `"data":[]`},
		{"/label/a%2fb/values", `"data":[]`},
		{"/metadata?metric=odd", `"data":{"odd":[{"type":"unknown","help":"","unit":""}]}`},
		{"/metadata?limit=0", `"data":{}`},
		{"/metadata?limit=1&limit_per_metric=1", `"data":{"latency_seconds":[`},
		{"/targets?state=active", `"droppedTargets":[],"droppedTargetCounts":null`},
		{"/targets?state=dropped", `"activeTargets":[]`},
		{"/targets?scrapePool=web", `"activeTargets":[],"droppedTargets":[]`},
		{"/targets/metadata?match_target={job='x'}", `"data":[]`},
		{"/targets/metadata?limit=0", `"data":[]`},
		{"/rules?type=record&rule_group[]=third&file[]=/etc/rules/b.yml&rule_name[]=job:up:sum", `"name":"third"`},
		{"/rules?rule_name[]=nothing", `"groups":[]`},
		{"/status/tsdb?limit=1", `"seriesCountByMetricName":[{"name":"requests_total","value":2}]`},
		{"/status/self_metrics?metric_name_pattern=barograph_http_.*total", `"data":[`},
		{"/query?query=1&partial_response=true", `"resultType":"scalar"`},
	}
	s := serve(t, fixture(t), func(o *api.Options) { scraped(o); described(o); o.Status.Gatherer = o.Registerer.(prometheus.Gatherer) })
	for _, c := range cases {
		t.Run(c.target, func(t *testing.T) {
			resp := s.get(t, "/api/v1"+c.target)
			require.Equal(t, 200, resp.StatusCode, "%s", resp.body)
			require.Contains(t, resp.body, c.want)
		})
	}
}

// TestPages walks through the rules a page at a time.
func TestPages(t *testing.T) {
	s := serve(t, fixture(t), scraped)
	var seen []string
	for token := ""; ; {
		resp := s.get(t, "/api/v1/rules?group_limit=1&group_next_token="+token)
		var page struct {
			Data struct {
				Groups         []struct{ Name string }
				GroupNextToken string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(resp.body), &page))
		require.Len(t, page.Data.Groups, 1)
		seen = append(seen, page.Data.Groups[0].Name)
		if token = page.Data.GroupNextToken; token == "" {
			break
		}
	}
	require.Equal(t, []string{"first", "second", "third"}, seen)
}

// TestBare asks a node that has nothing but an engine: every answer is well formed.
func TestBare(t *testing.T) {
	s := serve(t, &memory{}, func(o *api.Options) { o.Admin = api.Admin{} })
	for target, want := range map[string]string{
		"/query?query=up&time=1":    `{"status":"success","data":{"resultType":"vector","result":[]}}`,
		"/query_exemplars?query=up": `{"status":"success","data":[]}`,
		"/series?match[]=up":        `{"status":"success","data":[]}`,
		"/labels":                   `{"status":"success","data":[]}`,
		"/label/a/values":           `{"status":"success","data":[]}`,
		"/metadata":                 `{"status":"success","data":{}}`,
		"/targets":                  `{"status":"success","data":{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}}`,
		"/targets/metadata":         `{"status":"success","data":[]}`,
		"/scrape_pools":             `{"status":"success","data":{"scrapePools":[]}}`,
		"/rules":                    `{"status":"success","data":{"groups":[]}}`,
		"/alerts":                   `{"status":"success","data":{"alerts":[]}}`,
		"/alertmanagers":            `{"status":"success","data":{"activeAlertmanagers":[],"droppedAlertmanagers":[]}}`,
		"/status/config":            `{"status":"success","data":{"yaml":""}}`,
		"/status/flags":             `{"status":"success","data":{}}`,
		"/status/tsdb/blocks":       `{"status":"success","data":{"blocks":[]}}`,
		"/status/walreplay":         `{"status":"success","data":{"min":0,"max":0,"current":0}}`,
		"/status/self_metrics":      `{"status":"success","data":[]}`,
		"/notifications":            `{"status":"success","data":[]}`,
	} {
		require.Equal(t, want, s.get(t, "/api/v1"+target).body, target)
	}
	require.Equal(t, 404, s.get(t, "/api/v1/status/tsdb").StatusCode)
	require.Equal(t, 200, s.get(t, "/api/v1/status/runtimeinfo").StatusCode)
	require.Equal(t, 204, s.get(t, "/api/v1/query_exemplars?query=1").StatusCode)
	require.Equal(t, 204, s.get(t, "/api/v1/notifications/live").StatusCode)
}
