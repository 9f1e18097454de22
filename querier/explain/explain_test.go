package explain

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUnits(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "12µs": 12_345, "1.23ms": 1_234_567, "12.3ms": 12_345_678, "1.23s": 1_234_567_890, "1m12.3s": 72_345_678_901,
	} {
		require.Equal(t, want, Seconds(d).String())
	}
	for want, n := range map[string]int64{
		"0 B": 0, "999 B": 999, "0.98 KiB": 1000, "9.77 KiB": 10_000, "97.7 KiB": 100_000, "977 KiB": 1_000_000,
		"8.00 EiB": math.MaxInt64,
	} {
		require.Equal(t, want, bytesText(n))
	}
	for _, at := range []Time{0, 1, -1, 1_700_000_000_123, math.MaxInt64, math.MinInt64} {
		data, err := json.Marshal(at)
		require.NoError(t, err)
		var got Time
		require.NoError(t, json.Unmarshal(data, &got))
		require.InDelta(t, float64(at), float64(got), 1024)
	}
	for _, d := range []Seconds{0, 1, -5, 1_234_567_891, Seconds(time.Hour)} {
		data, err := json.Marshal(d)
		require.NoError(t, err)
		var got Seconds
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, d, got)
	}
}

func FuzzUnits(f *testing.F) {
	f.Add([]byte("1.5"))
	f.Add([]byte("-1e300"))
	f.Add([]byte(`"x"`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var at Time
		var d Seconds
		_, _ = at.UnmarshalJSON(data), d.UnmarshalJSON(data)
		_, _ = at.String(), d.String()
	})
}

// TestNil does nothing, anywhere.
func TestNil(t *testing.T) {
	var trace *Trace
	trace.Begin("up", plan.Node{}, nil, 0)
	trace.Evaluated(nil, Columns, false, 1)
	ctx, read := trace.Read(context.Background(), plan.Plan{}, Series)
	require.Nil(t, ReadOf(ctx))
	read.Settle(true, errors.New("no"))
	read.Lacks([]plan.Missing{{}})
	attempt := read.Attempt(plan.Part{}, Planned)
	attempt.Taken()
	ask := attempt.Ask(plan.Part{})
	require.Nil(t, leaf.ObserverOf(ask.Into(ctx)))
	ask.Answered(nil)
	require.Nil(t, Set(ctx, nil))
	require.Nil(t, trace.Finish())
}

func statement(t *testing.T, text string) *parser.EvalStmt {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	require.NoError(t, err)
	return &parser.EvalStmt{Expr: expr, Start: time.Unix(0, 0), End: time.Unix(0, 0)}
}

// TestBounds keeps the sums of what is not listed.
func TestBounds(t *testing.T) {
	trace := New()
	self := plan.Node{ID: placement.NodeID{1}, Name: "a\x1b\n"}
	trace.Begin("up", self, statement(t, "up"), 0)
	part := plan.Part{Node: self, Maxt: 5}
	p := plan.Plan{Query: plan.Query{Maxt: 5}, Self: self, Parts: []plan.Part{part}}
	asks := 0
	for range maxReads + 10 {
		ctx, read := trace.Read(context.Background(), p, Series)
		for range 30 {
			ask := read.Attempt(part, Hedge).Ask(part)
			leaf.ObserverOf(ask.Into(ctx))(leaf.Reading{Series: 1})
			ask.Answered(nil)
			asks++
		}
	}
	x := trace.Finish()
	trace.Begin("down", self, statement(t, "down"), 0) // It is too late.
	require.Equal(t, "up", x.Query)
	require.Less(t, len(x.Reads), maxReads)
	require.Equal(t, maxReads+10, len(x.Reads)+x.MoreReads)
	listed := 0
	for _, r := range x.Reads {
		listed += len(r.Parts[0].Asks)
	}
	require.LessOrEqual(t, listed, maxAsks)
	require.Equal(t, asks, listed+x.MoreAsks)
	require.Len(t, x.Nodes, 1)
	require.Equal(t, asks, x.Nodes[0].Asked)
	require.Equal(t, asks, x.Nodes[0].Hedges)
	require.Equal(t, int64(asks), x.Nodes[0].Series)
	require.Contains(t, x.String(), "more questions to nodes")
	require.NotContains(t, x.String(), "\x1b")
}

// TestTree takes together what is evaluated together.
func TestTree(t *testing.T) {
	trace := New()
	stmt := statement(t, "sum(a) + max_over_time(sum(b)[1m:10s]) * (c + 1)")
	trace.Begin("", plan.Node{}, stmt, 0)
	plus := stmt.Expr.(*parser.BinaryExpr)
	trace.Evaluated(plus, Columns, true, time.Second)
	trace.Evaluated(plus.LHS, Nodes, false, time.Second)
	trace.Evaluated(plus.LHS, Columns, false, 2*time.Second)
	trace.Evaluated(plus.RHS, Columns, false, 3*time.Second)
	over := plus.RHS.(*parser.BinaryExpr).LHS.(*parser.Call)
	trace.Evaluated(over.Args[0].(*parser.SubqueryExpr).Expr, Nodes, false, time.Second)
	data, err := json.Marshal(trace.Finish().Tree)
	require.NoError(t, err)
	require.JSONEq(t, `{"expr":"sum(a) + max_over_time(sum(b)[1m:10s]) * (c + 1)","by":"engine","left":true,"inner":[
		{"expr":"sum(a)","by":"nodes","took":2},
		{"expr":"max_over_time(sum(b)[1m:10s]) * (c + 1)","by":"columns","took":3,"inner":[
			{"expr":"sum(b)","by":"nodes","took":1}]}]}`, string(data))
}
