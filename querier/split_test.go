package querier_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// TestSplitDifferential evaluates aggregations over series that are split between nodes, and holds
// what comes of their encoded parts equal to what comes of all series together.
func TestSplitDifferential(t *testing.T) {
	seed := *differentialSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("first seed: %d", seed)
	s := &splitDifferential{}
	for begin := time.Now(); time.Since(begin) < *differentialTime/2 && !t.Failed(); seed++ {
		s.differential = newDifferential(t, seed, false)
		for range 100 {
			s.split()
		}
	}
	t.Logf("%d aggregations in parts, %d left for their order", s.equal, s.refused)
	require.Greater(t, s.equal, 3*s.refused)
}

type splitDifferential struct {
	*differential
	equal, refused int
}

func (s *splitDifferential) split() {
	text := s.aggregation(s.pick(s.function(), s.selector()))
	if s.rng.IntN(8) == 0 { // Buckets are skipped.
		text = "histogram_count(" + text + ")"
	}
	p := parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
	root, err := p.ParseExpr(text)
	require.NoError(s.t, err)
	start, step := s.rng.Int64N(4_000_000), 1+s.rng.Int64N(200_000)
	g := eval.Grid{Start: start, Step: step, Steps: 1 + s.rng.IntN(20)}
	end := time.UnixMilli(start + int64(g.Steps-1)*step)
	root, err = promql.PreprocessExpr(root, time.UnixMilli(start), end, time.Duration(step)*time.Millisecond)
	require.NoError(s.t, err)
	where := fmt.Sprintf("seed %d: %s from %d to %d step %d", s.seed, text, start, end.UnixMilli(), step)
	err = eval.Rewrite(&root, eval.Mode{}, func(x *eval.Expr, _ parser.Expr, once bool) (parser.Expr, error) {
		if once {
			g.Steps = 1
		}
		if x.Aggregates() {
			s.compareParts(x, g, where)
		}
		return nil, nil
	})
	require.NoError(s.t, err)
}

func (s *splitDifferential) compareParts(x *eval.Expr, g eval.Grid, where string) {
	nodes := make([][]chunk.Series, 1+s.rng.IntN(4))
	all := s.selected(x, g)
	for _, one := range all {
		n := s.rng.IntN(len(nodes))
		nodes[n] = append(nodes[n], one)
	}
	params := eval.Params{
		Grid: g, Lookback: 300_000, Workers: 2, MaxSamples: 1e9,
		Hold: func(chunk.Series) error { return nil }, Take: func(int64) error { return nil },
	}
	ctx := context.Background()
	want, err := x.Run(ctx, queriertest.NewSeriesSet(all...), params)
	if errors.Is(err, eval.ErrFallback) {
		return
	}
	require.NoError(s.t, err, where)
	request, ok := x.Append(nil)
	require.True(s.t, ok, where)
	there, err := eval.Decode(request, x.Matchers())
	require.NoError(s.t, err, where)
	var inMemory, sent []*eval.Part
	for _, node := range nodes {
		for parts, x := range map[*[]*eval.Part]*eval.Expr{&inMemory: x, &sent: there} {
			part, err := x.Part(ctx, queriertest.NewSeriesSet(node...), params)
			if errors.Is(err, eval.ErrFallback) { // Such as an overflow, which the others would have kept off.
				s.refused++
				return
			}
			require.NoError(s.t, err, where)
			*parts = append(*parts, part)
		}
		last := sent[len(sent)-1]
		last.Set, err = partial.Decode(last.Set.Append(nil), params.Take)
		require.NoError(s.t, err, where)
	}
	merged, err := x.Finish(params, inMemory...)
	got, gotErr := x.Finish(params, sent...)
	require.Equal(s.t, err, gotErr, where)
	if errors.Is(err, eval.ErrFallback) {
		s.refused++
		return
	}
	require.NoError(s.t, err)
	s.equal++
	requireSameBits(s.t, merged, got)
	require.Empty(s.t, difference(resultMatrix(want), resultMatrix(got)), where)
	require.Equal(s.t, texts(want.Annotations), texts(got.Annotations), where)
	require.Equal(s.t, []int64{int64(want.Read), want.Samples, want.NewSamples}, []int64{int64(got.Read), got.Samples, got.NewSamples}, where)
}

// selected are the series that the expression reads.
func (s *splitDifferential) selected(x *eval.Expr, g eval.Grid) []chunk.Series {
	sel := series.Selector{Matchers: x.Matchers()}
	sel.Mint, sel.Maxt = x.Times(g, 300_000)
	set, err := s.store.Select(context.Background(), sel)
	require.NoError(s.t, err)
	var all []chunk.Series
	for set.Next() {
		all = append(all, set.At())
	}
	require.NoError(s.t, set.Close())
	return all
}

func requireSameBits(t *testing.T, a, b *eval.Result) {
	t.Helper()
	require.Len(t, b.Series, len(a.Series))
	for i := range a.Series {
		x, y := a.Series[i], b.Series[i]
		require.Equal(t, string(x.Labels), string(y.Labels))
		require.Equal(t, x.Points, y.Points)
		require.True(t, slices.EqualFunc(x.Floats, y.Floats, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }))
		for j, h := range x.Histograms {
			require.True(t, h == nil && y.Histograms[j] == nil || h.Equals(y.Histograms[j]))
		}
	}
}

func resultMatrix(r *eval.Result) promql.Matrix {
	var m promql.Matrix
	b := labels.NewScratchBuilder(8)
	for _, s := range r.Series {
		out := promql.Series{Metric: s.Labels.Labels(&b)}
		for i, v := range s.Floats {
			t := r.Grid.Start + int64(i)*r.Grid.Step
			if !partial.IsAbsent(v) {
				out.Floats = append(out.Floats, promql.FPoint{T: t, F: v})
			}
			if s.Histograms != nil && s.Histograms[i] != nil {
				out.Histograms = append(out.Histograms, promql.HPoint{T: t, H: s.Histograms[i]})
			}
		}
		m = append(m, out)
	}
	return m
}

func texts(a annotations.Annotations) []string {
	warnings, infos := a.AsStrings("", 0, 0)
	all := slices.Concat(warnings, infos)
	slices.Sort(all)
	return all
}
