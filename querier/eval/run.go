package eval

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
	"golang.org/x/sync/errgroup"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
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

	slabs []*slab // of the points
}

// Series is one of the results, in one of two forms.
type Series struct {
	Labels series.Labels
	Values []float64       // One for each step, or partial.Absent.
	Points []promql.FPoint // Those that are there, with Params.Points.
}

// Run evaluates the expression over the set, whose chunks stay valid until the end of the run. The
// results don't refer to the set, and each has a value.
func (x *Expr) Run(ctx context.Context, set chunk.SeriesSet, p Params) (*Result, error) {
	in, err := x.gather(set, &p)
	if err != nil {
		return nil, err
	}
	r := &run{expr: x, params: &p, inputs: in, order: in.byGroup()}
	if err := r.takeAll(); err != nil {
		return nil, err
	}
	if err := r.work(ctx); err != nil {
		r.release()
		return nil, err
	}
	res, err := r.result()
	if err != nil {
		r.release()
		return nil, err
	}
	return res, nil
}

// run is an evaluation under way.
type run struct {
	*inputs
	expr    *Expr
	params  *Params
	order   []int32
	found   []Series // By group; without labels.
	pieces  [][]done // Of each worker, by group; with an aggregation.
	writers []points // Of each worker.
	points  atomic.Int64
	samples atomic.Int64
	reads   atomic.Int64
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
	steps := r.params.Grid.Steps
	n, workers := int64(len(r.groups)), int64(r.workers())
	column, point := int64(steps)*8, int64(0)
	if r.params.Points {
		point = int64(steps) * pointBytes
	}
	switch {
	case r.expr.op != 0:
		n = min(n+workers, int64(len(r.list)))
		column = partial.Bytes(r.expr.op, steps) + point
	case r.params.Points:
		column = point
	}
	const sampleBytes = 2 * (8 + 8 + 4) // Slices grow to twice of what they need.
	return r.params.Take(n*column + workers*(int64(r.most)*sampleBytes+int64(steps)*32))
}

// work splits the series between workers.
func (r *run) work(ctx context.Context) error {
	workers := r.workers()
	r.found = make([]Series, len(r.groups))
	r.pieces, r.writers = make([][]done, workers), make([]points, workers)
	g, ctx := errgroup.WithContext(ctx)
	for i := range workers {
		piece := r.order[i*len(r.order)/workers : (i+1)*len(r.order)/workers]
		g.Go(func() (err error) {
			defer func() { // As in promql: a broken query must not take the node with it.
				if p := recover(); p != nil {
					err = fmt.Errorf("evaluate over columns: unexpected: %v\n%s", p, debug.Stack())
				}
			}()
			r.pieces[i], err = r.piece(ctx, piece, &r.writers[i])
			return err
		})
	}
	return g.Wait()
}

// piece evaluates some of the series.
func (r *run) piece(ctx context.Context, piece []int32, to *points) ([]done, error) {
	x, g := r.expr, r.params.Grid
	w := newWork(x, g, r.params.Lookback)
	want := x.want(r.params)
	var out []done
	values := make([]float64, g.Steps)
	for _, i := range piece {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := &r.list[i]
		if err := w.load(s.chunks, &want); err != nil {
			return nil, err
		}
		w.eval(x, values)
		if err := r.count(s, w, values); err != nil {
			return nil, err
		}
		if s.kept = s.points > 0 && w.applyMappings(x, values); !s.kept {
			continue
		}
		if x.op == 0 { // The group has no other series.
			if r.params.Points {
				r.found[s.group].Points = to.add(values, g)
			} else {
				r.found[s.group].Values = values
				values = make([]float64, g.Steps)
			}
			continue
		}
		if len(out) == 0 || out[len(out)-1].group != s.group {
			out = append(out, done{group: s.group, column: partial.NewColumn(x.op, g.Steps)})
		}
		out[len(out)-1].column.Add(values)
	}
	return out, nil
}

// count keeps the statistics and the limit on samples, which is that of the engine: it holds the
// values of all series and the samples of one window.
func (r *run) count(s *input, w *work, values []float64) error {
	for _, v := range values {
		if !partial.IsAbsent(v) {
			s.points++
		}
	}
	samples, reads, widest := int64(s.points), int64(s.points), int32(0)
	if !r.expr.function.current {
		samples, reads, widest = w.seen, w.fresh, w.widest
	}
	r.samples.Add(samples)
	r.reads.Add(reads)
	if r.points.Add(int64(s.points))+int64(widest) > int64(r.params.MaxSamples) {
		return ErrTooManySamples
	}
	return nil
}

// annotate says which metrics don't look like counters though they were taken for such.
func (r *run) annotate(res *Result) {
	if !r.expr.function.counter {
		return
	}
	last := ""
	for _, s := range r.list {
		if s.points == 0 {
			continue
		}
		name := s.labels.Get(model.MetricNameLabel)
		if len(name) == 0 || string(name) == last {
			continue
		}
		if last = string(name); !looksLikeCounter(last) {
			r.expr.annotate(last, &res.Annotations)
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
	w := want{stale: x.function.current, starts: x.mode.StartTimes}
	w.mint, w.maxt = x.Times(p.Grid, p.Lookback)
	return w
}

// eval computes the values of the series that is loaded.
func (w *work) eval(x *Expr, out []float64) {
	w.place()
	x.kernel(w, out)
}
