package eval

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/util/annotations"
	"golang.org/x/sync/errgroup"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/chunk"
)

// Params of one run.
type Params struct {
	Grid     Grid
	Lookback int64 // milliseconds
	Workers  int
	// MaxSamples is how many values the series may have together.
	MaxSamples int
	// Hold is called with each series that is read, Take before bytes are held. Their errors end
	// the run. Take may be called by several goroutines.
	Hold func(chunk.Series) error
	Take func(bytes int64) error
	// Points asks for results as points, in place of values.
	Points bool
	// PerStep asks for the statistics of each step.
	PerStep bool
}

// Result is what an expression was evaluated to.
type Result struct {
	Grid        Grid
	Series      []Series
	Annotations annotations.Annotations
	// Read is the number of series that were read.
	Read int
	// Samples counts those that all steps have seen, each time that they were; NewSamples each
	// once where windows overlap. They are what the engine's statistics count.
	Samples, NewSamples int64

	steps Statistics // with Params.PerStep
	slabs []*slab    // of the points
}

// Run evaluates the expression over the set, whose chunks stay valid until the end of the run. The
// results don't refer to the set, and each has a value.
func (x *Expr) Run(ctx context.Context, set chunk.SeriesSet, p Params) (*Result, error) {
	return x.run(ctx, &p, nil, func() (*inputs, error) { return x.gather(set, &p) })
}

func (x *Expr) run(ctx context.Context, p *Params, inner []*Result, gather func() (*inputs, error)) (*Result, error) {
	r, err := x.start(p, gather)
	if err != nil {
		return nil, err
	}
	r.sides = inner
	return r.evaluate(ctx)
}

// perStep are the statistics of each step.
func (r *run) perStep() Statistics {
	all := newStatistics(r.params.Grid.Steps)
	for _, p := range r.pieces {
		all.add(p.steps)
	}
	return all
}

func (r *run) evaluate(ctx context.Context) (*Result, error) {
	if r.expr.op == 0 {
		if err := r.work(ctx); err != nil {
			r.release()
			return nil, err
		}
		res := r.result()
		if r.params.PerStep {
			res.steps = r.perStep()
		}
		return res, nil
	}
	part, err := r.part(ctx)
	if err != nil {
		return nil, err
	}
	return r.expr.Finish(*r.params, part)
}

// start finds the series and holds the bytes of what is going to be allocated.
func (x *Expr) start(p *Params, gather func() (*inputs, error)) (*run, error) {
	agg, ok := x.aggregate(p.Grid)
	if !ok {
		return nil, ErrFallback
	}
	in, err := gather()
	if err != nil {
		return nil, err
	}
	r := &run{expr: x, params: p, agg: agg, inputs: in, order: in.byGroup()}
	return r, r.takeAll()
}

// run is an evaluation under way.
type run struct {
	*inputs
	expr    *Expr
	params  *Params
	sides   []*Result // of a join; or of a subquery, one
	agg     partial.Aggregate
	order   []int32
	whole   bool     // No group is split between workers.
	found   []Series // Without an aggregation, by group; without labels.
	pieces  []*piece // Of each worker.
	points  atomic.Int64
	samples atomic.Int64
	reads   atomic.Int64
	overlap atomic.Int64 // in nanoseconds, see Part
}

// piece is what one worker has done.
type piece struct {
	groups []done
	points points
	steps  Statistics
	annos  annotations.Annotations
}

// done is the state of a group as far as one worker has seen its series.
type done struct {
	group  int32
	column *partial.Column
}

// seriesPerWorker is from how many series on it pays to share work.
const seriesPerWorker = 32

func (r *run) workers() int {
	return max(1, min(r.params.Workers, len(r.list)/seriesPerWorker))
}

// takeAll holds the bytes of what is going to be allocated: columns of samples and of results.
func (r *run) takeAll() error {
	steps := int64(r.params.Grid.Steps)
	value, workers := int64(8), int64(r.workers())
	if r.params.Points {
		value = pointBytes
	}
	n := int64(len(r.groups)) * steps * value
	if r.expr.op != 0 {
		n = r.agg.Bytes(min(len(r.groups)+r.workers(), len(r.list)), len(r.list))
	}
	const sampleBytes = 2 * (8 + 8 + 4) // Slices grow to twice of what they need.
	return r.params.Take(n + workers*(int64(r.most)*sampleBytes+steps*32))
}

// work splits the series between workers.
func (r *run) work(ctx context.Context) error {
	bounds := r.split(r.workers())
	r.pieces = make([]*piece, len(bounds)-1)
	if r.expr.op == 0 {
		r.found = make([]Series, len(r.groups))
	}
	one := func(ctx context.Context, i int) (err error) {
		defer func() { // As in promql: a broken query must not take the node with it.
			if p := recover(); p != nil {
				err = fmt.Errorf("evaluate over columns: unexpected: %v\n%s", p, debug.Stack())
			}
		}()
		r.pieces[i], err = r.piece(ctx, r.order[bounds[i]:bounds[i+1]])
		return err
	}
	if len(r.pieces) == 1 {
		return one(ctx, 0) // To wake another thread costs more than a few series.
	}
	g, ctx := errgroup.WithContext(ctx)
	begin := time.Now()
	for i := range r.pieces {
		g.Go(func() error {
			defer func() { r.overlap.Add(int64(time.Since(begin))) }()
			return one(ctx, i)
		})
	}
	err := g.Wait()
	r.overlap.Add(-int64(time.Since(begin)))
	return err
}

// split returns where the part of each worker begins, and the end.
func (r *run) split(workers int) []int {
	bounds := make([]int, workers+1)
	for i := range bounds {
		at := i * len(r.order) / workers
		for r.whole && at > 0 && at < len(r.order) && r.list[r.order[at]].group == r.list[r.order[at-1]].group {
			at++
		}
		bounds[i] = at
	}
	return bounds
}

// piece evaluates some of the series.
func (r *run) piece(ctx context.Context, order []int32) (*piece, error) {
	x, g := r.expr, r.params.Grid
	want := x.want(r.params)
	e := &evaluator{run: r, want: want, work: newWork(x, g, r.params.Lookback), floats: make([]float64, g.Steps)}
	out := &piece{}
	if r.params.PerStep && r.sides == nil {
		out.steps = newStatistics(g.Steps)
		e.steps = &out.steps
	}
	for _, i := range order {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := &r.list[i]
		values, err := e.eval(s)
		if err != nil {
			return nil, err
		}
		if s.kept = s.points > 0 && (s.mixed || e.work.applyMappings(x, values.Floats)); !s.kept {
			continue
		}
		if x.op == 0 { // The group has no other series.
			if err := e.keep(&r.found[s.group], values, &out.points); err != nil {
				return nil, err
			}
			continue
		}
		if n := len(out.groups); n == 0 || out.groups[n-1].group != s.group {
			out.groups = append(out.groups, done{group: s.group, column: r.agg.New()})
		}
		if err := e.add(out.groups[len(out.groups)-1].column, s, values); err != nil {
			return nil, err
		}
	}
	if e.mixed != nil {
		out.annos = e.mixed.annos
	}
	return out, nil
}

// evaluator evaluates one series after the other.
type evaluator struct {
	*run
	want   want
	work   *work
	steps  *Statistics
	mixed  *mixed // Once there was a series with histograms.
	floats []float64
}

// eval returns the values of a series, which stay valid until the next.
func (e *evaluator) eval(s *input) (partial.Values, error) {
	switch {
	case e.expr.join != nil:
		return e.evalPair(s)
	case e.expr.subquery != nil:
		return e.evalMember(s)
	case s.mixed && e.steps != nil:
		return partial.Values{}, ErrFallback
	case s.mixed:
		return e.evalMixed(s)
	}
	if err := e.work.load(s.chunks, &e.want); err != nil {
		return partial.Values{}, err
	}
	if err := e.work.eval(e.expr, e.floats); err != nil {
		return partial.Values{}, err
	}
	if e.steps != nil {
		e.steps.see(e.expr, e.work, e.floats)
	}
	return partial.Values{Floats: e.floats}, e.count(s, e.work, e.floats)
}

func (e *evaluator) evalMixed(s *input) (partial.Values, error) {
	if e.mixed == nil {
		e.mixed = newMixed(e.expr, e.params.Grid, e.params.Lookback, e.want)
	}
	values, err := e.mixed.eval(s, e.floats, e.params.Take)
	if err == nil {
		s.points = int32(e.mixed.points)
		err = e.tally(e.mixed.tally)
	}
	return values, err
}

// keep makes values a result.
func (e *evaluator) keep(to *Series, values partial.Values, points *points) error {
	if err := e.params.Take(values.HistogramBytes()); err != nil {
		return err
	}
	if to.Values = values; e.params.Points {
		points.draw(to, e.params.Grid)
		return nil
	}
	to.Histograms = slices.Clone(values.Histograms)
	e.floats = make([]float64, len(e.floats))
	return nil
}

// add adds a series to a column. The first with histograms makes the column hold about as much, and
// what rounding took from it.
func (e *evaluator) add(c *partial.Column, s *input, values partial.Values) error {
	if values.Histograms != nil && !c.HasHistograms() {
		if err := e.params.Take(2 * values.HistogramBytes()); err != nil {
			return err
		}
	}
	c.Add(s.labels, values)
	return nil
}

// count keeps the statistics of a series without histograms.
func (r *run) count(s *input, w *work, values []float64) error {
	s.points = present(values)
	s.floats = s.points > 0
	t := tally{points: int64(s.points), samples: int64(s.points), reads: int64(s.points)}
	if !r.expr.function.current {
		t.samples, t.reads, t.widest = w.seen, w.fresh, int64(w.widest)
	}
	return r.tally(t)
}

// tally adds to the statistics and keeps the limit on samples, which is that of the engine: it holds
// the values of all series and the samples of one window.
func (r *run) tally(t tally) error {
	r.samples.Add(t.samples)
	r.reads.Add(t.reads)
	if r.points.Add(t.points)+t.widest > int64(r.params.MaxSamples) {
		return ErrTooManySamples
	}
	return nil
}

// annotate says which metrics don't look like counters though they were taken for such.
func (r *run) annotate(to *annotations.Annotations) {
	if !r.expr.function.counter {
		return
	}
	last := ""
	for _, s := range r.list {
		if !s.floats {
			continue
		}
		name := s.labels.Get(model.MetricNameLabel)
		if len(name) == 0 || string(name) == last {
			continue
		}
		if last = string(name); !looksLikeCounter(last) {
			r.expr.annotate(last, to)
		}
		if r.named {
			return
		}
	}
}

func looksLikeCounter(name string) bool {
	for _, suffix := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func (x *Expr) want(p *Params) want {
	if x.selector == nil {
		return want{}
	}
	w := want{stale: x.function.current, starts: x.mode.StartTimes, histograms: x.takesHistograms()}
	w.mint, w.maxt = x.Times(p.Grid, p.Lookback)
	return w
}

// eval computes the values of the series that is loaded.
func (w *work) eval(x *Expr, out []float64) error {
	w.place()
	f := x.function
	if err := w.fill(w.pick(f.sees), f.counter); err != nil {
		return err
	}
	x.kernel(w, out)
	return nil
}
