package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/series"
)

// maxTries is how many attempts there are at one part.
const maxTries = 8

// Outcome is what became of one part of a plan.
type Outcome[T any] struct {
	Part plan.Part
	// Values are one, or those of several nodes that answered in the place of one.
	Values []T
	Err    error

	try *try[T] // that was taken; nil if all is missing and that is allowed
}

// asking is a question while it is being put to nodes.
type asking[T any] struct {
	fanout *Fanout
	plan   *plan.Plan
	sel    series.Selector
	method method
	do     question[T]
	mark   func(T, plan.Node) T // a value with the node that it is of; may be nil
	drop   func(T)              // a value that nobody wants
	whole  bool                 // Only who has all samples of a series can be asked.
	once   bool                 // Nothing may be read from two nodes.
	slots  chan struct{}

	newest newest
}

// all asks for every part and returns the outcomes in the order of the parts.
func (a *asking[T]) all(ctx context.Context) ([]Outcome[T], error) {
	if err := lacking(ctx, a.plan.Missing, nil); err != nil {
		return nil, err
	}
	a.slots = make(chan struct{}, maxAtOnce)
	out := make([]Outcome[T], len(a.plan.Parts))
	var parts sync.WaitGroup
	for i, part := range a.plan.Parts {
		parts.Go(func() { out[i] = a.part(ctx, part) })
	}
	parts.Wait()
	answered, err := settle(ctx, out)
	if err != nil {
		for _, o := range answered {
			a.discard(o.try, o.Values)
		}
		return nil, err
	}
	return answered, nil
}

// lacking returns an error that says what is missing, unless that is allowed.
func lacking(ctx context.Context, missing []plan.Missing, cause error) error {
	if len(missing) == 0 {
		return nil
	}
	if cause != nil {
		named := make([]plan.Missing, len(missing))
		for i, m := range missing {
			m.Why = cause.Error()
			named[i] = m
		}
		missing = named
	}
	if err := (&MissingError{Missing: missing, Err: cause}); !missingOf(ctx).accept(err) {
		return err
	}
	explain.ReadOf(ctx).Lacks(missing)
	return nil
}

func (a *asking[T]) discard(t *try[T], values []T) {
	for _, v := range values {
		a.drop(v)
	}
	t.end()
}

// part settles a part.
func (a *asking[T]) part(ctx context.Context, part plan.Part) Outcome[T] {
	r := &race[T]{asking: a, part: part, results: make(chan result[T], maxTries)}
	defer r.stop()
	var slow <-chan time.Time // Nobody is quicker than this node itself.
	if part.Node != a.plan.Self {
		timer := time.NewTimer(a.fanout.delays.of(a.method))
		defer timer.Stop()
		slow = timer.C
	}
	r.launch(ctx, a.plan, []plan.Part{part}, false)
	for {
		select {
		case <-slow:
			r.hedge(ctx)
		case res := <-r.results:
			if o, done := r.settle(ctx, res); done {
				return o
			}
		}
	}
}

// race is between the attempts at a part.
type race[T any] struct {
	*asking[T]
	part    plan.Part
	tries   []*try[T]
	running int
	results chan result[T]
	failed  []plan.Node
	cause   error // of the first that failed
}

// launch asks for parts, of the plan, that together stand for the whole part.
func (r *race[T]) launch(ctx context.Context, p *plan.Plan, parts []plan.Part, hedge bool) {
	kind := explain.Planned
	switch {
	case hedge:
		kind = explain.Hedge
	case len(r.tries) > 0:
		kind = explain.Instead
	}
	t := r.begin(ctx, p, r.part, kind)
	r.tries = append(r.tries, t)
	r.running++
	go func() { r.results <- r.attempt(t, parts) }()
}

// hedge asks others beside the node that says nothing.
func (r *race[T]) hedge(ctx context.Context) {
	if len(r.tries) > 1 {
		return // They are asked already.
	}
	p, parts, missing := r.others(r.part, []plan.Node{r.part.Node})
	if len(missing) > 0 || len(parts) == 0 || r.divided(parts) {
		return
	}
	if !r.fanout.delays.allow() {
		r.fanout.metrics.hedges.WithLabelValues("refused").Inc()
		return
	}
	r.fanout.metrics.hedges.WithLabelValues("sent").Inc()
	r.launch(ctx, p, parts, true)
}

// settle says what the result of an attempt makes of the part, if that is clear.
func (r *race[T]) settle(ctx context.Context, res result[T]) (o Outcome[T], done bool) {
	r.running--
	o.Part = r.part
	switch {
	case res.err == nil:
		if res.try.hedge {
			r.fanout.metrics.hedges.WithLabelValues("won").Inc()
		}
		res.try.taken = true
		res.try.attempt.Taken()
		o.Values, o.try = res.values, res.try
		return o, true
	case res.final:
		o.Err = res.err
		return o, true
	}
	r.failed = append(r.failed, r.faulty(ctx, res)...)
	if r.cause == nil {
		r.cause = res.err
	}
	if r.running > 0 {
		return o, false
	}
	p, parts, err := r.replace(ctx, r.part, r.failed, len(r.tries), r.cause)
	if err != nil || len(parts) == 0 {
		o.Err = err
		return o, true
	}
	r.launch(ctx, p, parts, false)
	return o, false
}

// replace returns what to ask in place of nodes that failed, and by which plan. It is nothing if all is missing
// and that is allowed.
func (a *asking[T]) replace(
	ctx context.Context, part plan.Part, failed []plan.Node, tries int, cause error,
) (p *plan.Plan, parts []plan.Part, err error) {
	p, parts, missing := a.others(part, failed)
	if tries >= maxTries {
		parts, missing = nil, []plan.Missing{{Shards: part.Shards, Mint: part.Mint, Maxt: part.Maxt}}
	}
	if len(missing) > 0 {
		a.fanout.metrics.missing.Inc()
	}
	if err := lacking(ctx, missing, cause); err != nil {
		return nil, nil, err
	}
	if a.divided(parts) {
		return nil, nil, ErrDivided
	}
	if len(parts) > 0 {
		a.fanout.metrics.instead.Inc()
	}
	return p, parts, nil
}

// others returns what to ask in place of nodes, and by which plan.
func (a *asking[T]) others(part plan.Part, without []plan.Node) (*plan.Plan, []plan.Part, []plan.Missing) {
	p := a.latest()
	parts, missing := p.Instead(part, without)
	if a.once {
		parts = plan.Once(parts)
	}
	return p, parts, missing
}

// ErrDivided says that what a node has failed to answer can only be had from several that have some of
// the samples each.
var ErrDivided = errors.New("no other node has all samples")

// divided reports whether these can't be asked.
func (a *asking[T]) divided(parts []plan.Part) bool {
	return a.whole && slices.ContainsFunc(parts, func(p plan.Part) bool { return !a.plan.Whole(p) })
}

// stop ends the attempts that nobody waits for any more. What they still answer is discarded.
func (r *race[T]) stop() {
	for _, t := range r.tries {
		if !t.taken {
			t.end()
		}
	}
	if r.running == 0 {
		return
	}
	go func() {
		for range r.running {
			res := <-r.results
			r.discard(res.try, res.values)
		}
	}()
}

// try is an attempt: nodes that are asked at the same time, of which all must answer.
type try[T any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	hedge  bool
	taken  bool
	take   func(int64) error
	epoch  uint64 // of the plan that it is by
	// attempt is what is told of it.
	attempt *explain.Attempt

	mu struct {
		sync.Mutex
		ended   bool
		refused error
	}
}

func (a *asking[T]) begin(ctx context.Context, p *plan.Plan, part plan.Part, kind explain.Kind) *try[T] {
	t := &try[T]{hedge: kind == explain.Hedge, take: a.sel.Take, epoch: p.Epoch, attempt: explain.ReadOf(ctx).Attempt(part, kind)}
	t.ctx, t.cancel = context.WithCancel(leaf.At(ctx, p.Epoch))
	return t
}

// end stops the attempt. It takes nothing any more: the account may be another's by now.
func (t *try[T]) end() {
	t.cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.ended = true
}

// hold is the Take of what is asked. It remembers that it refused, in which case no other node helps.
func (t *try[T]) hold(bytes int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.ended {
		return context.Canceled
	}
	err := t.take(bytes)
	if err != nil {
		t.mu.refused = err
	}
	return err
}

// final reports whether no other node could do better.
func (t *try[T]) final(err error) bool {
	var failure *leaf.Failure
	var marked *finalError
	if t.ctx.Err() != nil || errors.As(err, &failure) && !failure.Elsewhere || errors.As(err, &marked) {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.refused != nil
}

// Final marks an error of which the question is the cause, so that it is put to nobody else.
func Final(err error) error { return &finalError{err} }

type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }

func (e *finalError) Unwrap() error { return e.err }

// result is what an attempt came to.
type result[T any] struct {
	try    *try[T]
	values []T
	err    error
	failed []plan.Node
	stale  []refusal // of nodes that know a newer placement; they have not failed
	final  bool
}

// nodeError names the node that failed.
type nodeError struct {
	node plan.Node
	err  error
}

func (e *nodeError) Error() string { return fmt.Sprintf("node %s: %s", e.node, e.err) }

func (e *nodeError) Unwrap() error { return e.err }

// attempt asks for all of the parts.
func (a *asking[T]) attempt(t *try[T], parts []plan.Part) result[T] {
	res := result[T]{try: t}
	values, errs := make([]T, len(parts)), make([]error, len(parts))
	var all sync.WaitGroup
	for i, part := range parts {
		all.Go(func() { values[i], errs[i] = a.one(t, part) })
	}
	all.Wait()
	for i, err := range errs {
		if err == nil {
			res.values = append(res.values, values[i])
			continue
		}
		if epoch := staleAt(err); epoch > t.epoch {
			res.stale = append(res.stale, refusal{parts[i].Node, epoch})
		} else {
			res.failed = append(res.failed, parts[i].Node)
		}
		if final := t.final(err); res.err == nil || final {
			res.err, res.final = err, final
			if !final {
				res.err = &nodeError{parts[i].Node, err}
			}
		}
	}
	if res.err != nil {
		a.discard(t, res.values)
		res.values = nil
	}
	return res
}

// one asks a node.
func (a *asking[T]) one(t *try[T], part plan.Part) (value T, err error) {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-t.ctx.Done():
		return value, t.ctx.Err()
	}
	ask := t.attempt.Ask(part)
	defer func() { ask.Answered(err) }()
	node, err := a.fanout.opts.Reach(part.Node)
	if err != nil {
		return value, err
	}
	sel := a.sel
	sel.Mint, sel.Maxt, sel.Shards = part.Mint, part.Maxt, part.Shards
	if sel.Take != nil {
		sel.Take = t.hold
	}
	begin := time.Now()
	if value, err = a.do(ask.Into(t.ctx), node, sel); err != nil {
		return value, err
	}
	if part.Node != a.plan.Self {
		a.fanout.delays.observe(a.method, time.Since(begin))
	}
	if a.mark != nil {
		value = a.mark(value, part.Node)
	}
	return value, nil
}
