package eval

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files")

// aggregationOf returns what the text is about.
func aggregationOf(t testing.TB, text string, mode Mode) *Expr {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{EnableExperimentalFunctions: true}).ParseExpr(text)
	require.NoError(t, err, text)
	expr, err = promql.PreprocessExpr(expr, time.UnixMilli(0), time.UnixMilli(60_000), 15*time.Second)
	require.NoError(t, err)
	var found *Expr
	require.NoError(t, Rewrite(&expr, mode, func(x *Expr, at parser.Expr, _ bool) (parser.Expr, error) {
		found = x
		return at, nil
	}))
	require.NotNil(t, found, text)
	require.True(t, found.Aggregates(), text)
	return found
}

// sent are expressions of every kind.
var sent = []string{
	`sum by (job, "a b") (rate(m{a!="x"}[5m]))`,
	"topk without (a) (2 + time() % 3, -m offset 1m30s)",
	"quantile(0.9, predict_linear(m[1h] offset -5m, 4 * 3600) > bool 1)",
	"count(m @ end())",
	"avg(clamp_max(abs(timestamp(m)), 1e300))",
	"stddev(8 != (double_exponential_smoothing(m[1h], 0.5, 0.1)))",
	"histogram_count(sum(m))",
}

func TestEncodingIsStill(t *testing.T) {
	var all []byte
	for i, text := range sent {
		mode := Mode{StartTimes: i%2 == 0, DelayedNames: i == 0}
		x := aggregationOf(t, text, mode)
		b, ok := x.Append(nil)
		require.True(t, ok)
		all = append(all, b...)
		got, err := Decode(b, x.Matchers())
		require.NoError(t, err, text)
		require.Equal(t, mode, got.mode)
		require.Equal(t, x.Matchers(), got.Matchers())
		require.Equal(t, x.selector.SkipHistogramBuckets, got.selector.SkipHistogramBuckets)
		g := Grid{Start: 5_000_000, Step: 1000, Steps: 3}
		mint, maxt := x.Times(g, 300_000)
		gotMint, gotMaxt := got.Times(g, 300_000)
		require.Equal(t, []int64{mint, maxt}, []int64{gotMint, gotMaxt}, text)
		again, ok := got.Append(nil)
		require.True(t, ok)
		require.Equal(t, b, again)
		for n := range b {
			_, err := Decode(b[:n], nil)
			require.Error(t, err, "%s, %d bytes", text, n)
		}
		_, err = Decode(append(b, 0), nil)
		require.ErrorIs(t, err, ErrCorrupt)
	}
	const file = "testdata/v1/expressions.bin"
	if *update {
		require.NoError(t, os.WriteFile(file, all, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, all)
}

// TestUnknownExpressions are left to who asks; such as no node sends are corrupt.
func TestUnknownExpressions(t *testing.T) {
	b, _ := aggregationOf(t, "sum(rate(m[5m]))", Mode{}).Append(nil)
	for old, changed := range map[string]string{"rate": "ratf", "\x03sum": "\x03som", "\x01\x00\x07": "\x02\x00\x07"} {
		_, err := Decode([]byte(strings.Replace(string(b), old, changed, 1)), nil)
		require.ErrorIs(t, err, ErrFallback, changed)
	}
	for old, changed := range map[string]string{
		"rate\x01": "rate\x02", "rate\x01\x06": "rate\x01\x05", "\x04rate": "\x03abs", "\x03sum\x00": "\x04topk\x00", "\x01\x00\x07": "\x01\x09\x07",
	} {
		_, err := Decode([]byte(strings.Replace(string(b), old, changed, 1)), nil)
		require.ErrorIs(t, err, ErrCorrupt, changed)
	}
	deep := "sum(" + strings.Repeat("-", maxExprDepth) + "m)"
	_, ok := aggregationOf(t, deep, Mode{}).Append(nil)
	require.False(t, ok)
	require.Error(t, Grid{Start: 0, Step: 1 << 40, Steps: 1 << 20}.Validate())
	require.Error(t, Grid{}.Validate())
	_, ok = aggregationOf(t, "quantile(0.5, m)", Mode{}).Request(Params{Grid: Grid{Step: 1, Steps: quantileSteps + 1}})
	require.False(t, ok, "it would be larger than the series")
	_, ok = aggregationOf(t, "topk(NaN, m)", Mode{}).Request(Params{Grid: Grid{Step: 1, Steps: 1}})
	require.False(t, ok, "promql knows what is wrong")
}

func TestPartsWithTwins(t *testing.T) {
	part := func(dropped string, differ bool) *Part { return &Part{Dropped: []byte(dropped), Differ: differ} }
	none := &Part{}
	require.False(t, mayBeTwins([]*Part{part("a", true)}))
	require.False(t, mayBeTwins([]*Part{part("a", false), none, part("a", false)}))
	require.False(t, mayBeTwins([]*Part{none, part("a", true), none}))
	require.True(t, mayBeTwins([]*Part{part("a", false), part("b", false)}))
	require.True(t, mayBeTwins([]*Part{part("a", false), part("a", true)}))
}

func FuzzDecode(f *testing.F) {
	for _, text := range sent {
		b, _ := aggregationOf(f, text, Mode{}).Append(nil)
		f.Add(b)
	}
	ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "a", "b")}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Decode(b, ms)
		if err != nil {
			require.True(t, errors.Is(err, ErrCorrupt) || errors.Is(err, ErrFallback), err)
			return
		}
		again, ok := x.Append(nil)
		require.True(t, ok)
		y, err := Decode(again, ms)
		require.NoError(t, err)
		more, _ := y.Append(nil)
		require.Equal(t, again, more)
		g := Grid{Start: farthest, Step: farthest / 2, Steps: 2}
		mint, maxt := x.Times(g, longest)
		require.LessOrEqual(t, mint, maxt)
		if _, ok := x.Request(Params{Grid: Grid{Start: 5, Step: 1, Steps: 2}}); ok {
			newWork(x, g, 5)
		}
	})
}
