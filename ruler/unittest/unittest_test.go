package unittest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/ruler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// latest is a Store whose every query is answered with what was appended last.
type latest struct {
	t      *testing.T
	got    []ruler.Sample
	broken error
	closed bool
}

func (s *latest) Query(context.Context, string, int64) (promql.Vector, error) {
	if len(s.got) == 0 {
		return nil, nil
	}
	last := s.got[len(s.got)-1]
	return promql.Vector{{Metric: last.Labels, T: last.At, F: last.Value}}, nil
}

func (s *latest) Append(_ context.Context, samples []ruler.Sample) error {
	s.got = append(s.got, samples...)
	return s.broken
}

func (s *latest) Close() error {
	require.False(s.t, s.closed)
	s.closed = true
	return nil
}

func TestRunGoesThroughTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x_test.yml")
	require.NoError(t, os.WriteFile(path, []byte(`
evaluation_interval: 30s
rule_files: [nothing.yml]
tests:
  - interval: 20s
    start_timestamp: 1000
    input_series: [{series: x, values: '0+1x9'}]
    promql_expr_test: [{expr: x, eval_time: 70s, exp_samples: [{labels: x, value: 3}]}]
`), 0o600))
	store := &latest{t: t}
	o := Options{Open: func(step time.Duration) (Store, error) {
		require.Equal(t, 30*time.Second, step)
		return store, nil
	}}
	v := Run(t.Context(), path, o)
	require.Empty(t, v.Failed, "what is after the last step is not loaded")
	require.Len(t, v.Warnings, 1)
	require.True(t, store.closed)
	require.Equal(t, int64(1_060_000), store.got[len(store.got)-1].At)

	store = &latest{t: t, broken: errors.New("no more")}
	require.Len(t, Run(t.Context(), path, o).Failed, 3, "an error at each step")

	ctx, stop := context.WithCancel(t.Context())
	stop()
	store = &latest{t: t}
	require.ErrorIs(t, Run(ctx, path, o).Failed[0], context.Canceled)
}

func TestTooManyValues(t *testing.T) {
	p := parser.NewParser(parser.Options{})
	for _, values := range []string{"1x1000001", "1+1x999999 2x2", "0x99999999999999999999999"} {
		_, err := newInput([]Series{{Series: "x", Values: values}}, p, 0, time.Minute)
		require.ErrorContains(t, err, "more than 1000000 values", values)
	}
}

func TestInputOfTheSameSeries(t *testing.T) {
	in, err := newInput([]Series{{"x", "1 2"}, {"y", "_ 5"}, {"x", "3"}}, parser.NewParser(parser.Options{}), 0, time.Minute)
	require.NoError(t, err)
	require.Equal(t, []ruler.Sample{{Labels: labels.FromStrings("__name__", "x"), Value: 3}}, in.till(59_999))
	require.Equal(t, []ruler.Sample{{Labels: labels.FromStrings("__name__", "y"), At: 60_000, Value: 5}}, in.till(60_000))
	require.Empty(t, in.till(1e9))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("rule_files: [a.yml]\nevaluation_interval: 1m\ngroup_eval_order: [a]\nfuzzy_compare: true\n" +
		"tests: [{name: a, interval: 1m, start_timestamp: 5, external_labels: {a: b}, input_series: [{series: x, values: 1 2 _}]," +
		" alert_rule_test: [{eval_time: 1m, alertname: x, exp_alerts: [{exp_labels: {a: b}}]}]}]"))
	f.Add([]byte("tests: [{promql_expr_test: [{expr: x, eval_time: 1h, exp_samples: [{labels: x, value: .nan, histogram: '{{}}'}]}]}]"))
	f.Add([]byte("tests: [{start_timestamp: 2026-01-01T00:00:00Z}]"))
	f.Add([]byte(""))
	p := parser.NewParser(parser.Options{})
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		require.Positive(t, file.EvaluationInterval)
		for _, test := range file.Tests {
			require.Positive(t, test.Interval)
			total := 0
			for _, s := range test.InputSeries {
				total += len(s.Values)
			}
			if total < 200 {
				_, _ = newInput(test.InputSeries, p, 0, time.Duration(test.Interval))
			}
		}
	})
}
