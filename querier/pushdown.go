package querier

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/querier/fanout"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/merge"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// pushdown is an aggregation that is computed where its series are. Each node sends what it has come to
// over those of its part, which is merged here. A part whose series lie in pieces on several nodes is read,
// and computed here.
type pushdown struct {
	*vectorizer
	expr    *eval.Expr
	params  eval.Params
	request []byte
	held    tally
}

// push computes x by its parts. It returns ErrFallback where there is nothing to gain, or where only all
// series together can say what comes of it.
func (v *vectorizer) push(ctx context.Context, x *eval.Expr, params eval.Params, sel series.Selector, p plan.Plan) (*eval.Result, error) {
	whole, rest := p.Split()
	others := func(part plan.Part) bool { return part.Node != p.Self }
	if p.Alone() || !slices.ContainsFunc(whole.Parts, others) {
		return nil, eval.ErrFallback
	}
	request, ok := x.Request(params)
	if !ok {
		return nil, eval.ErrFallback
	}
	d := &pushdown{
		vectorizer: v, expr: x, params: params, request: request,
		held: tally{account: v.source.account, what: selectorText(sel.Matchers)},
	}
	defer d.held.give(0)
	sel.Take = d.held.take
	begin := time.Now()
	res, err := d.compute(ctx, sel, whole, rest)
	counter, result := v.source.engine.metrics.pushed, "computed"
	switch {
	case errors.Is(err, eval.ErrFallback), errors.Is(err, fanout.ErrDivided):
		result, err = "left", eval.ErrFallback
	case err != nil:
		result = "failed"
	}
	counter.WithLabelValues(result).Add(float64(len(whole.Parts)))
	if err == nil {
		v.source.trace.Evaluated(x.Aggregation(), explain.Nodes, false, time.Since(begin))
	}
	return res, err
}

// errTogether is what an explanation says of partial results that are not enough.
var errTogether = errors.New("only all series together can tell")

func (d *pushdown) compute(ctx context.Context, sel series.Selector, whole, rest plan.Plan) (_ *eval.Result, err error) {
	e := d.source.engine
	asking, traced := d.source.trace.Read(ctx, whole, explain.Partials)
	defer func() {
		why := err
		if errors.Is(err, eval.ErrFallback) {
			why = errTogether
		}
		traced.Settle(err != nil, why)
	}()
	partials, err := e.fanout.Partial(asking, whole, sel, d.ask)
	if err != nil {
		return nil, e.storageError(err)
	}
	var parts []*eval.Part
	for _, p := range partials {
		parts = append(parts, p.Part)
		e.metrics.received.Add(float64(p.Received))
	}
	if len(rest.Parts) > 0 {
		p, err := d.read(ctx, sel, rest)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	if len(parts) == 0 { // All is missing, which is allowed.
		return nil, eval.ErrFallback
	}
	read, bytes := 0, int64(0)
	for _, p := range parts {
		read += p.Read
		bytes += p.Bytes
	}
	res, err := d.expr.Finish(d.params, parts...)
	if err != nil {
		return nil, err
	}
	e.metrics.series.Add(float64(read))
	e.metrics.bytes.Add(float64(bytes))
	if err := d.source.account.count(int64(read), e.opts.MaxSeries, d.held.what); err != nil {
		res.Release()
		return nil, err
	}
	return res, nil
}

// ask puts the question to a node. Its limits, and what it can't compute, are no other's matter.
func (d *pushdown) ask(ctx context.Context, n leaf.Node, sel series.Selector) (*leaf.Partial, error) {
	part, err := n.Partial(ctx, sel, leaf.Request{Expr: d.expr, Encoded: d.request, Params: d.limited()})
	var own *Error
	if errors.Is(err, eval.ErrFallback) || errors.Is(err, eval.ErrTooManySamples) || errors.As(err, &own) {
		return nil, fanout.Final(err)
	}
	return part, err
}

// limited are the parameters for one part. The series of an answer that is not taken don't count for the
// query, so that all of them are counted at the end.
func (d *pushdown) limited() eval.Params {
	p, count, most := d.params, int64(0), d.source.engine.opts.MaxSeries
	p.Hold = func(chunk.Series) error {
		if count++; count > int64(most) {
			return d.source.account.tooManySeries(most, d.held.what)
		}
		return nil
	}
	return p
}

// read computes the part of what is not whole anywhere.
func (d *pushdown) read(ctx context.Context, sel series.Selector, rest plan.Plan) (_ *eval.Part, err error) {
	e := d.source.engine
	ctx, traced := d.source.trace.Read(ctx, rest, explain.Series)
	sets, err := e.fanout.Select(ctx, rest, sel)
	traced.Settle(false, err)
	if err != nil {
		return nil, e.storageError(err)
	}
	set := merge.Sets(sets)
	defer func() { err = errors.Join(err, set.Close()) }()
	p := d.limited()
	p.Take = sel.Take
	part, err := d.expr.Part(ctx, set, p)
	if err == nil {
		part.Set.Detach()
	}
	return part, err
}
