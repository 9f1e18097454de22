// Package peer_test holds package notify against Prometheus' own code, whose dependencies are many.
package peer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/barograph-db/barograph/ruler/notify"
)

// ours and theirs read a configuration file.
func ours(t *testing.T, text string) (*notify.Config, error) {
	var doc struct {
		Alerting yaml.Node `yaml:"alerting"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(text), &doc))
	return notify.Parse(&doc.Alerting, "/etc/x")
}

func theirs(t *testing.T, text string) (*config.Config, error) {
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	c, err := config.LoadFile(path, false, promslog.NewNopLogger())
	if err == nil {
		c.AlertingConfig.SetDirectory("/etc/x")
	}
	return c, err
}

// One section means the same to both.
func TestSame(t *testing.T) {
	const set = "alerting:\n  alertmanagers:\n  - "
	for _, text := range []string{
		"alerting:\n",
		"alerting: {}\n",
		"alerting:\n  alertmanagers:\n",
		"alerting:\n  alertmanagers: []\n  alert_relabel_configs: []\n",
		set + "static_configs: [{targets: [a, 'b:1'], labels: {x: y}}]\n",
		set + "static_configs:\n    - targets:\n      - a\n    - targets: [c]\n    follow_redirects: no\n    enable_http2: false\n",
		set + "{scheme: https, path_prefix: /x/, timeout: 1m30s, api_version: v2}\n",
		set + "basic_auth: {username: x, password: y}\n",
		set + "authorization: {type: Token, credentials_file: /x}\n",
		set + "bearer_token: x\n",
		set + "oauth2: {client_id: x, client_secret: y, token_url: 'http://x', scopes: [a]}\n",
		set + "tls_config: {ca_file: /x, server_name: y, min_version: TLS12}\n",
		set + "proxy_url: http://p:1\n    no_proxy: a,b\n",
		set + "http_headers: {X-A: {values: [b]}}\n",
		set + "file_sd_configs: [{files: [/a.json, '/b*.yml'], refresh_interval: 1m}]\n",
		set + "dns_sd_configs: [{names: [a, b], type: A, port: 1}]\n",
		set + "static_configs: [{targets: ['http://a']}]\n    relabel_configs: [{source_labels: [__address__], target_label: __address__, regex: 'http://(.*)'}]\n",
		"x: &x {scheme: https}\n" + set + "<<: *x\n    timeout: 3s\n",
		"alerting:\n  alert_relabel_configs:\n  - {action: hashmod, modulus: 8, source_labels: [a], target_label: \"ü\"}\n  - {action: labelmap, regex: 'a(.*)'}\n",

		"alerting: []\n",
		"alerting: {x: 1}\n",
		"alerting:\n  alertmanagers: {}\n",
		"alerting:\n  alert_relabel_configs: [null]\n",
		"alerting:\n  alert_relabel_configs: [{action: what}]\n",
		"alerting:\n  alert_relabel_configs: [{action: replace}]\n",
		set + "x: 1\n",
		set + "api_version: v1\n",
		set + "api_version: ''\n",
		set + "timeout: x\n",
		set + "timeout: 5\n",
		set + "scheme: [x]\n",
		set + "static_configs: [null]\n",
		set + "static_configs: [{targets: ['http://a']}]\n",
		set + "static_configs: [{target: [a]}]\n",
		set + "file_sd_configs: [{}]\n",
		set + "file_sd_configs: [{files: [a.txt]}]\n",
		set + "dns_sd_configs: [{names: [a], type: A}]\n",
		set + "basic_auth: {username: x}\n    authorization: {credentials: y}\n",
		set + "basic_auth: {username: x, password: y, password_file: z}\n",
		set + "oauth2: {client_id: x}\n",
		set + "tls_config: {min_version: x}\n",
		set + "proxy_url: ':'\n",
		set + "no_proxy: a\n",
		set + "relabel_configs: [{regex: '('}]\n",
		set + "alert_relabel_configs: [null]\n",
		set + "consul_sd_configs: [{server: x}]\n",
	} {
		a, ourErr := ours(t, text)
		b, theirErr := theirs(t, strings.TrimPrefix(text, "x: &x {scheme: https}\n"))
		if strings.HasPrefix(text, "x:") { // They have no place for an anchor of its own.
			b, theirErr = theirs(t, set+"scheme: https\n    timeout: 3s\n")
		}
		require.Equal(t, theirErr == nil, ourErr == nil, "%s\nours: %v\ntheirs: %v", text, ourErr, theirErr)
		if theirErr != nil {
			continue
		}
		require.Equal(t, b.AlertingConfig.AlertRelabelConfigs, a.AlertRelabelConfigs, text)
		require.Len(t, a.Alertmanagers, len(b.AlertingConfig.AlertmanagerConfigs), text)
		for i, want := range b.AlertingConfig.AlertmanagerConfigs {
			got := a.Alertmanagers[i]
			require.Equal(t, want.HTTPClientConfig, got.HTTPClient, text)
			require.Equal(t, want.ServiceDiscoveryConfigs, got.Discovery, text)
			require.Equal(t, want.RelabelConfigs, got.RelabelConfigs, text)
			require.Equal(t, want.AlertRelabelConfigs, got.AlertRelabelConfigs, text)
			require.Equal(t, []any{want.Scheme, want.PathPrefix, want.Timeout, string(want.APIVersion)},
				[]any{got.Scheme, got.PathPrefix, got.Timeout, got.APIVersion}, text)
		}
	}
	require.Equal(t, model.Duration(10*time.Second), config.DefaultAlertmanagerConfig.Timeout)
	require.NotContains(t, discovery.RegisteredConfigNames(), "consul")
}
