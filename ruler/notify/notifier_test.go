package notify

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

const (
	two = `
alerting:
  alertmanagers:
  - static_configs: [{targets: ["a:1", "b:1"]}]
`
	one = `
alerting:
  alertmanagers:
  - static_configs: [{targets: ["a:1"]}]
`
)

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no: "+strings.Repeat("x", 1<<20), code) }
}

// Each hears of every alert; one that is down or hangs delays no other, and hears of them later, once
// each, in order.
func TestEachByItself(t *testing.T) {
	for name, bad := range map[string]func(http.ResponseWriter, *http.Request){
		"down": status(503), "overloaded": status(429),
		"hangs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newNetwork()
				a, b := net.up(t, "a:1", nil), net.up(t, "b:1", bad)
				with(t, Options{Dial: net.dial, BatchSize: 2}, two, func(n *Notifier, reg *prometheus.Registry) {
					var want []string
					for i := range 5 {
						n.Send([]Alert{firing(fmt.Sprint(i))})
						want = append(want, fmt.Sprint(i))
					}
					n.Send([]Alert{resolved("0")})
					want = append(want, "0!")
					synctest.Wait()
					require.Equal(t, want, a.names())

					time.Sleep(time.Minute)
					require.Empty(t, b.names())
					n.Send([]Alert{firing("1"), firing("4"), resolved("0")})
					require.Equal(t, 6.0, total(t, reg, "barograph_notifications_queue_length", "http://b:1/api/v2/alerts"))
					b.setAnswer(nil)
					time.Sleep(longestDelay + 10*time.Second)
					require.Equal(t, want, b.names())
					require.Zero(t, total(t, reg, "barograph_notifications_dropped_total"))
					require.Zero(t, total(t, reg, "barograph_notifications_queue_length"))
					require.Greater(t, total(t, reg, "barograph_notifications_errors_total"), 5.0)
					require.Equal(t, 6.0, total(t, reg, "barograph_notifications_sent_total", "http://b:1/api/v2/alerts"))
					require.Equal(t, 2.0, total(t, reg, "barograph_notifications_alertmanagers_discovered"))
				})
			})
		})
	}
}

// What waits is sent while it is worth it.
func TestExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork()
		a := net.up(t, "a:1", status(500))
		with(t, Options{Dial: net.dial}, one, func(n *Notifier, reg *prometheus.Registry) {
			n.Send([]Alert{firing("fires"), resolved("resolved")})
			time.Sleep(5 * time.Minute)
			a.setAnswer(nil)
			time.Sleep(time.Minute)
			require.Equal(t, []string{"resolved!"}, a.names())
			require.Equal(t, 1.0, total(t, reg, "barograph_notifications_dropped_total", dropExpired))

			a.setAnswer(status(500))
			n.Send([]Alert{resolved("later")})
			time.Sleep(resolvedFor + time.Minute)
			require.Equal(t, 2.0, total(t, reg, "barograph_notifications_dropped_total", dropExpired))
			tries := a.tried()
			time.Sleep(time.Hour)
			require.Equal(t, tries, a.tried(), "nothing waits, and nothing is sent")
		})
	})
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork()
		a := net.up(t, "a:1", status(400))
		with(t, Options{Dial: net.dial}, one, func(n *Notifier, reg *prometheus.Registry) {
			n.Send([]Alert{firing("x"), firing("y")})
			time.Sleep(time.Minute)
			require.Equal(t, 1, a.tried())
			require.Equal(t, 2.0, total(t, reg, "barograph_notifications_dropped_total", dropRefused))
			a.setAnswer(nil)
			n.Send([]Alert{firing("z")})
			synctest.Wait()
			require.Equal(t, []string{"z"}, a.names())
		})
	})
}

// The end is put off for up to 2 seconds, to send what waits.
func TestLastTry(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   []string
		after  time.Duration
		drop   float64
	}{
		"slow": {func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Second) }, nil, time.Second, 0},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, nil, lastTry, 1},
		"down": {status(500), nil, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newNetwork()
				net.up(t, "a:1", tc.answer)
				n, err := New(Options{Dial: net.dial})
				require.NoError(t, err)
				require.NoError(t, n.Apply(parse(t, one), labels.EmptyLabels()))
				dropped := n.mu.senders[place{url: "http://a:1/api/v2/alerts"}].metrics.dropped[dropRemoved]
				ctx, cancel := context.WithCancel(t.Context())
				n.Send([]Alert{firing("x")})
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_ = n.Run(ctx)
				}()
				synctest.Wait()
				at := time.Now()
				cancel()
				<-ended
				require.Equal(t, tc.after, time.Since(at))
				require.Equal(t, tc.drop, value(t, dropped))
			})
		})
	}
}

// An Alertmanager keeps its queue while it has the same URL, and for a while when it is found no more.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork()
		a, b := net.up(t, "a:1", status(500)), net.up(t, "b:1", nil)
		with(t, Options{Dial: net.dial}, one, func(n *Notifier, reg *prometheus.Registry) {
			n.Send([]Alert{firing("x")})
			apply := func(text string, external ...string) {
				require.NoError(t, n.Apply(parse(t, text), labels.FromStrings(external...)))
			}
			apply(`
alerting:
  alertmanagers:
  - static_configs: [{targets: ["b:1"]}]
`)
			time.Sleep(linger / 2)
			apply(`
alerting:
  alert_relabel_configs:
  - {action: labeldrop, regex: replica}
  alertmanagers:
  - basic_auth: {username: me, password: secret}
    static_configs: [{targets: ["b:1", "a:1"]}]
`, "replica", "1", "dc", "here")
			time.Sleep(2 * linger)
			a.setAnswer(nil)
			n.Send([]Alert{firing("y")})
			time.Sleep(longestDelay)
			require.Equal(t, []string{"x", "y"}, a.names())
			require.Equal(t, []string{"y"}, b.names())
			require.Equal(t, map[string]string{"alertname": "y", "dc": "here"}, b.alerts[0].Labels)
			user, password, _ := a.requests[len(a.requests)-1].BasicAuth()
			require.Equal(t, "me secret", user+" "+password)

			a.setAnswer(status(500))
			n.Send([]Alert{firing("z")})
			apply(`alerting: {}`)
			time.Sleep(linger + time.Second)
			tries := a.tried()
			time.Sleep(time.Hour)
			require.Equal(t, tries, a.tried())
			require.Zero(t, total(t, reg, "barograph_notifications_queue_length"))
			active, _ := n.Alertmanagers()
			require.Empty(t, active)
			n.Send([]Alert{firing("nowhere")})
			require.Zero(t, total(t, reg, "barograph_notifications_unaddressed_total"), "nobody is to hear")
		})
	})
}

// A set's relabelling is for its own Alertmanagers, and one URL in two sets is two.
func TestRelabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork()
		a, b := net.up(t, "a:1", nil), net.up(t, "b:1", nil)
		config := `
alerting:
  alert_relabel_configs:
  - {action: drop, source_labels: [alertname], regex: never}
  alertmanagers:
  - static_configs: [{targets: ["a:1", "a:1"]}]
    alert_relabel_configs:
    - {action: keep, source_labels: [alertname], regex: "a.*"}
  - static_configs: [{targets: ["a:1", "b:1", "c:1"]}]
    relabel_configs:
    - {action: drop, source_labels: [__address__], regex: "c:1"}
    alert_relabel_configs:
    - {action: replace, target_label: set, replacement: "2"}
`
		with(t, Options{Dial: net.dial}, config, func(n *Notifier, reg *prometheus.Registry) {
			n.Send([]Alert{firing("never"), firing("a1"), firing("b1")})
			synctest.Wait()
			require.ElementsMatch(t, []string{"a1", "a1", "b1"}, a.names())
			require.Equal(t, []string{"a1", "b1"}, b.names())
			require.Equal(t, "2", b.alerts[0].Labels["set"])
			active, dropped := n.Alertmanagers()
			require.Equal(t, []string{"http://a:1/api/v2/alerts", "http://a:1/api/v2/alerts", "http://b:1/api/v2/alerts"}, active)
			require.Equal(t, []string{"http://c:1/api/v2/alerts"}, dropped)
		})
	})
}

func TestPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork()
		var body string
		a := net.up(t, "a:1", nil)
		with(t, Options{Dial: net.dial, UserAgent: "Barograph/1.2"}, `
alerting:
  alertmanagers:
  - path_prefix: am/
    static_configs: [{targets: ["a:1"]}]
`, func(n *Notifier, _ *prometheus.Registry) {
			at := time.UnixMilli(1_700_000_000_123)
			one := Alert{
				Labels: labels.FromStrings("alertname", "x", "a", "\"ü"), Annotations: labels.FromStrings("summary", "s"),
				StartsAt: at, EndsAt: time.Now().Add(time.Hour).Truncate(time.Second), GeneratorURL: "http://here/graph?a=b",
			}
			text, err := encode([]*entry{newEntry(one, at)})
			require.NoError(t, err)
			body = string(text)
			n.Send([]Alert{one})
			synctest.Wait()
		})
		r := a.requests[0]
		require.Equal(t, "/am/api/v2/alerts", r.URL.Path)
		require.Equal(t, "POST", r.Method)
		require.Equal(t, "application/json", r.Header.Get("Content-Type"))
		require.Equal(t, "Barograph/1.2", r.Header.Get("User-Agent"))
		require.JSONEq(t, `[{"labels":{"a":"\"ü","alertname":"x"},"annotations":{"summary":"s"},
			"startsAt":"2023-11-14T22:13:20.123Z","endsAt":"2000-01-01T01:00:00.000Z","generatorURL":"http://here/graph?a=b"}]`, body)
		require.Equal(t, "2023-11-14T22:13:20.123Z", a.alerts[0].StartsAt)
	})
}

// An answer has no end, a redirect leads elsewhere: neither harms.
func TestHostileAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork()
		endless := func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		}
		net.up(t, "a:1", endless)
		elsewhere := net.up(t, "c:1", nil)
		net.up(t, "b:1", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://c:1/api/v2/alerts", http.StatusTemporaryRedirect)
		})
		with(t, Options{Dial: net.dial}, `
alerting:
  alertmanagers:
  - authorization: {credentials: secret}
    static_configs: [{targets: ["a:1", "b:1"]}]
`, func(n *Notifier, reg *prometheus.Registry) {
			n.Send([]Alert{firing("x")})
			time.Sleep(time.Second)
			require.Equal(t, 2.0, total(t, reg, "barograph_notifications_sent_total"))
			require.Equal(t, []string{"x"}, elsewhere.names())
			require.Empty(t, elsewhere.requests[0].Header.Get("Authorization"))
		})
	})
}

func TestManyAlertmanagers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 120 {
			names = append(names, fmt.Sprintf("m%d:1", i))
		}
		net := newNetwork()
		config := "alerting: {alertmanagers: [{static_configs: [{targets: ['" + strings.Join(names, "','") + "']}]}]}"
		with(t, Options{Dial: net.dial, MaxAlertmanagers: 110, QueueSize: 2}, config, func(n *Notifier, reg *prometheus.Registry) {
			n.Send([]Alert{firing("x"), firing("y"), firing("z")})
			synctest.Wait()
			require.Equal(t, 10.0, total(t, reg, "barograph_notifications_alertmanagers_ignored"))
			require.Equal(t, 20.0, total(t, reg, "barograph_notifications_queue_length", otherLabel))
			require.Equal(t, 220.0, total(t, reg, "barograph_notifications_queue_length"))
			require.Equal(t, 110.0, total(t, reg, "barograph_notifications_dropped_total", dropFull))
			require.NoError(t, n.Apply(nil, labels.EmptyLabels()))
			time.Sleep(linger + time.Second)
			require.Zero(t, total(t, reg, "barograph_notifications_queue_length"))
			require.Empty(t, n.metrics.mu.users)
		})
	})
}

func TestBackoff(t *testing.T) {
	require.Equal(t, firstDelay, backoff(1, 0))
	require.Equal(t, 2*firstDelay, backoff(2, 0))
	require.Equal(t, longestDelay, backoff(6, 0))
	require.Equal(t, longestDelay, backoff(1<<40, 0))
	require.Equal(t, longestDelay*3/4, backoff(100, 1))
}

// Settings that can't be used change nothing; alerts that have nowhere to go are counted.
func TestApplyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork()
		a := net.up(t, "a:1", nil)
		with(t, Options{Dial: net.dial}, one, func(n *Notifier, reg *prometheus.Registry) {
			bad := parse(t, strings.ReplaceAll(one, "static_configs", "tls_config: {ca_file: /not/there}\n    static_configs"))
			require.ErrorContains(t, n.Apply(bad, labels.EmptyLabels()), "alertmanagers, entry 1: ")
			n.Send([]Alert{firing("x")})
			synctest.Wait()
			require.Equal(t, []string{"x"}, a.names())

			none := parse(t, strings.ReplaceAll(one, "static_configs", "relabel_configs: [{action: drop}]\n    static_configs"))
			require.NoError(t, n.Apply(none, labels.EmptyLabels()))
			n.Send([]Alert{firing("y")})
			require.Equal(t, 1.0, total(t, reg, "barograph_notifications_unaddressed_total"))
		})
	})
}

// The section's TLS settings are those of the connection.
func TestTLS(t *testing.T) {
	got := make(chan string, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644))
	with(t, Options{}, fmt.Sprintf(`
alerting:
  alertmanagers:
  - scheme: https
    tls_config: {ca_file: %q}
    authorization: {credentials: secret}
    static_configs: [{targets: [%q]}]
`, ca, server.Listener.Addr()), func(n *Notifier, _ *prometheus.Registry) {
		n.Send([]Alert{firing("x")})
		require.Equal(t, "Bearer secret", <-got)
	})
}
