package ruler

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

var (
	errSameSeries = errors.New("vector contains metrics with the same labelset after applying rule labels")
	staleMarker   = math.Float64frombits(value.StaleNaN)
)

// memory is what one evaluation of a group leaves for the next.
type memory struct {
	alerts map[rules.ID][]*alert.Alert
	// series that each rule wrote, by their label bytes: those that it writes no more are marked stale.
	series map[rules.ID]map[string]labels.Labels
}

// evaluation is that of a group at a timestamp.
type evaluation struct {
	*Ruler
	group  *rules.Group
	expand *alert.Expander
	at     int64
	hold   bool
	before memory

	after   memory
	due     []Notice
	out     ledger.Evaluated
	samples int
	until   time.Time // nothing is tried again after that
}

// backoff between trials, doubled each time.
const (
	firstBackoff   = 250 * time.Millisecond
	longestBackoff = 5 * time.Second
)

// run evaluates the rules one after the other.
func (e *evaluation) run(ctx context.Context) {
	began := time.Now()
	e.until = began.Add(e.opts.Patience)
	e.after = memory{alerts: map[rules.ID][]*alert.Alert{}, series: map[rules.ID]map[string]labels.Labels{}}
	e.retire(ctx)
	for i := range e.group.Rules {
		e.rule(ctx, &e.group.Rules[i])
	}
	e.out.At, e.out.Began = e.at, began.UnixMilli()
	e.out.Seconds = time.Since(began).Seconds()
}

// rule evaluates one, again and again while what fails may pass.
func (e *evaluation) rule(ctx context.Context, r *rules.Rule) {
	began, key := time.Now(), e.group.Key.String()
	e.after.alerts[r.ID], e.after.series[r.ID] = e.before.alerts[r.ID], e.before.series[r.ID]
	var (
		series int
		err    error
	)
	for wait := firstBackoff; ; wait = min(2*wait, longestBackoff) {
		series, err = e.once(ctx, r)
		var passing *Passing
		if !errors.As(err, &passing) || time.Now().Add(wait).After(e.until) || !sleep(ctx, wait) {
			break
		}
		e.metrics.retries.Inc()
	}
	report := ledger.Report{ID: r.ID, Seconds: time.Since(began).Seconds(), Series: series}
	e.metrics.evaluations.WithLabelValues(key).Inc()
	e.metrics.duration.Observe(report.Seconds)
	if err != nil {
		report.Err = err.Error()
		if ctx.Err() == nil {
			e.metrics.failures.WithLabelValues(key).Inc()
			e.opts.Logger.Warn("The evaluation of a rule failed", "group", key, "rule", r.Name, "at", e.at, "err", err)
		}
	}
	e.samples += series
	e.out.Rules = append(e.out.Rules, report)
}

// once evaluates a rule and writes what comes of it. With an error nothing has changed but what may
// have been written.
func (e *evaluation) once(ctx context.Context, r *rules.Rule) (series int, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancel()
	vector, err := e.opts.Query(ctx, r.Expr.String(), e.looks())
	switch {
	case err != nil:
		return 0, err
	case len(vector) > e.opts.MaxSeries:
		return 0, fmt.Errorf("exceeded limit of %d with %d series, on any rule", e.opts.MaxSeries, len(vector))
	case r.Kind == rules.Alerting:
		return e.alerting(ctx, r, vector)
	}
	samples, err := e.recorded(r, vector)
	if err != nil {
		return 0, err
	}
	return len(samples), e.write(ctx, r, samples)
}

// looks is the time of the queries, and of the samples.
func (e *evaluation) looks() int64 { return e.at - e.group.QueryOffset.Milliseconds() }

// recorded returns the samples of a recording rule.
func (e *evaluation) recorded(r *rules.Rule, vector promql.Vector) ([]Sample, error) {
	if e.group.Limit > 0 && len(vector) > e.group.Limit {
		return nil, fmt.Errorf("exceeded limit of %d with %d series", e.group.Limit, len(vector))
	}
	samples := make([]Sample, len(vector))
	b := labels.NewBuilder(labels.EmptyLabels())
	seen := make(map[string]bool, len(vector))
	var buf [1024]byte
	for i, s := range vector {
		b.Reset(s.Metric)
		b.Set(model.MetricNameLabel, r.Name)
		r.Labels.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
		samples[i] = Sample{Labels: b.Labels(), At: e.looks(), Value: s.F, Histogram: s.H}
		key := string(samples[i].Labels.Bytes(buf[:]))
		if seen[key] {
			return nil, errSameSeries
		}
		seen[key] = true
	}
	return samples, nil
}

// alerting makes alerts of what was found, and writes which there are.
func (e *evaluation) alerting(ctx context.Context, r *rules.Rule, vector promql.Vector) (int, error) {
	found := e.expand.Found(ctx, r, e.at, vector)
	if err := ctx.Err(); err != nil {
		return 0, err // Templates may have been cut off.
	}
	step := alert.Rule{For: r.For, KeepFiringFor: r.KeepFiringFor, Limit: e.group.Limit, Hold: e.hold}
	after, err := alert.Step(step, e.at, found, e.before.alerts[r.ID])
	if err != nil {
		return 0, err
	}
	var samples []Sample
	for _, s := range alert.Samples(r.Name, r.Labels, after) {
		samples = append(samples, Sample{Labels: s.Labels, At: e.looks(), Value: s.Value})
	}
	if err := e.write(ctx, r, samples); err != nil {
		return 0, err
	}
	after, due := alert.Due(e.sending(), after)
	e.due = append(e.due, notices(r, due)...)
	e.after.alerts[r.ID] = after
	if c, ok := ledger.Changes(e.before.alerts[r.ID], after); ok {
		c.Rule = r.ID
		e.out.Alerts = append(e.out.Alerts, c)
	}
	return len(samples), nil
}

func (e *evaluation) sending() alert.Sending {
	return alert.Sending{At: e.at, Now: time.Now().UnixMilli(), Interval: e.group.Interval, Resend: e.opts.Resend}
}

// write writes the samples of a rule, and stale markers for the series that it wrote before and does
// not write now.
func (e *evaluation) write(ctx context.Context, r *rules.Rule, samples []Sample) error {
	series := make(map[string]labels.Labels, len(samples))
	var buf [1024]byte
	for _, s := range samples {
		series[string(s.Labels.Bytes(buf[:]))] = s.Labels
	}
	for key, ls := range e.before.series[r.ID] {
		if _, ok := series[key]; !ok {
			samples = append(samples, Sample{Labels: ls, At: e.looks(), Value: staleMarker})
		}
	}
	if len(samples) > 0 {
		if err := e.opts.Append(ctx, samples); err != nil {
			return err
		}
	}
	e.after.series[r.ID] = series
	return nil
}

// retire marks stale what rules wrote that are no more in the group.
func (e *evaluation) retire(ctx context.Context) {
	there := map[rules.ID]bool{}
	for i := range e.group.Rules {
		there[e.group.Rules[i].ID] = true
	}
	var samples []Sample
	for id, series := range e.before.series {
		if !there[id] {
			for _, ls := range series {
				samples = append(samples, Sample{Labels: ls, At: e.looks(), Value: staleMarker})
			}
		}
	}
	if len(samples) == 0 {
		return
	}
	if err := e.opts.Append(ctx, samples); err != nil {
		e.opts.Logger.Warn("The series of rules that are no more could not be marked stale", "group", e.group.Key.String(), "err", err)
	}
}

// notices makes messages of alerts.
func notices(r *rules.Rule, alerts []*alert.Alert) []Notice {
	out := make([]Notice, len(alerts))
	for i, a := range alerts {
		out[i] = Notice{Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.FiredAt, EndsAt: a.ValidUntil, Expr: r.Expr.String()}
		if a.ResolvedAt != 0 {
			out[i].EndsAt = a.ResolvedAt
		}
	}
	return out
}

// sleep waits, and reports whether ctx has not ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
