package eval

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// parts returns the text of the parts that Rewrite finds.
func parts(t *testing.T, text string, mode Mode) []string {
	t.Helper()
	p := parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
	expr, err := p.ParseExpr(text)
	require.NoError(t, err, text)
	expr, err = promql.PreprocessExpr(expr, time.UnixMilli(0), time.UnixMilli(60_000), 15*time.Second)
	require.NoError(t, err)
	var found []string
	err = Rewrite(&expr, mode, func(_ *Expr, at parser.Expr, _ bool) (parser.Expr, error) {
		found = append(found, at.String())
		return at, nil
	})
	require.NoError(t, err)
	return found
}

func TestRewriteFindsTheLargestParts(t *testing.T) {
	for text, want := range map[string][]string{
		"sum by (a) (rate(m[5m]))":                        {"sum by (a) (rate(m[5m]))"},
		"sum(rate(m[5m]) * 8)":                            {"sum(rate(m[5m]) * 8)"},
		"sum(8 * (rate(m[5m])))":                          {"sum(8 * (rate(m[5m])))"},
		"m > 0":                                           {"m > 0"},
		"sum(m) / sum(n)":                                 {"sum(m) / sum(n)"},
		"topk(2, rate(m[5m]))":                            {"topk(2, rate(m[5m]))"},
		"topk(2 + time() % 3, m)":                         {"topk(2 + time() % 3, m)"},
		"topk(scalar(sum(m)), n)":                         {"sum(m)"},
		"stddev by (a) (m > 0)":                           {"stddev by (a) (m > 0)"},
		"quantile(-(1 / 2), m)":                           {"quantile(-(1 / 2), m)"},
		"quantile(1 atan2 2, rate(m[5m]))":                {"quantile(1 atan2 2, rate(m[5m]))"},
		"histogram_quantile(0.9, sum(rate(m[5m])))":       {"sum(rate(m[5m]))"},
		"sum(abs(rate(m[5m])))":                           {"sum(abs(rate(m[5m])))"},
		"max(time() - timestamp(m))":                      {"max(time() - timestamp(m))"},
		"clamp_max(-m, 2 * pi()) > bool 1":                {"clamp_max(-m, 2 * pi()) > bool 1"},
		"clamp(m, 2, 1) + clamp_min(n, time())":           nil,
		"predict_linear(m[1h], 4 * 3600) < 0":             {"predict_linear(m[1h], 4 * 3600) < 0"},
		"predict_linear(m[1h], time())":                   nil,
		"quantile_over_time(2, m[5m])":                    nil,
		"timestamp(m @ 30 offset 1m)":                     nil,
		"rate(m[5m]) > scalar(sum(m))":                    {"rate(m[5m])", "sum(m)"},
		"rate(m[5m] @ 30)":                                {"rate(m[5m] @ 30.000)"},
		"sum(m @ end() offset 1m) + n":                    {"sum(m @ 60.000 offset 1m)"},
		"quantile(scalar(sum(m)), rate(n[5m]))":           {"sum(m)", "rate(n[5m])"},
		"-sum(m)":                                         {"sum(m)"},
		"m":                                               {"m"},
		"m offset 1m + 0":                                 {"m offset 1m + 0"},
		"m + n":                                           {"m + n"},
		"sum(m + n)":                                      {"sum(m + n)"},
		"sum(m) atan2 sum(n)":                             {"sum(m) atan2 sum(n)"},
		"max_over_time(rate(m[5m])[10m:1m])":              {"max_over_time(rate(m[5m])[10m:1m])"},
		"max_over_time((a / sum(b))[10m:1m] @ 5)":         nil,
		"absent_over_time(rate(m[5m])[10m:1m])":           nil,
		"sum(rate(m[5m] anchored))":                       nil,
		"info(rate(m[5m]))":                               nil,
		"quantile_over_time(0.5, m[5m])":                  {"quantile_over_time(0.5, m[5m])"},
		"100 * (1 - a / (b + on (i) group_left (j) c))":   {"100 * (1 - a / (b + on (i) group_left (j) c))"},
		"a and b / c or d > bool e":                       {"b / c", "d > bool e"},
		"a + sum(b) * (c @ 30)":                           {"sum(b)"},
		"a + label_replace(b, \"x\", \"y\", \"z\", \"\")": nil,
		"m[5m]": nil,
		"1 + 2": nil,

		`count_values("v", sum(m))`:                    {"sum(m)"},
		`label_replace(sum(m), "a", "b", "c", "(.*)")`: {"sum(m)"},
	} {
		require.Equal(t, want, parts(t, text, Mode{}), text)
	}
}

func TestFeaturesNarrowWhatIsFound(t *testing.T) {
	for text, want := range map[string][]string{
		"topk(2, m)":                  {"topk(2, m)"},
		"topk(2, rate(m[5m]))":        nil,
		"rate(m[5m])":                 nil, // Its series still have the names they are going to lose.
		"sum(rate(m[5m]))":            {"sum(rate(m[5m]))"},
		"sum by (__name__) (m)":       nil,
		"sum(m) * on (__type__) n":    nil,
		`count_values("__unit__", m)`: nil,
	} {
		require.Equal(t, want, parts(t, text, Mode{DelayedNames: true}), text)
	}
	require.Nil(t, parts(t, "sum(rate(m[5m]))", Mode{TypeUnit: true}))
	require.Len(t, parts(t, "sum(delta(m[5m]))", Mode{TypeUnit: true}), 1)
}
