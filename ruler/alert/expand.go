package alert

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	"github.com/barograph-db/barograph/ruler/rules"
)

// TemplateLimits bound the expansion of one label or annotation.
type TemplateLimits struct {
	Bytes   int           // of text that is printed, or kept meanwhile; default 1 MiB
	Steps   int           // turns of loops and calls of templates; default 10,000
	Timeout time.Duration // default 10 seconds
}

// EnsureDefaults replaces zero values.
func (l *TemplateLimits) EnsureDefaults() {
	if l.Bytes == 0 {
		l.Bytes = 1 << 20
	}
	if l.Steps == 0 {
		l.Steps = 10_000
	}
	if l.Timeout == 0 {
		l.Timeout = 10 * time.Second
	}
}

// Expander makes alerts of what an expression found: Prometheus' templates, with limits.
type Expander struct {
	External labels.Labels
	URL      *url.URL
	// Query is for templates that ask, at a time in milliseconds since 1970.
	Query  func(ctx context.Context, expr string, at int64) (promql.Vector, error)
	Limits TemplateLimits
	Logger *slog.Logger
}

// defs are names that templates may use, as in Prometheus.
const defs = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// Found returns the alerts of a rule by what its expression found at a time. A template that fails
// says so in its place.
func (e *Expander) Found(ctx context.Context, r *rules.Rule, at int64, vector promql.Vector) []Found {
	out := make([]Found, len(vector))
	external := e.External.Map()
	name := "__alert_" + r.Name
	texts := map[string]string{} // templates as they are guarded
	prepare := func(l labels.Label) {
		text, err := guard(name, defs+l.Value)
		if err != nil {
			text = defs + l.Value // The library says what is wrong with it.
		}
		texts[l.Value] = text
	}
	r.Labels.Range(prepare)
	r.Annotations.Range(prepare)
	lb := labels.NewBuilder(labels.EmptyLabels())
	for i := range vector {
		s := &vector[i]
		data := template.AlertTemplateData(s.Metric.Map(), external, e.URL.String(), *s)
		expand := func(text string) string {
			result, err := e.expand(ctx, name, texts[text], data, at)
			if err != nil {
				e.Logger.Warn("A template of an alert can't be expanded", "alert", r.Name, "err", err)
				return fmt.Sprintf("<error expanding template: %s>", err)
			}
			return result
		}
		lb.Reset(s.Metric)
		lb.Del(model.MetricNameLabel)
		r.Labels.Range(func(l labels.Label) { lb.Set(l.Name, expand(l.Value)) })
		lb.Set(labels.AlertName, r.Name)
		out[i] = Found{Labels: lb.Labels(), Value: s.F}
		ab := labels.NewScratchBuilder(r.Annotations.Len())
		r.Annotations.Range(func(a labels.Label) { ab.Add(a.Name, expand(a.Value)) })
		out[i].Annotations = ab.Labels()
	}
	return out
}

func (e *Expander) expand(ctx context.Context, name, text string, data any, at int64) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Limits.Timeout)
	defer cancel()
	query := func(ctx context.Context, expr string, t time.Time) (promql.Vector, error) {
		return e.Query(ctx, expr, t.UnixMilli())
	}
	x := template.NewTemplateExpander(ctx, text, name, data, model.Time(at), query, e.URL, nil)
	m := &meter{limits: e.Limits, done: ctx.Done()}
	x.Funcs(m.funcs())
	return x.Expand()
}
