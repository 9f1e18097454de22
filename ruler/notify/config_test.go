package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/file"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	c := parse(t, `
x: &auth
  basic_auth: {username: u, password_file: secrets/p}
alerting:
  alert_relabel_configs:
  - {action: labeldrop, regex: replica}
  alertmanagers:
  - <<: *auth
    scheme: https
    path_prefix: /am
    timeout: 3s
    api_version: v2
    tls_config: {ca_file: ca.pem}
    enable_http2: no
    http_headers: {X-Scope: {values: [a]}}
    static_configs:
    - targets: [a:9093]
      labels: {dc: x}
    file_sd_configs:
    - files: [am/*.json, /abs/*.yml]
    dns_sd_configs:
    - names: [_am._tcp.example.org]
    relabel_configs:
    - {action: keep, source_labels: [dc], regex: x}
  - static_configs: [{targets: [b:9093]}]
`)
	require.Len(t, c.AlertRelabelConfigs, 1)
	require.Len(t, c.Alertmanagers, 2)
	s := c.Alertmanagers[0]
	require.Equal(t, "https /am 3s v2", strings.Join([]string{s.Scheme, s.PathPrefix, s.Timeout.String(), s.APIVersion}, " "))
	require.Equal(t, "/etc/barograph/secrets/p", s.HTTPClient.BasicAuth.PasswordFile)
	require.Equal(t, "/etc/barograph/ca.pem", s.HTTPClient.TLSConfig.CAFile)
	require.False(t, s.HTTPClient.EnableHTTP2)
	require.True(t, s.HTTPClient.FollowRedirects)
	require.Len(t, s.Discovery, 3)
	for _, d := range s.Discovery {
		if f, ok := d.(*file.SDConfig); ok {
			require.Equal(t, []string{"/etc/barograph/am/*.json", "/abs/*.yml"}, f.Files)
		}
	}
	require.Len(t, s.RelabelConfigs, 1)

	s = c.Alertmanagers[1]
	require.Equal(t, model.Duration(10*time.Second), s.Timeout)
	require.Equal(t, "http", s.Scheme)
	require.True(t, s.HTTPClient.EnableHTTP2)
	require.Equal(t, model.LabelValue("b:9093"), s.Discovery[0].(discovery.StaticConfig)[0].Targets[0][model.AddressLabel])

	c, err := Parse(nil, "")
	require.NoError(t, err)
	require.Equal(t, &Config{}, c)
}

func TestParseErrors(t *testing.T) {
	const set = "alerting:\n  alertmanagers:\n  # A comment.\n\n  - path_prefix: {x: 1}\n"
	for name, tc := range map[string]struct {
		text string
		want []string // each a line of the error
	}{
		"unknown key": {"alerting:\n\n  alertmanager: []\n", []string{`line 3: unknown key "alertmanager" in alerting`}},
		"twice":       {"alerting:\n  alertmanagers: []\n  alertmanagers: []\n", []string{`line 3: key "alertmanagers" is given twice`}},
		"not a map":   {"alerting: [1]\n", []string{"line 1: alerting must be a mapping"}},
		"not a list":  {"alerting:\n  alertmanagers: {}\n", []string{"line 2: alertmanagers must be a list"}},
		"not sets":    {"alerting:\n  alertmanagers:\n  - null\n  - x\n", []string{"line 3: each entry", "line 4: each entry"}},
		"keys of sets": {`
alerting:
  alertmanagers:
  # The first.
  - scheme: http

    shceme: https
    basic_auth:
      user: x
  - tls_config: {insecure: true,

      insecure_skip_verify: maybe}
`, []string{`line 7: unknown key "shceme"`, `line 9: unknown key "user"`, `line 10: unknown key "insecure"`, "line 12: cannot unmarshal !!str `maybe` into bool"}},
		"twice in a set": {"alerting:\n  alertmanagers:\n  - scheme: http\n    timeout: 1s\n    scheme: http\n", []string{`line 5: key "scheme" is given twice`}},
		"other discovery": {`
alerting:
  alertmanagers:
  - static_configs: [{targets: [x]}]
    consul_sd_configs: [{server: x}]
    kubernetes_sd_configs: []
`, []string{"line 5: consul_sd_configs is not supported: Alertmanagers are found by", "line 6: kubernetes_sd_configs is not"}},
		"sigv4":      {"alerting:\n  alertmanagers:\n  - sigv4: {}\n", []string{"line 3: sigv4 is not supported"}},
		"v1":         {"alerting:\n  alertmanagers:\n\n  - api_version: v1\n", []string{"line 4: api_version v1 is gone from Alertmanager"}},
		"v3":         {"alerting:\n  alertmanagers:\n  - api_version: v3\n", []string{`line 3: api_version "v3" is not known`}},
		"scheme":     {"alerting:\n  alertmanagers:\n  - scheme: ftp\n", []string{`line 3: scheme "ftp" is neither`}},
		"timeout":    {"alerting:\n  alertmanagers:\n  - timeout: 0s\n", []string{"line 3: timeout must be above zero"}},
		"duration":   {"alerting:\n  alertmanagers:\n  - timeout: 5\n", []string{"line 3: "}},
		"URL":        {"alerting:\n  alertmanagers:\n  - static_configs: [{targets: ['http://x:9093']}]\n", []string{`line 3: target "http://x:9093" is not HOST:PORT`}},
		"two auths":  {"alerting:\n  alertmanagers:\n  - basic_auth: {username: x}\n    bearer_token: y\n", []string{"line 3: at most one of"}},
		"file":       {"alerting:\n  alertmanagers:\n  - file_sd_configs: [{files: [x.txt]}]\n", []string{"line 3: "}},
		"DNS":        {"alerting:\n  alertmanagers:\n  - dns_sd_configs: [{names: [x], type: A}]\n", []string{"line 3: a port is required"}},
		"relabel":    {"alerting:\n  alert_relabel_configs:\n  - {action: hashmod}\n", []string{"line 3: alert_relabel_configs: entry 1: relabel configuration for hashmod"}},
		"no relabel": {"alerting:\n  alert_relabel_configs: [null]\n", []string{"line 2: alert_relabel_configs: entry 1 is empty"}},
		"regexp":     {"alerting:\n  alertmanagers:\n  - relabel_configs: [{regex: '('}]\n", []string{"line 3: "}},
		"relabelled": {"alerting:\n  alertmanagers:\n  - relabel_configs: [{action: replace}]\n", []string{"line 3: relabel_configs: entry 1: "}},
		"type":       {set, []string{"line 5: cannot unmarshal !!map into string"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryParse(tc.text)
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(tc.want), err)
			for i, want := range tc.want {
				require.Contains(t, lines[i], want)
			}
		})
	}
}

// Aliases that name themselves, or multiply, end.
func TestParseBombs(t *testing.T) {
	text := "alerting: &x {alertmanagers: [*x]}"
	_, err := tryParse(text)
	require.ErrorContains(t, err, "too deep")
	var b strings.Builder
	b.WriteString("a0: &a0 {x: 1}\n")
	for i := 1; i < 30; i++ {
		b.WriteString(strings.NewReplacer("N", string(rune('0'+i/10))+string(rune('0'+i%10)), "M", string(rune('0'+(i-1)/10))+string(rune('0'+(i-1)%10))).
			Replace("aN: &aN [*aM, *aM]\n"))
	}
	text = strings.ReplaceAll(b.String(), "a0: &a0 ", "a00: &a00 ") + "alerting: {alertmanagers: *a29}"
	_, err = tryParse(text)
	require.ErrorContains(t, err, "expand to too much")
}

func FuzzParse(f *testing.F) {
	f.Add(two)
	f.Add("x: &a {scheme: http}\nalerting: {alertmanagers: [{<<: [*a], static_configs: [{targets: [x], labels: {a: b}}]}]}")
	f.Add("alerting: {alert_relabel_configs: [{regex: '(', modulus: 1}], alertmanagers: [{timeout: 1s, oauth2: {}}]}")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := tryParse(text)
		if (c == nil) == (err == nil) {
			t.Fatal(c, err)
		}
		if err != nil {
			return
		}
		for _, s := range c.Alertmanagers {
			for _, d := range s.Discovery {
				if static, ok := d.(discovery.StaticConfig); ok {
					s.targets(static)
				}
			}
		}
	})
}
