package unittest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/ruler"
	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/rules"
)

// Store holds the samples of one test.
type Store interface {
	// Query evaluates an expression at a time, in milliseconds since 1970. A scalar is a vector of one.
	Query(ctx context.Context, expr string, at int64) (promql.Vector, error)
	Append(ctx context.Context, samples []ruler.Sample) error
	Close() error
}

// Options of Run. Open has no default.
type Options struct {
	// Open returns an empty Store. subqueryStep is the step of subqueries that name none.
	Open func(subqueryStep time.Duration) (Store, error)
	// Rules says how rule files are read.
	Rules rules.Options
	// Only runs the tests whose names match; nil is all.
	Only *regexp.Regexp
}

// Verdict on a test file.
type Verdict struct {
	Warnings []string
	Failed   []error
}

// Run runs the tests of a file.
func Run(ctx context.Context, path string, o Options) (v Verdict) {
	o.Rules.EnsureDefaults()
	f, err := read(path)
	if err != nil {
		return Verdict{Failed: []error{err}}
	}
	paths, none, err := f.ruleFiles(filepath.Dir(path))
	for _, p := range none {
		v.Warnings = append(v.Warnings, fmt.Sprintf("no file matches %s", p))
	}
	if err != nil {
		v.Failed = []error{err}
		return v
	}
	for i := range f.Tests {
		t := &f.Tests[i]
		if o.Only != nil && !o.Only.MatchString(t.Name) {
			continue
		}
		v.Failed = append(v.Failed, t.run(ctx, f, paths, o)...)
	}
	return v
}

// loadGroups reads the groups of all files, in the order in which they are evaluated.
func (f *File) loadGroups(paths []string, o rules.Options) ([]*rules.Group, error) {
	sources, err := rules.Load(paths, o)
	if err != nil {
		return nil, err
	}
	var groups []*rules.Group
	for _, s := range sources {
		for _, text := range s.Groups {
			g, err := rules.Parse(s.Path, text, o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Path, err)
			}
			groups = append(groups, g)
		}
	}
	slices.SortStableFunc(groups, func(a, b *rules.Group) int {
		return cmp.Compare(max(0, slices.Index(f.GroupEvalOrder, a.Name)), max(0, slices.Index(f.GroupEvalOrder, b.Name)))
	})
	return groups, nil
}

// running is a test under way.
type running struct {
	*Test
	store  Store
	input  *input
	groups []*ruler.Solo
	start  int64         // milliseconds since 1970
	step   time.Duration // between evaluations
	equal  equality
}

func (t *Test) run(ctx context.Context, f *File, paths []string, o Options) (failed []error) {
	store, err := o.Open(time.Duration(f.EvaluationInterval))
	if err != nil {
		return []error{err}
	}
	defer func() {
		if err := store.Close(); err != nil {
			failed = append(failed, err)
		}
	}()
	r := &running{Test: t, store: store, step: time.Duration(f.EvaluationInterval), equal: equality{fuzzy: f.FuzzyCompare}}
	if !t.Start.IsZero() {
		r.start = t.Start.UnixMilli()
	}
	if err := r.prepare(f, paths, o.Rules); err != nil {
		return []error{err}
	}
	failed, ok := r.evaluate(ctx)
	if !ok {
		return failed
	}
	for i := range t.Exprs {
		if err := r.checkExpr(ctx, &t.Exprs[i], o.Rules.Parser); err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

func (r *running) prepare(f *File, paths []string, o rules.Options) (err error) {
	if r.input, err = newInput(r.InputSeries, o.Parser, r.start, time.Duration(r.Interval)); err != nil {
		return err
	}
	o.Interval = time.Duration(r.Interval)
	groups, err := f.loadGroups(paths, o)
	if err != nil {
		return err
	}
	external, err := url.Parse(r.ExternalURL)
	if err != nil {
		return fmt.Errorf("external_url: %w", err)
	}
	for _, g := range groups {
		r.groups = append(r.groups, ruler.NewSolo(g, r.ExternalLabels, ruler.Options{
			Query: r.store.Query, Append: r.store.Append, ExternalURL: external,
		}))
	}
	return nil
}

// evaluate goes through the test's time. It reports whether it came to the end.
func (r *running) evaluate(ctx context.Context) (failed []error, ok bool) {
	times := r.alertTimes()
	for since := time.Duration(0); since <= r.last(); since += r.step {
		if err := ctx.Err(); err != nil {
			return append(failed, err), false
		}
		at := r.start + since.Milliseconds()
		if err := r.store.Append(ctx, r.input.till(at)); err != nil {
			failed = append(failed, err)
		} else if errs := r.evaluateAt(ctx, at); len(errs) > 0 {
			return append(failed, errs...), false
		}
		for len(times) > 0 && times[0] < since+r.step {
			failed = append(failed, r.checkAlerts(times[0])...)
			times = times[1:]
		}
	}
	return failed, true
}

func (r *running) evaluateAt(ctx context.Context, at int64) (errs []error) {
	for _, g := range r.groups {
		for _, e := range g.Evaluate(ctx, at) {
			errs = append(errs, fmt.Errorf("    rule: %s, time: %s, err: %w", e.Rule.Name, time.Duration(at)*time.Millisecond, errors.New(e.Text)))
		}
	}
	return errs
}

// alertTimes are those at which alerts are checked, in order.
func (r *running) alertTimes() (times []time.Duration) {
	for _, a := range r.Alerts {
		times = append(times, time.Duration(a.EvalTime))
	}
	slices.Sort(times)
	return slices.Compact(times)
}

// last is the time of the last check.
func (r *running) last() (last time.Duration) {
	for _, a := range r.Alerts {
		last = max(last, time.Duration(a.EvalTime))
	}
	for _, e := range r.Exprs {
		last = max(last, time.Duration(e.EvalTime))
	}
	return last
}

// checkAlerts holds the alerts that fire now against those of the tests of a time.
func (r *running) checkAlerts(at time.Duration) (failed []error) {
	for i := range r.Alerts {
		t := &r.Alerts[i]
		if time.Duration(t.EvalTime) != at {
			continue
		}
		want, got := wanted(t), r.firing(t.Alertname)
		if slices.EqualFunc(want, got, shown.equal) {
			continue
		}
		name := ""
		if r.Name != "" {
			name = fmt.Sprintf("    name: %s,\n", r.Name)
		}
		failed = append(failed, fmt.Errorf("%s    alertname: %s, time: %s, \n        exp:%s, \n        got:%s",
			name, t.Alertname, t.EvalTime, printAlerts(want), printAlerts(got)))
	}
	return failed
}

// firing are the alerts of a name, in order. Several rules may have the name.
func (r *running) firing(name string) (out []shown) {
	for _, g := range r.groups {
		for i := range g.Group().Rules {
			rule := &g.Group().Rules[i]
			if rule.Kind != rules.Alerting || rule.Name != name {
				continue
			}
			for _, a := range g.Alerts(rule.ID) {
				if a.State == alert.Firing {
					out = append(out, shown{a.Labels, a.Annotations})
				}
			}
		}
	}
	slices.SortFunc(out, shown.compare)
	return out
}

func (r *running) at(t model.Duration) int64 { return r.start + time.Duration(t).Milliseconds() }
