package querier

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/querier/merge"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// vectorizer evaluates parts of a query over columns before promql evaluates the rest. In the place
// of such a part it puts a selector, whose series have a sample at each step: the value, or a stale
// marker. So promql finds a value at exactly the steps that have one, however long it looks back.
type vectorizer struct {
	source *queryable
	mode   eval.Mode
	query  promql.Query
	root   parser.Expr  // the whole of the query
	answer *eval.Result // of the whole, when that was evaluated
	// What to add to promql's statistics, which are of the series that were put in.
	samples, newSamples, series int64
}

// columnar returns what evaluates parts of a query of the source over columns, nil when that is not
// wanted or not possible.
func (e *Engine) columnar(source *queryable, opts promql.QueryOpts) *vectorizer {
	if e.opts.Plain || opts != nil && opts.EnablePerStepStats() && e.opts.has(featurePerStepStats) {
		return nil // Only promql counts samples by step.
	}
	source.computed, source.selected = map[*labels.Matcher]*eval.Result{}, map[*labels.Matcher]*selected{}
	return &vectorizer{source: source, mode: e.mode(opts)}
}

func (e *Engine) mode(opts promql.QueryOpts) eval.Mode {
	m := eval.Mode{
		DelayedNames: e.opts.has(featureDelayedNames),
		StartTimes:   e.opts.has(featureStartTimes),
		TypeUnit:     e.opts.has(featureTypeUnitLabels),
		SubqueryStep: e.subqueryStep(),
	}
	if opts != nil && opts.UseStartTimestamps() != nil {
		m.StartTimes = *opts.UseStartTimestamps()
	}
	return m
}

// rewrite evaluates what it can and changes the query's expression accordingly.
func (v *vectorizer) rewrite(ctx context.Context) error {
	if v == nil {
		return nil
	}
	stmt, ok := v.query.Statement().(*parser.EvalStmt)
	if !ok {
		return nil
	}
	grid, ok := gridOf(stmt)
	if !ok {
		return nil
	}
	v.root = stmt.Expr
	for p, ok := v.root.(*parser.ParenExpr); ok; p, ok = v.root.(*parser.ParenExpr) {
		v.root = p.Expr
	}
	return eval.Rewrite(&stmt.Expr, v.mode, func(x *eval.Expr, at parser.Expr, once bool) (parser.Expr, error) {
		g := grid
		if once {
			g.Steps = 1
		}
		return v.replace(ctx, x, at, eval.Params{
			Grid: g, Lookback: stmt.LookbackDelta.Milliseconds(),
			Workers: runtime.GOMAXPROCS(0), MaxSamples: v.source.engine.opts.MaxSamples,
			Points: at == v.root,
		}, int64(grid.Steps/g.Steps))
	})
}

// gridOf returns the steps of a statement as promql counts them.
func gridOf(s *parser.EvalStmt) (eval.Grid, bool) {
	start, end := s.Start.UnixNano()/int64(time.Millisecond), s.End.UnixNano()/int64(time.Millisecond)
	if s.Start.Equal(s.End) && s.Interval == 0 {
		return eval.Grid{Start: start, Step: 1, Steps: 1}, true
	}
	step := s.Interval.Milliseconds()
	if step <= 0 || end < start {
		return eval.Grid{}, false
	}
	return eval.Grid{Start: start, Step: step, Steps: int((end-start)/step) + 1}, true
}

// replace returns what to put in the place of x, or nil when promql is to evaluate it. The steps of
// x repeat so often in the query.
func (v *vectorizer) replace(ctx context.Context, x *eval.Expr, at parser.Expr, p eval.Params, repeat int64) (parser.Expr, error) {
	begin := time.Now()
	res, err := v.evaluate(ctx, x, p)
	v.source.trace.Evaluated(at, explain.Columns, errors.Is(err, eval.ErrFallback), time.Since(begin))
	switch {
	case errors.Is(err, eval.ErrFallback):
		v.source.engine.metrics.columnar.WithLabelValues("left").Inc()
		return nil, nil
	case errors.Is(err, eval.ErrTooManySamples):
		return nil, promql.ErrTooManySamples("query execution")
	case err != nil:
		return nil, fmt.Errorf("expanding series: %w", err) // promql's words.
	}
	v.source.engine.metrics.columnar.WithLabelValues("computed").Inc()
	v.samples += res.Samples * repeat
	v.newSamples += res.NewSamples
	v.series += int64(res.Read)
	if p.Points {
		v.answer = res
		return at, nil
	}
	points := res.Count() // promql counts those as well.
	v.samples -= points * repeat
	v.newSamples -= points
	v.series -= int64(len(res.Series))

	m := &labels.Matcher{Type: labels.MatchEqual, Name: model.MetricNameLabel, Value: "computed"}
	v.source.computed[m] = res
	// The parentheses keep functions from taking it for a selector of the query's.
	return &parser.ParenExpr{
		Expr:     &parser.VectorSelector{LabelMatchers: []*labels.Matcher{m}, PosRange: at.PositionRange()},
		PosRange: at.PositionRange(),
	}, nil
}

// evaluate reads the series and evaluates x. Of the bytes taken only those of the result are kept,
// or those of a selection that is left to promql.
func (v *vectorizer) evaluate(ctx context.Context, x *eval.Expr, p eval.Params) (res *eval.Result, err error) {
	parts, inner := x.Inner(p)
	work := tally{account: v.source.account, what: "what an operation or a subquery is about"}
	if parts == nil {
		work.what = selectorText(x.Matchers())
	}
	p.Take = work.take
	if parts == nil {
		res, err = v.read(ctx, x, p, work.what)
	} else {
		res, err = v.over(ctx, x, parts, inner, p)
	}
	if err == nil {
		err = work.account.Take(computedBytes(res), work.what)
	}
	work.give(0)
	return res, err
}

// over evaluates what x is about, and then x.
func (v *vectorizer) over(ctx context.Context, x *eval.Expr, parts []*eval.Expr, inner, p eval.Params) (res *eval.Result, err error) {
	done, err := v.evaluateAll(ctx, parts, inner)
	if err == nil {
		res, err = x.Over(ctx, done, p)
	}
	for _, r := range done {
		series := int64(0)
		if err != nil {
			series = int64(r.Read) // They are going to be counted by promql's reading.
		}
		v.source.account.give(computedBytes(r), series)
	}
	return res, err
}

// evaluateAll returns as many results as it came to.
func (v *vectorizer) evaluateAll(ctx context.Context, parts []*eval.Expr, p eval.Params) ([]*eval.Result, error) {
	var done []*eval.Result
	for _, x := range parts {
		if p.Grid.Steps == 0 {
			done = append(done, &eval.Result{Grid: p.Grid})
			continue
		}
		r, err := v.evaluate(ctx, x, p)
		if err != nil {
			return done, err
		}
		done = append(done, r)
	}
	return done, nil
}

// read evaluates what reads series. Those it can't evaluate are kept for promql.
func (v *vectorizer) read(ctx context.Context, x *eval.Expr, p eval.Params, name string) (*eval.Result, error) {
	e, ms := v.source.engine, x.Matchers()
	v.source.forget(ms)
	read := tally{account: v.source.account, what: name}
	var count int64
	p.Hold = func(s chunk.Series) error {
		count++
		return v.hold(s, name)
	}
	sel := series.Selector{Matchers: ms, Take: read.take}
	sel.Mint, sel.Maxt = x.Times(p.Grid, p.Lookback)
	readers := plan.Make(plan.Query{Matchers: ms, Mint: sel.Mint, Maxt: sel.Maxt}, e.view())
	if res, err := v.push(ctx, x, p, sel, readers); !errors.Is(err, eval.ErrFallback) {
		return res, err
	}
	ctx, selection := v.source.trace.Read(ctx, readers, explain.Series)
	sets, err := e.fanout.Select(ctx, readers, sel)
	selection.Settle(false, err)
	if err != nil {
		return nil, e.storageError(err)
	}
	set := &recorder{SeriesSet: merge.Sets(sets)}
	res, err := x.Run(ctx, set, p)
	if errors.Is(err, eval.ErrFallback) && len(ms) > 0 {
		v.source.account.give(0, count) // The series are going to be counted by promql's reading.
		v.source.selected[ms[0]] = &selected{set: set.again(), mint: sel.Mint, maxt: sel.Maxt, taken: &read}
		return nil, err
	}
	if closeErr := set.Close(); err == nil {
		err = closeErr
	}
	read.give(0)
	return res, err
}

// tally takes bytes from an account and remembers how many.
type tally struct {
	account *Account
	what    string
	bytes   atomic.Int64
}

func (t *tally) take(n int64) error {
	err := t.account.Take(n, t.what)
	if err == nil {
		t.bytes.Add(n)
	}
	return err
}

// give returns all that was taken, and so many series.
func (t *tally) give(series int64) { t.account.give(t.bytes.Swap(0), series) }

// hold counts a series that was read.
func (v *vectorizer) hold(s chunk.Series, selector string) error {
	e := v.source.engine
	if err := v.source.account.count(1, e.opts.MaxSeries, selector); err != nil {
		return err
	}
	bytes := 0
	for _, c := range s.Chunks {
		bytes += len(c.Data)
	}
	e.metrics.series.Inc()
	e.metrics.bytes.Add(float64(bytes))
	return nil
}

// computedBytes is what a result takes.
func computedBytes(r *eval.Result) int64 {
	const header, float = 64, 8
	n := int64(0)
	for _, s := range r.Series {
		n += header + int64(len(s.Labels)) + int64(len(s.Floats))*float + int64(len(s.Points))*pointBytes
		n += s.HistogramBytes()
		for _, p := range s.HPoints {
			n += pointBytes + int64(p.H.Size())
		}
	}
	return n
}

// finish completes the statistics once promql is done, and closes what it never came to read.
func (v *vectorizer) finish() {
	if v == nil {
		return
	}
	for _, s := range v.source.selected {
		s.drop() // Nobody has read it.
	}
	if s := v.query.Stats(); s != nil && s.Samples != nil {
		s.Samples.TotalSamples += v.samples
		s.Samples.SamplesRead += v.newSamples
		s.Samples.TotalSeries += v.series
	}
}
