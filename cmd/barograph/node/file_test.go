package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestParseFileErrors(t *testing.T) {
	for _, tc := range []struct{ name, yaml, want string }{
		{"unknown top key", "global: {}\nfoo: 1\n", `f.yml:2: unknown key "foo"`},
		{"unknown key of global", "global:\n  scrape_interval: 5s\n  bar: 1\n", `f.yml:3: unknown key "bar" in global`},
		{"unknown key of ours", "barograph:\n  limits:\n    baz: 1\n", `f.yml:3: unknown key "baz" in barograph.limits`},
		{"two problems", "a: 1\nb: 2\n", `f.yml:1: unknown key "a"; f.yml:2: unknown key "b"`},
		{"duration", "global:\n  scrape_interval: fast\n", `f.yml:2: "fast" is not a duration (like 15s, 5m or 30d)`},
		{"size", "barograph:\n  retention:\n    size: big\n", `f.yml:3: "big" is not a size (like 512MB or 2GiB)`},
		{"negative size", "barograph: {retention: {size: -5}}", `f.yml:1: "-5" is not a size (like 512MB or 2GiB)`},
		{"number", "barograph:\n  query:\n    max_samples: many\n", "f.yml:3: cannot unmarshal !!str `many` into int"},
		{"syntax", "global:\n  - a\n b: [\n", "f.yml:2: did not find expected key"},
		{"key twice", "global: {}\nglobal: {}\n", `f.yml:2: mapping key "global" already defined at line 1`},
		{"two documents", "global: {}\n---\nglobal: {}\n", "f.yml: only one YAML document is allowed"},
		{"no mapping", "- 1\n", "f.yml:1: cannot unmarshal !!seq into node.File"},
		{"list wanted", "scrape_configs:\n  job_name: a\n", "f.yml:2: scrape_configs must be a list"},
		{"mapping in a list", "remote_write:\n  - url: a\n  - b\n", "f.yml:3: each entry of remote_write must be a mapping (key: value)"},
		{"mapping wanted", "alerting: [1]\n", "f.yml:1: alerting must be a mapping (key: value)"},
		{"timeout", "global: {scrape_interval: 5s, scrape_timeout: 6s}", "f.yml: global.scrape_timeout is greater than global.scrape_interval"},
		{"protocol", "global: {scrape_protocols: [Telnet]}", `f.yml: global.scrape_protocols: "Telnet" is none of PrometheusProto`},
		{"protocol twice", "global: {scrape_protocols: [PrometheusProto, PrometheusProto]}", `"PrometheusProto" is given twice`},
		{"external label", "global: {external_labels: {__name__: x}}", `f.yml: global.external_labels: "__name__" is not a valid label`},
		{"log level", "runtime: {log_level: loud}", "f.yml: runtime.log_level:"},
		{"limits", "barograph: {limits: {body_bytes: 100GiB}}", "f.yml: barograph.limits: body_bytes"},
		{"queries", "barograph: {query: {max_concurrency: 100000}}", "f.yml: barograph.query.max_concurrency"},
		{"self-scrape", "barograph: {self_scrape: {interval: 10ms}}", "f.yml: barograph.self_scrape.interval must be at least 1s"},
		{"self-referring alias", "alerting: &a\n  x: *a\n", "f.yml:1: the section is nested too deep or its aliases expand to too much"},
		{
			"multiplying aliases", "tracing:\n  a: &a [1,1,1,1,1,1,1,1,1,1]\n  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" +
				"  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n" +
				"  e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n  f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n  g: [*f,*f]\n",
			"f.yml:2: the section is nested too deep or its aliases expand to too much",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parseFile("f.yml", []byte(tc.yaml))
			var fe *FileError
			require.ErrorAs(t, err, &fe)
			require.Contains(t, err.Error(), tc.want)
			require.Len(t, fe.Lines(), len(strings.Split(err.Error(), "; ")))
		})
	}
}

func TestParseFileDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "global:\n", "barograph:\n"} {
		f, err := parseFile("f.yml", []byte(text))
		require.NoError(t, err, text)
		require.Equal(t, Duration(time.Minute), f.Global.ScrapeInterval)
		require.Equal(t, Duration(10*time.Second), f.Global.ScrapeTimeout)
		require.Equal(t, Duration(15*time.Second), f.Barograph.SelfScrape.Interval)
		require.True(t, *f.Barograph.SelfScrape.Enabled)
		require.Equal(t, Duration(30*24*time.Hour), f.Barograph.Retention.Time)
		require.Empty(t, f.Unused())
	}
	f, err := parseFile("f.yml", []byte("global: {scrape_interval: 5s}\nbarograph: {self_scrape: {enabled: false}}"))
	require.NoError(t, err)
	require.Equal(t, Duration(5*time.Second), f.Global.ScrapeTimeout)
	require.Equal(t, Duration(5*time.Second), f.Barograph.SelfScrape.Interval)
	require.False(t, *f.Barograph.SelfScrape.Enabled)
}

func TestExternalLabelsFromEnvironment(t *testing.T) {
	t.Setenv("BAROGRAPH_TEST_DC", "ams")
	f, err := parseFile("f.yml", []byte(`global: {external_labels: {dc: "${BAROGRAPH_TEST_DC}-1", price: "$$5"}}`))
	require.NoError(t, err)
	require.Equal(t, labels.FromStrings("dc", "ams-1", "price", "$5"), f.externalLabels())
}

// A complete prometheus.yml loads; what has no effect is named, and no secret of it is shown.
func TestPrometheusFile(t *testing.T) {
	f, err := LoadFile(filepath.Join("testdata", "prometheus.yml"))
	require.NoError(t, err)
	require.Equal(t, []string{
		"global.body_size_limit", "global.query_log_file", "global.scrape_timeout", "otlp", "remote_read",
		"remote_write", "scrape_config_files", "scrape_configs", "storage", "tracing",
	}, f.Unused())

	shown := f.String()
	require.NotContains(t, shown, "hunter2")
	require.NotContains(t, shown, "&")
	for _, kept := range []string{
		"password: <secret>", "credentials: <secret>", "password_file: /etc/password", "https://xxxxx@example.org/push",
		"X-Token: <secret>", "enable_compression: true", "job_name: node", "scrape_interval: 15s", "size: 100GiB",
		"key: <secret>", "key_file: /etc/key",
	} {
		require.Contains(t, shown, kept)
	}
	again, err := parseFile("f.yml", []byte(shown))
	require.NoError(t, err, "what is shown is a configuration again")
	require.Equal(t, shown, again.String())
}

func TestLoadFile(t *testing.T) {
	_, err := LoadFile(filepath.Join(t.TempDir(), "missing.yml"))
	require.ErrorContains(t, err, "--config.file")
	large := filepath.Join(t.TempDir(), "large.yml")
	require.NoError(t, os.WriteFile(large, make([]byte, maxFileBytes+1), 0o600))
	_, err = LoadFile(large)
	require.ErrorContains(t, err, "larger than")
}

func FuzzParseFile(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "prometheus.yml"))
	require.NoError(f, err)
	f.Add(string(text))
	f.Add("barograph: {limits: {body_bytes: 1MiB}, query: {timeout: 1m}}")
	f.Add("alerting: &a\n  x: *a\n")
	f.Add("a: b: c")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := parseFile("f.yml", []byte(text))
		if err != nil {
			return
		}
		if _, err := parseFile("f.yml", []byte(file.String())); err != nil {
			t.Fatalf("what is shown does not load: %v\n%s", err, file)
		}
	})
}
