// Package peer_test holds package alert against Prometheus' own code, whose dependencies are many.
package peer_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler/alert"
)

// peer runs one rule by Prometheus' own code and by ours, and compares.
type peer struct {
	t      *testing.T
	theirs *rules.AlertingRule
	vector promql.Vector
	rule   alert.Rule
	alerts []*alert.Alert
}

const (
	interval = 30 * time.Second
	resend   = time.Minute
)

var ruleLabels = labels.FromStrings("severity", "page")

func newPeer(t *testing.T, r alert.Rule) *peer {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr("x")
	require.NoError(t, err)
	return &peer{t: t, rule: r, theirs: rules.NewAlertingRule("Down", expr, r.For, r.KeepFiringFor, ruleLabels,
		labels.FromStrings("summary", "it is down"), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))}
}

// eval evaluates with these elements, and returns what of each is to be sent, by Prometheus and by us.
func (p *peer) eval(at time.Time, elements map[string]float64) (sent []*alert.Alert) {
	p.t.Helper()
	p.vector = p.vector[:0]
	var found []alert.Found
	for name, v := range elements {
		p.vector = append(p.vector, promql.Sample{Metric: labels.FromStrings("__name__", "x", "instance", name), F: v})
		found = append(found, alert.Found{
			Labels:      labels.FromStrings("alertname", "Down", "instance", name, "severity", "page"),
			Annotations: labels.FromStrings("summary", "it is down"), Value: v,
		})
	}
	theirs, err := p.theirs.Eval(p.t.Context(), 0, at, func(context.Context, string, time.Time) (promql.Vector, error) {
		return slices.Clone(p.vector), nil
	}, nil, p.rule.Limit)
	next, ourErr := alert.Step(p.rule, at.UnixMilli(), found, p.alerts)
	require.Equal(p.t, err, ourErr)
	require.NoError(p.t, err)
	p.alerts = next

	want := map[string]float64{}
	for _, s := range theirs {
		want[s.Metric.String()] = s.F
	}
	got := map[string]float64{}
	for _, s := range alert.Samples("Down", ruleLabels, p.alerts) {
		got[s.Labels.String()] = s.Value
	}
	require.Equal(p.t, want, got)

	// What Prometheus keeps to itself is seen when it sends, so this does as its sending does.
	expected := map[string]string{}
	p.theirs.ForEachActiveAlert(func(a *rules.Alert) {
		if a.State != rules.StatePending && (a.ResolvedAt.After(a.LastSentAt) || a.LastSentAt.Add(resend).Before(at)) {
			a.LastSentAt, a.ValidUntil = at, at.Add(4*max(interval, resend))
			expected[a.Labels.String()] = fmt.Sprint(a.State, millis(a.ActiveAt), millis(a.FiredAt), millis(a.ResolvedAt),
				millis(a.KeepFiringSince), millis(a.LastSentAt), millis(a.ValidUntil), a.Value, a.Annotations)
		}
	})
	p.alerts, sent = alert.Due(alert.Sending{At: at.UnixMilli(), Interval: interval, Resend: resend}, p.alerts)
	have := map[string]string{}
	for _, a := range sent {
		have[a.Labels.String()] = fmt.Sprint(a.State, a.ActiveAt, a.FiredAt, a.ResolvedAt, a.KeepFiringSince, a.LastSentAt, a.ValidUntil, a.Value, a.Annotations)
	}
	require.Equal(p.t, expected, have)
	return sent
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Random histories come to the same as in Prometheus.
func TestAsPrometheus(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		p := newPeer(t, alert.Rule{
			For:           time.Duration(rnd.IntN(4)) * 45 * time.Second,
			KeepFiringFor: time.Duration(rnd.IntN(3)) * 50 * time.Second,
		})
		at := time.UnixMilli(1_700_000_000_000)
		chance := rnd.Float64()
		for range 100 {
			elements := map[string]float64{}
			for i := range 4 {
				if rnd.Float64() < chance {
					elements[string(rune('a'+i))] = float64(rnd.IntN(3))
				}
			}
			if rnd.IntN(20) == 0 {
				chance = rnd.Float64()
			}
			p.eval(at, elements)
			at = at.Add(interval * time.Duration(1+rnd.IntN(2)))
		}
	}
}
