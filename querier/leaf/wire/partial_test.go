package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/series"
)

// expression returns the aggregation in a text.
func expression(t testing.TB, text string) *eval.Expr {
	root, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	require.NoError(t, err)
	var found *eval.Expr
	require.NoError(t, eval.Rewrite(&root, eval.Mode{}, func(x *eval.Expr, _ parser.Expr, _ bool) (parser.Expr, error) {
		found = x
		return nil, nil
	}))
	require.NotNil(t, found)
	return found
}

// setOf has so many groups of some steps.
func setOf(groups int) *partial.Set {
	s := &partial.Set{Aggregate: partial.Aggregate{Op: partial.Sum, Steps: 3}}
	for i := range groups {
		ls := series.FromStrings("g", fmt.Sprintf("%06d", i))
		c := s.New()
		c.Add(nil, partial.Values{Floats: []float64{float64(i), partial.Absent, 0.1 * float64(i)}})
		s.Groups = append(s.Groups, partial.GroupColumn{Labels: ls, First: series.Fingerprint(i), Column: c})
	}
	return s
}

func somePartial() *leaf.Partial {
	p := &eval.Part{
		Set: setOf(3), Read: 7, Samples: 100, NewSamples: 80, Points: 21, Bytes: 4000,
		Dropped: series.FromStrings("__name__", "m"), Differ: true,
		Steps: eval.Statistics{Samples: []int64{50, 30, 20}, NewSamples: []int64{50, 20, 10}},
	}
	p.Annotations.Add(annotations.NewPossibleNonCounterInfo("m", posrange.PositionRange{}))
	p.Annotations.Add(annotations.NewMixedFloatsHistogramsWarning("m", posrange.PositionRange{}))
	return &leaf.Partial{Part: p}
}

func encodePartial(t testing.TB, p *leaf.Partial) [][]byte {
	var out tape
	c := &call{sender: &sender{conn: &out}}
	groups, err := c.sendPartial(p.Part)
	require.NoError(t, err)
	require.NoError(t, c.send(kindEnd, appendEnd(nil, groups, someReading)))
	return out.messages
}

func decodePartial(messages [][]byte, x *eval.Expr, take func(int64) error) (*leaf.Partial, error) {
	r := NewRemote(func(context.Context, string) (ClientConn, error) {
		return &reply{tape: tape{messages}}, nil
	})
	return r.Partial(context.Background(), series.Selector{Take: take}, leaf.Request{Expr: x, Params: eval.Params{Grid: eval.Grid{Step: 1, Steps: 3}}})
}

func TestPartialRoundTrip(t *testing.T) {
	x := expression(t, "1 + sum(rate(m[5m]))")
	for _, groups := range []int{0, 1, 3, 20_000} {
		want := somePartial()
		want.Set = setOf(groups)
		messages := encodePartial(t, want)
		require.Equal(t, groups == 20_000, len(messages) > 3, "%d messages", len(messages))
		for n := range messages {
			_, err := decodePartial(messages[:n], x, free)
			require.ErrorIs(t, err, errCut)
		}
		got, err := decodePartial(messages, x, free)
		require.NoError(t, err)
		require.Positive(t, got.Received)
		require.Equal(t, setOf(groups).Append(nil), got.Set.Append(nil))
		warnings, infos := got.Annotations.AsStrings("1 + sum(rate(m[5m]))", 0, 0)
		require.Equal(t, []string{`PromQL warning: encountered a mix of histograms and floats for metric name "m" (1:14)`}, warnings)
		require.Equal(t, []string{`PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "m" (1:14)`}, infos)
		got.Set, got.Annotations, want.Set, want.Annotations = nil, nil, nil, nil
		require.Equal(t, want.Part, got.Part)
	}
	messages := encodePartial(t, somePartial())
	_, err := decodePartial([][]byte{messages[0], messages[2]}, x, free)
	require.ErrorContains(t, err, "the end counts 3")
	_, err = decodePartial([][]byte{messages[1], messages[0], messages[2]}, x, free)
	require.Error(t, err, "groups before the statistics")
	_, err = decodePartial([][]byte{appendFailure([]byte{byte(kindFailure)}, leaf.Failure{Kind: 2, Fallback: true})}, x, free)
	require.ErrorIs(t, err, eval.ErrFallback)
	full := errors.New("full")
	_, err = decodePartial(messages, x, func(int64) error { return full })
	require.ErrorIs(t, err, full)
}

// TestPartialOfUnknownExpression is left to who asks.
func TestPartialOfUnknownExpression(t *testing.T) {
	c := &call{request: &request{expr: []byte{99}}, Admission: &Admission{
		Compute: func(ctx context.Context, _ []*labels.Matcher, _ *eval.Params) (context.Context, func()) {
			return ctx, func() {}
		},
	}}
	_, err := c.partial(context.Background())
	require.ErrorIs(t, err, eval.ErrFallback)
}

func FuzzPartial(f *testing.F) {
	messages := encodePartial(f, somePartial())
	f.Add(messages[0], messages[1], messages[2])
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		x := expression(t, "sum(rate(m[5m]))")
		got, err := decodePartial([][]byte{bytes.Clone(a), b, c}, x, bounded(t))
		if err != nil {
			return
		}
		again, err := decodePartial(encodePartial(t, got), x, free)
		require.NoError(t, err)
		require.Equal(t, got.Set.Append(nil), again.Set.Append(nil))
		_, _ = x.Finish(eval.Params{Grid: eval.Grid{Step: 1, Steps: 3}, MaxSamples: 1 << 40}, got.Part, again.Part)
	})
}
