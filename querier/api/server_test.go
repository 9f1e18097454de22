package api_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/api"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is what most tests ask: samples of the first minutes of the epoch.
func fixture(t testing.TB) *memory {
	m := &memory{
		metadata: []frame.Metadata{
			{Metric: "requests_total", Type: "counter", Help: "Requests <served>."},
			{Metric: "latency_seconds", Type: "histogram", Help: "Latency.", Unit: "seconds"},
			{Metric: "odd", Type: "", Help: ""},
		},
		exemplars: []frame.ExemplarSeries{{
			Labels: series.FromStrings("__name__", "requests_total", "job", "web"),
			Exemplars: []frame.Exemplar{
				{T: 1500, V: 6, Labels: series.FromStrings("trace_id", "EpTxMJ40fUus7aGY")},
				{T: 120_000, V: math.Inf(1), Labels: series.FromStrings("trace_id", `a"b`)},
			},
		}},
	}
	m.add(t, labels.FromStrings("__name__", "requests_total", "job", "web", "instance", "a"), floats(0, 30_000, 0, 10, 20, 30, 40)...)
	m.add(t, labels.FromStrings("__name__", "requests_total", "job", "web", "instance", "b"), floats(0, 30_000, 0, 1, 2, 3, 4)...)
	m.add(t, labels.FromStrings("__name__", "odd", "text", "<b>\"\\\n\u2028é\x01"), floats(0, 30_000, math.Inf(1), math.Inf(-1), math.NaN(), 1e-7, 1.5e22)...)
	m.add(t, labels.FromStrings("__name__", "latency_seconds", "job", "web"),
		series.Sample{T: 0, H: exponential()}, series.Sample{T: 30_000, H: exponential()})
	m.add(t, labels.FromStrings("__name__", "custom_seconds", "job", "web"),
		series.Sample{T: 0, FH: custom()}, series.Sample{T: 30_000, FH: custom()})
	m.add(t, labels.FromStrings("__name__", "übung", "héllo.wörld", "ja"), floats(0, 30_000, 1, 2)...)
	return m
}

type server struct {
	*httptest.Server
	engine *querier.Engine
	reg    *prometheus.Registry
	calls  []string // of the admin API
}

// serve starts a server over the store; change may alter the options.
func serve(t testing.TB, store *memory, change func(*api.Options)) *server {
	t.Helper()
	return serveLimited(t, store, querier.Options{}, change)
}

// serveLimited is serve with limits on queries.
func serveLimited(t testing.TB, store *memory, limits querier.Options, change func(*api.Options)) *server {
	t.Helper()
	s := &server{reg: prometheus.NewRegistry()}
	limits.Registerer = s.reg
	var err error
	s.engine, err = querier.New(store, limits)
	require.NoError(t, err)
	opts := api.Options{Engine: s.engine, Registerer: s.reg}
	opts.Admin = s.admin()
	if change != nil {
		change(&opts)
	}
	a, err := api.New(opts)
	require.NoError(t, err)
	mux := http.NewServeMux()
	a.Register(mux.Handle, "", "/prometheus")
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		s.Client().CloseIdleConnections()
		s.Close()
		require.NoError(t, s.engine.Close())
	})
	return s
}

func (s *server) admin() api.Admin {
	did := func(what string) func(context.Context) error {
		return func(context.Context) error {
			s.calls = append(s.calls, what)
			return nil
		}
	}
	return api.Admin{
		Enabled: true,
		Delete: func(_ context.Context, mint, maxt int64, ms ...*labels.Matcher) error {
			text := "delete"
			for _, m := range ms {
				text += " " + m.String()
			}
			s.calls = append(s.calls, text)
			if mint > maxt {
				return errors.New("nothing lies there")
			}
			return nil
		},
		CleanTombstones: did("clean"),
		Flush:           did("flush"),
		Snapshot: func(_ context.Context, skipHead bool) (string, error) {
			if skipHead {
				return "20260101T000000Z-skipped", nil
			}
			return "20260101T000000Z-whole", nil
		},
	}
}

type response struct {
	*http.Response
	body string
}

func (s *server) do(t testing.TB, req *http.Request) response {
	t.Helper()
	if req.Header.Get("Accept-Encoding") == "" {
		req.Header.Set("Accept-Encoding", "identity")
	}
	resp, err := s.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return response{resp, string(text)}
}

func (s *server) get(t testing.TB, target string) response {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.URL+target, nil)
	require.NoError(t, err)
	return s.do(t, req)
}

// post sends the parameters of target's query in the body.
func (s *server) post(t testing.TB, method, target string) response {
	t.Helper()
	path, form, _ := strings.Cut(target, "?")
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(form))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(t, req)
}

const (
	waitFor = 10 * time.Second
	tick    = time.Millisecond
)

// gauge is the sum of a metric's series.
func gauge(t testing.TB, s *server, name string) (sum float64) {
	families, err := s.reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.Metric {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// q escapes a parameter's value.
func q(s string) string { return url.QueryEscape(s) }

// scraped is a node that scrapes and has rules.
func scraped(opts *api.Options) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	opts.Targets = api.Targets{
		Active: func() []api.Target {
			return []api.Target{{
				DiscoveredLabels: labels.FromStrings("__address__", "localhost:9100", "job", "node"),
				Labels:           labels.FromStrings("instance", "localhost:9100", "job", "node"),
				ScrapePool:       "node", ScrapeURL: "http://localhost:9100/metrics", GlobalURL: "http://host:9100/metrics",
				LastError: "refused", LastScrape: at, LastScrapeDuration: 0.25, Health: "down", ScrapeInterval: "15s", ScrapeTimeout: "10s",
				Metadata: func() []frame.Metadata {
					return []frame.Metadata{{Metric: "node_load1", Type: "gauge", Help: "Load."}, {Metric: "up"}}
				},
			}}
		},
		Dropped: func() []api.DroppedTarget {
			return []api.DroppedTarget{{DiscoveredLabels: labels.FromStrings("__address__", "gone:1"), ScrapePool: "node"}}
		},
		DroppedCounts: func() map[string]int { return map[string]int{"node": 1} },
		Pools:         func() []string { return []string{"web", "node"} },
		Config: func(pool string) (string, []*relabel.Config, error) {
			if pool != "node" {
				return "", nil, errors.New("scrape pool not found")
			}
			keep := relabel.DefaultRelabelConfig
			keep.SourceLabels, keep.TargetLabel, keep.Replacement = nil, "added", "yes"
			keep.NameValidationScheme = 2
			return "job_name: node\n", []*relabel.Config{&keep}, nil
		},
	}
	opts.Alertmanagers = func() (active, dropped []string) {
		return []string{"http://am:9093/api/v2/alerts"}, []string{"http://old:9093/api/v2/alerts"}
	}
	opts.Rules = func() []api.RuleGroup {
		alert := api.Alert{
			Labels: labels.FromStrings("alertname", "Down", "severity", "page"), Annotations: labels.FromStrings("summary", "it's <down>"),
			State: "firing", ActiveAt: &at, Value: "1e+00",
		}
		return []api.RuleGroup{
			{
				Name: "first", File: "/etc/rules/a.yml", Interval: 60, EvaluationTime: 0.5, LastEvaluation: at,
				Rules: []api.Rule{
					{Name: "job:up:sum", Query: "sum by (job) (up)", Labels: labels.FromStrings("team", "x"), Health: "ok", LastEvaluation: at},
					{
						Name: "Down", Query: "up == 0", Labels: labels.FromStrings("severity", "page"), Health: "err", LastError: "boom", LastEvaluation: at,
						Alerting: &api.Alerting{State: "firing", Duration: 300, KeepFiringFor: 10, Annotations: labels.FromStrings("summary", "x"), Alerts: []api.Alert{alert}},
					},
				},
			},
			{Name: "second", File: "/etc/rules/b.yml", Rules: []api.Rule{{Name: "Quiet", Query: "vector(1)", Health: "unknown", Alerting: &api.Alerting{State: "inactive"}}}},
			{Name: "third", File: "/etc/rules/b.yml", Rules: []api.Rule{{Name: "job:up:sum", Query: "up", Health: "ok"}}},
		}
	}
}
