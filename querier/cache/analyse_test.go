package cache

import (
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/changes"
)

func TestAnalyse(t *testing.T) {
	p := parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
	moves := func(back, ahead int64) Reach { return Reach{Moves: true, Back: back, Ahead: ahead} }
	fixed := func(r Reach, spans ...changes.Span) Reach {
		r.Fixed = spans
		return r
	}
	for text, want := range map[string]Reach{
		`m`:                                  moves(300, 0),
		`sum by (a) (rate(m[10s])) / 2`:      moves(10_000, 0),
		`m offset 5s`:                        moves(5300, -5000),
		`m offset -5s`:                       moves(-4700, 5000),
		`rate(m[1s] offset 2s) + m`:          moves(3000, 0),
		`rate(m[1s] offset 2s)`:              moves(3000, -2000),
		`max_over_time(m[1h:])`:              moves(3_600_300, 0),
		`max_over_time(m[1h:] offset 1h)`:    moves(7_200_300, -3_600_000),
		`max_over_time(rate(m[5s])[10s:])`:   moves(15_000, 0),
		`m @ 7`:                              fixed(Reach{}, changes.Span{Mint: 6700, Maxt: 7000}),
		`m @ 7 offset 1s`:                    fixed(Reach{}, changes.Span{Mint: 5700, Maxt: 6000}),
		`m + sum_over_time(m[1s:] @ 7)`:      fixed(moves(300, 0), changes.Span{Mint: 5700, Maxt: 7000}),
		`topk(scalar(n), m offset 1s)`:       moves(1300, 0),
		`label_replace(m, "a", "", "b", "")`: moves(300, 0),
		`absent(m{a="b"}) or vector(time())`: moves(300, 0),
	} {
		expr, err := p.ParseExpr(text)
		require.NoError(t, err, text)
		got, ok := Analyse(expr, Durations{Lookback: 300, SubqueryStep: 1000})
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		`vector(1)`, `time()`, `1 + 2`, `m @ start()`, `sum(m @ end())`, `rate(m[5m] @ start())`, `max_over_time(m[1h:] @ end())`,
		`rate(m[range()])`, `rate(m[1m+1m])`, `m offset (1m*2)`, `max_over_time(m[1h:step()])`, `m + step()`, `m + range()`, `m + start()`, `m + end()`,
		`rate(m[5m] anchored)`, `rate(m[5m] smoothed)`, `m smoothed`, `info(m)`, `m offset 290000000y`,
	} {
		expr, err := p.ParseExpr(text)
		if err != nil {
			t.Logf("%s: %v", text, err)
			continue
		}
		_, ok := Analyse(expr, Durations{Lookback: 300, SubqueryStep: 1000})
		require.False(t, ok, text)
	}
}
