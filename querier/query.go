package querier

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/stats"
)

// query is a promql query that waits for its turn, is known to the active file while it runs, and
// whose errors have kinds.
type query struct {
	promql.Query
	engine  *Engine
	text    string
	timeout time.Duration
	steps   int64 // of its subqueries
	waited  time.Duration
	source  *queryable  // nil when it is not ours
	owner   bool        // of the source's account
	columns *vectorizer // nil when all is left to promql
}

// Exec waits for a slot and evaluates. The timeout covers both.
func (q *query) Exec(ctx context.Context) *promql.Result {
	e := q.engine
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	came := time.Now()
	slot, err := e.gate.enter(ctx)
	q.waited = time.Since(came)
	if err != nil {
		return &promql.Result{Err: e.explain(err)}
	}
	defer e.gate.leave(slot)
	e.active.begin(slot, q.text, time.Now())
	defer e.active.end(slot)
	if q.source != nil {
		var leave func()
		ctx, leave = e.watch.enter(ctx, q.source.account)
		defer leave()
	}
	res := q.evaluate(ctx)
	if cause := context.Cause(ctx); res.Err != nil && cause != nil && !errors.Is(ctx.Err(), cause) {
		res.Err = cause // Why it was cancelled.
	}
	res.Err = e.explain(res.Err)
	return res
}

// evaluate has columns evaluate what they can, and promql the rest.
func (q *query) evaluate(ctx context.Context) *promql.Result {
	defer q.columns.finish()
	if q.owner {
		defer q.source.account.Close()
	}
	if s, ok := q.Statement().(*parser.EvalStmt); ok && q.source != nil && q.source.trace != nil {
		q.source.trace.Begin(q.text, q.engine.view().Self, s, q.waited)
	}
	if err := q.compute(ctx); err != nil {
		return &promql.Result{Err: err}
	}
	if res := q.columns.result(); res != nil {
		return res
	}
	if s, ok := q.Statement().(*parser.EvalStmt); ok && q.source != nil {
		grid, _ := gridOf(s)
		q.source.weights = weigh(s.Expr, grid.Steps)
	}
	return q.Query.Exec(ctx)
}

// compute has columns evaluate what they can. Its time counts as promql's own does.
func (q *query) compute(ctx context.Context) error {
	if q.columns == nil {
		return nil
	}
	for _, timing := range []stats.QueryTiming{stats.ExecTotalTime, stats.EvalTotalTime, stats.InnerEvalTime} {
		timer := q.Stats().Timers.GetTimer(timing).Start()
		defer timer.Stop()
	}
	return q.columns.rewrite(ctx)
}

// Close gives the query's memory back.
func (q *query) Close() {
	q.Query.Close()
	q.columns.release()
	q.giveBack()
}

func (q *query) giveBack() {
	if q.source != nil {
		q.source.account.Close()
	}
}

// explain gives the errors of promql their kinds, and names the limits that caused them.
func (e *Engine) explain(err error) error {
	var (
		own     *Error
		samples promql.ErrTooManySamples
		storage promql.ErrStorage
	)
	switch {
	case err == nil, errors.As(err, &own):
		return err
	case errors.As(err, &samples):
		return e.metrics.limited(Execution, limitSamples, int64(e.opts.MaxSamples), "%s", err)
	case errors.As(err, &storage):
		return &Error{Kind: Internal, Err: err}
	}
	switch kind := KindOf(err); kind {
	case Timeout, Canceled:
		return &Error{Kind: kind, Err: err}
	}
	return &Error{Kind: Execution, Err: err}
}

const (
	pointBytes     = 16  // what a point of a float takes in memory
	histogramBytes = 512 // the same of a native histogram, of some 40 buckets
	// stepBytes is what a step of a subquery takes beside the points of its series: promql keeps
	// statistics of each step, and grows what it computes by copying. Measured.
	stepBytes = 160
)

// resultBytes is about how much memory a result holds.
func resultBytes(v parser.Value) int64 {
	const seriesBytes = 256 // its labels and headers
	switch v := v.(type) {
	case promql.Matrix:
		n := int64(0)
		for _, s := range v {
			n += seriesBytes + int64(len(s.Floats))*pointBytes
			for _, h := range s.Histograms {
				n += pointBytes + int64(h.H.Size())
			}
		}
		return n
	case promql.Vector:
		return int64(len(v)) * (seriesBytes + pointBytes)
	}
	return 0
}
