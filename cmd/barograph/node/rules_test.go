package node

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/api"
)

const ruleConfig = `
global: {evaluation_interval: 1s, external_labels: {region: north}}
rule_files: ['*.rules']
barograph: {self_scrape: {enabled: false}}
`

// The second rule reads what the first has written at the same time, the third what the second has.
const chainRules = `
groups:
- name: chain
  rules:
  - {record: now, expr: time()}
  - {record: now:twice, expr: now + now}
  - {record: now:gap, expr: "now:twice - 2 * time()"}
  - {record: now:buckets, expr: "histogram_source * 2"}
`

const alertRules = `
groups:
- name: alerts
  rules:
  - alert: Low
    expr: level < 10
    for: 1s
    labels: {severity: page}
    annotations: {summary: '{{ $labels.tank }} of {{ $externalLabels.region }} is at {{ $value }}'}
  - {alert: Later, expr: level < 10, for: 1h}
`

// put writes a file beside the configuration.
func put(t *testing.T, cfg Config, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(cfg.ConfigFile), name), []byte(text), 0o600))
}

// values are the samples of a selector with a range, by time in milliseconds, if it has one series.
func (r *running) values(selector string) map[int64]float64 {
	r.t.Helper()
	_, text := r.do(http.MethodGet, "/api/v1/query?query="+url.QueryEscape(selector), "")
	return samplesOf(r.t, text)
}

func samplesOf(t *testing.T, text string) map[int64]float64 {
	t.Helper()
	var a struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &a), text)
	all := map[int64]float64{}
	for _, s := range a.Data.Result {
		for _, v := range s.Values {
			value, err := strconv.ParseFloat(v[1].(string), 64)
			require.NoError(t, err)
			all[int64(v[0].(float64)*1000+0.5)] = value
		}
	}
	return all
}

func (r *running) ruleGroups() []api.RuleGroup {
	r.t.Helper()
	_, text := r.do(http.MethodGet, "/api/v1/rules", "")
	var a struct {
		Data struct{ Groups []api.RuleGroup }
	}
	require.NoError(r.t, json.Unmarshal([]byte(text), &a), text)
	return a.Data.Groups
}

func (r *running) alerts() (list []api.Alert) {
	for _, g := range r.ruleGroups() {
		for _, rule := range g.Rules {
			if rule.Alerting != nil {
				list = append(list, rule.Alerts...)
			}
		}
	}
	return list
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 30*time.Second, 50*time.Millisecond)
}

func TestRulesRecord(t *testing.T) {
	cfg := config(t, ruleConfig)
	put(t, cfg, "chain.rules", chainRules)
	r := start(t, cfg)
	eventually(t, func() bool { return len(r.values("now:gap[1m]")) >= 3 })
	now, twice := r.values("now[1m]"), r.values("now:twice[1m]")
	for at, v := range r.values("now:gap[1m]") {
		require.Zero(t, v, "what was written at %d is read at %d", at, at)
		require.Equal(t, 2*now[at], twice[at])
		require.InDelta(t, float64(at)/1000, now[at], 0)
	}

	groups := r.ruleGroups()
	require.Len(t, groups, 1)
	require.Equal(t, "chain", groups[0].Name)
	require.Equal(t, filepath.Join(filepath.Dir(cfg.ConfigFile), "chain.rules"), groups[0].File)
	require.Equal(t, 1.0, groups[0].Interval)
	require.WithinDuration(t, time.Now(), groups[0].LastEvaluation, time.Minute)
	require.Equal(t, "ok", groups[0].Rules[0].Health)
	require.Equal(t, "now + now", groups[0].Rules[1].Query)
	require.NotContains(t, strings.Join(r.node.file.Load().Unused(), " "), "rule_files")
}

// received are the alerts that an Alertmanager was sent.
func alertmanager(t *testing.T) (addr string, received chan string) {
	received = make(chan string, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err == nil {
			received <- req.URL.Path + " " + string(body)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), received
}

// An alert fires, is told of, and goes on firing over a reload and a restart.
func TestRulesAlert(t *testing.T) {
	addr, received := alertmanager(t)
	cfg := config(t, ruleConfig+"alerting: {alertmanagers: [{static_configs: [{targets: ['"+addr+"']}]}]}\n")
	cfg.Web.ExternalURL = "https://barograph.example.org/metrics/"
	put(t, cfg, "alerts.rules", alertRules)
	r := start(t, cfg)
	write := func(value int) {
		resp, text := r.do(http.MethodPost, "/metrics/api/v1/import/prometheus", fmt.Sprintf("level{tank=\"a\"} %d\n", value))
		require.Equal(t, http.StatusOK, resp.StatusCode, text)
	}
	write(5)
	firing := func() *api.Alert {
		for _, a := range r.alerts() {
			if a.State == "firing" {
				return &a
			}
		}
		return nil
	}
	eventually(t, func() bool { return firing() != nil })
	first := firing()
	require.Equal(t, `{alertname="Low", severity="page", tank="a"}`, first.Labels.String())
	require.Equal(t, "a of north is at 5", first.Annotations.Get("summary"))
	require.Equal(t, "5e+00", first.Value)
	told := <-received
	require.Contains(t, told, "/api/v2/alerts [")
	require.Contains(t, told, `"labels":{"alertname":"Low","region":"north","severity":"page","tank":"a"}`)
	require.Contains(t, told, `"generatorURL":"https://barograph.example.org/metrics/graph?g0.expr=level+%3C+10\u0026g0.tab=1"`)
	eventually(t, func() bool { return len(r.values(`ALERTS{alertname="Low",alertstate="firing"}[1m]`)) > 0 })
	_, text := r.do(http.MethodGet, "/api/v1/alertmanagers", "")
	require.Contains(t, text, `"activeAlertmanagers":[{"url":"http://`+addr+`/api/v2/alerts"}]`)

	since := func() map[string]time.Time {
		all := map[string]time.Time{}
		for _, a := range r.alerts() {
			all[a.Labels.Get("alertname")] = *a.ActiveAt
		}
		return all
	}
	before := since()
	require.Len(t, before, 2)
	put(t, cfg, "more.rules", "groups: [{name: more, rules: [{record: one, expr: '1'}]}]")
	require.NoError(t, r.node.Reload())
	eventually(t, func() bool { return len(r.values("one[1m]")) > 0 })
	require.Equal(t, before, since())

	// A file with an error changes nothing.
	put(t, cfg, "more.rules", "groups:\n- name: more\n  rules:\n  - {record: one, expr: '1 +'}\n")
	require.ErrorContains(t, r.node.Reload(), "more.rules:4:")
	require.Len(t, r.ruleGroups(), 2)
	_, err := New(cfg)
	require.ErrorContains(t, err, "more.rules:4:")
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(cfg.ConfigFile), "more.rules")))

	require.NoError(t, r.stop())
	r = start(t, cfg)
	require.Equal(t, before, since(), "they are there before anything is evaluated")
	eventually(t, func() bool { return len(r.ruleGroups()) == 1 }) // The file that is gone.
	write(50)
	eventually(t, func() bool { return len(r.alerts()) == 0 })
	for told = range received {
		if i := strings.Index(told, `"endsAt":"`); i >= 0 {
			ends, err := time.Parse(time.RFC3339, told[i+10:i+10+len("2006-01-02T15:04:05.000Z")])
			require.NoError(t, err)
			if ends.Before(time.Now()) {
				break // It is resolved.
			}
		}
	}
}

func TestRuleAPI(t *testing.T) {
	cfg := config(t, ruleConfig)
	put(t, cfg, "chain.rules", chainRules)
	r := start(t, cfg)
	ask := func(method, path, body string, status int) string {
		t.Helper()
		resp, text := r.do(method, "/config/v1/rules"+path, body)
		require.Equal(t, status, resp.StatusCode, text)
		return text
	}
	require.Equal(t, "{}\n", ask(http.MethodGet, "", "", 200))
	ask(http.MethodGet, "/team", "", 404)
	group := "name: of/ours\ninterval: 1s\nrules:\n  - record: ours\n    expr: vector(1)\n"
	require.JSONEq(t, `{"status":"success","data":null,"errorType":"","error":""}`, ask(http.MethodPost, "/team", group, 202))
	ask(http.MethodPost, "/team", "name: other\nrules: [{record: theirs, expr: '2'}]", 202)
	require.YAMLEq(t, "team: [{name: of/ours, interval: 1s, rules: [{record: ours, expr: vector(1)}]}, {name: other, rules: [{record: theirs, expr: '2'}]}]", ask(http.MethodGet, "", "", 200))
	require.Equal(t, ask(http.MethodGet, "", "", 200), ask(http.MethodGet, "/team", "", 200))
	require.YAMLEq(t, group, ask(http.MethodGet, "/team/of%2Fours", "", 200))
	eventually(t, func() bool { return len(r.values("ours[1m]")) > 0 })
	require.Len(t, r.ruleGroups(), 3)

	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{http.MethodPost, "/team", "name: bad\nrules: [{record: ours, expr: 'sum('}]", 400, "parse error"},
		{http.MethodPost, "/team", "nam: bad\n", 400, "field nam not found"},
		{http.MethodPost, "/team", strings.Repeat("#", 5<<20), 413, "too large"},
		{http.MethodPost, "/a%2Fb", group, 400, "namespace"},
		{http.MethodPost, "/" + strings.Repeat("a", 300), group, 400, "namespace"},
		{http.MethodDelete, "/team/nothing", "", 404, "no such group"},
		{http.MethodDelete, "/nobody", "", 404, "no such group"},
		{http.MethodGet, "/team/nothing", "", 404, "no such group"},
	} {
		require.Contains(t, ask(c.method, c.path, c.body, c.status), c.says)
	}
	// It outlives a restart.
	require.NoError(t, r.stop())
	r = start(t, cfg)
	require.YAMLEq(t, group, ask(http.MethodGet, "/team/of%2Fours", "", 200))
	ask(http.MethodDelete, "/team/of%2Fours", "", 202)
	ask(http.MethodGet, "/team/of%2Fours", "", 404)
	ask(http.MethodDelete, "/team", "", 202)
	require.Equal(t, "{}\n", ask(http.MethodGet, "", "", 200))
	eventually(t, func() bool { return len(r.ruleGroups()) == 1 })
}

// What a node has by itself it brings along into a cluster.
func TestRulesGoIntoCluster(t *testing.T) {
	cfg := config(t, ruleConfig)
	put(t, cfg, "alerts.rules", alertRules)
	r := start(t, cfg)
	resp, text := r.do(http.MethodPost, "/config/v1/rules/team", "name: ours\nrules: [{record: ours, expr: '1'}]")
	require.Equal(t, http.StatusAccepted, resp.StatusCode, text)
	resp, text = r.do(http.MethodPost, "/api/v1/import/prometheus", "level{tank=\"a\"} 5\n")
	require.Equal(t, http.StatusOK, resp.StatusCode, text)
	eventually(t, func() bool { return len(r.alerts()) == 2 })
	var since time.Time
	for _, a := range r.alerts() {
		since = *a.ActiveAt
	}
	require.NoError(t, r.stop())

	cfg.Cluster = ClusterConfig{
		Name: "one", AdvertiseHost: "127.0.0.1", GossipAddress: freePort(t), RPCAddress: freePort(t), ReplicationFactor: 1,
	}
	for range 2 { // The second time there is nothing to be brought along.
		r = start(t, cfg)
		eventually(t, func() bool { return len(r.ruleGroups()) == 2 && len(r.alerts()) == 2 })
		for _, a := range r.alerts() {
			require.Equal(t, since, *a.ActiveAt)
		}
		at := time.Now()
		eventually(t, func() bool {
			return r.ruleGroups()[0].LastEvaluation.After(at) && r.ruleGroups()[1].LastEvaluation.After(at)
		})
		require.NoDirExists(t, filepath.Join(cfg.Storage.Path, aloneDir))
		require.NoError(t, r.stop())
	}
}
