package unittest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// shown is what a test sees of an alert.
type shown struct{ labels, annotations labels.Labels }

func (a shown) compare(b shown) int {
	return cmp.Or(labels.Compare(a.labels, b.labels), labels.Compare(a.annotations, b.annotations))
}

func (a shown) equal(b shown) bool {
	return labels.Equal(a.labels, b.labels) && labels.Equal(a.annotations, b.annotations)
}

// wanted are the alerts of a test, in order.
func wanted(t *AlertTest) (out []shown) {
	for _, a := range t.Expected {
		all := map[string]string{}
		maps.Copy(all, a.Labels)
		all[labels.AlertName] = t.Alertname
		out = append(out, shown{labels.FromMap(all), labels.FromMap(a.Annotations)})
	}
	slices.SortFunc(out, shown.compare)
	return out
}

func printAlerts(all []shown) string {
	if len(all) == 0 {
		return "[]"
	}
	const indent = "\n            "
	var b strings.Builder
	b.WriteString("[")
	for i, a := range all {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "%s%d:%s  Labels:%s%s  Annotations:%s", indent, i, indent, a.labels, indent, a.annotations)
	}
	b.WriteString(indent + "]")
	return b.String()
}

// sample is one that an expression came to, or was to come to.
type sample struct {
	labels    labels.Labels
	value     float64
	histogram string // in the notation of tests; empty for a float
}

func (s sample) String() string {
	if s.histogram != "" {
		return s.labels.String() + " " + s.histogram
	}
	return s.labels.String() + " " + strconv.FormatFloat(s.value, 'E', -1, 64)
}

// equality of values. NaN is not even equal to itself, as in promtool.
type equality struct{ fuzzy bool }

func (e equality) samples(a, b sample) bool {
	return labels.Equal(a.labels, b.labels) && e.floats(a.value, b.value) && a.histogram == b.histogram
}

func (e equality) floats(x, y float64) bool {
	return x == y || e.fuzzy && (math.Nextafter(x, math.Inf(-1)) == y || math.Nextafter(x, math.Inf(1)) == y)
}

// checkExpr holds what an expression comes to against what it is to come to.
func (r *running) checkExpr(ctx context.Context, t *ExprTest, p parser.Parser) error {
	fail := func(err error) error { return fmt.Errorf("    expr: %q, time: %s, err: %w", t.Expr, t.EvalTime, err) }
	vector, err := r.store.Query(ctx, t.Expr, r.at(t.EvalTime))
	if err != nil {
		return fail(err)
	}
	var want, got []sample
	for _, s := range vector {
		one := sample{labels: s.Metric, value: s.F}
		if s.H != nil {
			one.histogram = s.H.TestExpression()
		}
		got = append(got, one)
	}
	for _, s := range t.Expected {
		one, err := s.parse(p)
		if err != nil {
			return fail(fmt.Errorf("labels %q: %w", s.Labels, err))
		}
		want = append(want, one)
	}
	order := func(a, b sample) int { return labels.Compare(a.labels, b.labels) }
	slices.SortStableFunc(want, order)
	slices.SortStableFunc(got, order)
	if slices.EqualFunc(want, got, r.equal.samples) {
		return nil
	}
	return fmt.Errorf("    expr: %q, time: %s,\n        exp: %s\n        got: %s", t.Expr, t.EvalTime, printSamples(want), printSamples(got))
}

func printSamples(all []sample) string {
	if len(all) == 0 {
		return "nil"
	}
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = s.String()
	}
	return strings.Join(texts, ", ")
}

func (s *Sample) parse(p parser.Parser) (sample, error) {
	ls, err := p.ParseMetric(s.Labels)
	if err != nil {
		return sample{}, err
	}
	one := sample{labels: ls, value: s.Value}
	if s.Histogram == "" {
		return one, nil
	}
	if err := checkRepeats(s.Histogram); err != nil {
		return sample{}, err
	}
	_, values, err := p.ParseSeriesDesc("{} " + s.Histogram)
	switch {
	case err != nil:
		return sample{}, err
	case len(values) != 1:
		return sample{}, fmt.Errorf("expected 1 value, got %d", len(values))
	case values[0].Histogram == nil:
		return sample{}, fmt.Errorf("expected histogram, got %s", values[0])
	}
	one.histogram = values[0].Histogram.TestExpression()
	return one, nil
}
