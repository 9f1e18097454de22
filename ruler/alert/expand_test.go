package alert_test

import (
	"context"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/rules"
)

const defs = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

var (
	element = promql.Sample{Metric: labels.FromStrings("__name__", "up", "instance", "web-1.example.org:9100", "job", "node"), F: 12345.678}
	address = &url.URL{Scheme: "http", Host: "rules.example.org", Path: "/base"}
)

func answer(_ context.Context, expr string, _ time.Time) (promql.Vector, error) {
	if expr == "none" {
		return nil, nil
	}
	return promql.Vector{
		{Metric: labels.FromStrings("instance", "b", "__value__", "x"), F: 2},
		{Metric: labels.FromStrings("instance", "a"), F: math.NaN()},
	}, nil
}

func expander() *alert.Expander {
	e := &alert.Expander{
		External: labels.FromStrings("region", "eu"), URL: address, Logger: slog.New(slog.DiscardHandler),
		Query: func(ctx context.Context, expr string, at int64) (promql.Vector, error) {
			return answer(ctx, expr, time.UnixMilli(at))
		},
	}
	e.Limits.EnsureDefaults()
	return e
}

func expand(t testing.TB, e *alert.Expander, text string) string {
	r := &rules.Rule{Name: "Down", Annotations: labels.FromStrings("summary", text)}
	found := e.Found(t.Context(), r, 1_700_000_000_123, promql.Vector{element})
	require.Equal(t, labels.FromStrings("alertname", "Down", "instance", "web-1.example.org:9100", "job", "node"), found[0].Labels)
	return found[0].Annotations.Get("summary")
}

func peerExpand(text string) (string, error) {
	data := template.AlertTemplateData(element.Metric.Map(), map[string]string{"region": "eu"}, address.String(), element)
	return template.NewTemplateExpander(context.Background(), defs+text, "__alert_Down", data, model.Time(1_700_000_000_123), answer, address, nil).Expand()
}

var templates = []string{
	"", "plain", "{{ $value }}", "{{ $labels.instance }} of {{ .Labels.job }}{{ $labels.missing }}",
	"{{ $externalLabels.region }} {{ $externalURL }} {{ externalURL }} {{ pathPrefix }}",
	"{{ humanize $value }} {{ $value | humanize1024 }} {{ humanizeDuration 3661 }} {{ humanizePercentage 0.123 }} {{ humanizeTimestamp 1700000000 }}",
	`{{ range query "up" }}{{ .Labels.instance }}={{ .Value }};{{ else }}nothing{{ end }}`,
	`{{ range query "none" }}x{{ else }}nothing{{ end }}`,
	`{{ range $i, $s := query "up" | sortByLabel "instance" }}{{ $i }}{{ label "instance" $s }}{{ value $s }}{{ strvalue $s }}{{ end }}`,
	`{{ with query "up" }}{{ . | first | value | printf "%.1f" }}{{ end }}{{ first (query "none") }}`,
	`{{ define "x" }}<{{ .arg0 }}{{ if .arg1 }}!{{ else }}?{{ end }}>{{ end }}{{ template "x" (args 1 true) }}{{ template "x" (args "a" false) }}`,
	`{{ reReplaceAll "(.*):(.*)" "$2 on $1" $labels.instance }} {{ match "we.*" "web" }} {{ toUpper "a" }}{{ toLower "B" }}{{ title "some words" }}`,
	`{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }} {{ graphLink "up" }} {{ tableLink "up" }} {{ safeHtml "<a>" }}`,
	`{{ now }} {{ toTime $value }} {{ toDuration 1.5 }} {{ parseDuration "1h" }} {{ urlQueryEscape "a b" }}`,
	`{{ if gt $value 100.0 }}{{ $x := 1 }}{{ $x = 2 }}{{ $x }}{{ end }}{{- /* a comment */ -}} trimmed {{- "  x" }}`,
	`{{ (query "up" | first).Labels.instance }} {{ len (printf "%d" 5) }} {{ index $labels "job" }} {{ printf "%q" "a\"b" }}` + "{{ `raw` }}",
	`{{ $labels.instance`, `{{ nosuch }}`, `{{ humanize "x" }}`, `{{ range 3 }}{{ . }}{{ break }}{{ end }}{{ and 1 0 }}{{ not true }}{{ 'a' }} {{ 1e3 }} {{ nil }}`,
	`{{ range 3 }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ . }}{{ end }}`, `{{ .Labels }}`, `{{ block "b" . }}{{ .Value }}{{ end }}`,
}

func TestTemplatesAsPrometheus(t *testing.T) {
	for _, text := range templates {
		want, err := peerExpand(text)
		if err != nil {
			require.Contains(t, expand(t, expander(), text), "<error expanding template: error ", text)
			continue
		}
		require.Equal(t, want, expand(t, expander(), text), text)
	}
}

func FuzzTemplates(f *testing.F) {
	for _, text := range templates {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "range") || strings.Contains(text, "template") || strings.Contains(text, "define") ||
			strings.Contains(text, "block") || strings.Contains(text, "printf") || len(text) > 300 || strings.Contains(text, "__") {
			expand(t, expander(), text) // Prometheus may not come back from these.
			return
		}
		want, err := peerExpand(text)
		got := expand(t, expander(), text)
		if err == nil {
			require.Equal(t, want, got)
		} else {
			require.Contains(t, got, "<error expanding template: error ")
		}
	})
}

func TestRunawayTemplates(t *testing.T) {
	for _, text := range []string{
		`{{ range 1000000000 }}{{ end }}`,
		`{{ range 1000000000 }}x{{ end }}`,
		`{{ range 9000 }}` + strings.Repeat("x", 60_000) + `{{ end }}`,
		`{{ define "x" }}{{ template "x" . }}{{ template "x" . }}{{ end }}{{ template "x" . }}`,
		`{{ $x := "0123456789" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}`,
		`{{ $x := "0123456789" }}{{ range 64 }}{{ $x = html (printf "&%s&%s" $x $x) }}{{ end }}`,
		`{{ printf "%1000000d%1000000d%1000000d" 1 2 3 }}`,
		`{{ printf "%*d" 1000000 1 }}`,
		`{{ $x := printf "%0999d" 1 }}{{ range 6 }}{{ $x = print $x $x }}{{ end }}{{ reReplaceAll "" $x $x }}`,
	} {
		got := expand(t, expander(), text)
		require.Contains(t, got, "<error expanding template: error executing template", text)
		require.Less(t, len(got), 70_000)
	}
}
