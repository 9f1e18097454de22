package querier

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/leaf/wire"
	"github.com/barograph-db/barograph/storage/chunk"
)

// Server returns what answers other nodes from this node's own store. What they ask for counts
// towards this node's limits, and waits for its turn at a gate of its own: nodes that ask each other
// must not wait for each other.
func (e *Engine) Server() *wire.Server {
	return wire.NewServer(wire.ServerOptions{Node: e.local, Limits: serving{e}, Registerer: e.opts.Registerer})
}

// serving are the limits on what other nodes ask.
type serving struct{ engine *Engine }

// servedName is what is being read for other nodes, where it takes too many bytes.
const servedName = "for another node"

// Admit waits for a request's turn.
func (s serving) Admit(ctx context.Context) (*wire.Admission, error) {
	e := s.engine
	slot, err := e.served.enter(ctx)
	if err != nil {
		return nil, e.explain(err)
	}
	account := e.memory.account(e.opts.MaxQueryBytes)
	worked := sync.OnceFunc(func() { e.served.leave(slot) })
	return &wire.Admission{
		Take:     func(n int64) error { return account.Take(n, servedName) },
		Matchers: e.compiler(account),
		Compute:  e.computer(account),
		Worked:   worked,
		Close: func() {
			worked()
			account.Close()
		},
	}, nil
}

// compiler returns what makes matchers of one request, whose regular expressions have one budget: the
// node that asked has checked its query, but may have other limits.
func (e *Engine) compiler(account *Account) func([]wire.Matcher) ([]*labels.Matcher, error) {
	budget := e.newRegexBudget()
	return func(sent []wire.Matcher) ([]*labels.Matcher, error) {
		ms := make([]*labels.Matcher, len(sent))
		for i, m := range sent {
			if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
				before := budget.bytes(0)
				if err := budget.spend(m.Value); err != nil {
					return nil, err
				}
				if err := account.Take(budget.bytes(len(m.Value))-before, textName); err != nil {
					return nil, err
				}
			}
			var err error
			if ms[i], err = labels.NewMatcher(m.Type, m.Name, m.Value); err != nil {
				return nil, &Error{Kind: BadData, Err: fmt.Errorf("compile %q: %w", clip(m.Value), err)}
			}
		}
		return ms, nil
	}
}

// computer returns what has this node's own limits keep an evaluation for another node within bounds.
func (e *Engine) computer(account *Account) func(context.Context, []*labels.Matcher, *eval.Params) (context.Context, func()) {
	return func(ctx context.Context, ms []*labels.Matcher, p *eval.Params) (context.Context, func()) {
		name := selectorText(ms) + " " + servedName
		p.Workers, p.MaxSamples = runtime.GOMAXPROCS(0), e.opts.MaxSamples
		p.Hold = func(chunk.Series) error { return account.count(1, e.opts.MaxSeries, name) }
		p.Take = func(n int64) error { return account.Take(n, name) }
		ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
		ctx, leave := e.watch.enter(ctx, account)
		return ctx, func() {
			leave()
			cancel()
		}
	}
}

// Failure says what others are told of an error.
func (s serving) Failure(err error) leaf.Failure {
	switch {
	case errors.Is(err, eval.ErrFallback):
		return leaf.Failure{Kind: uint8(Execution), Fallback: true, Text: err.Error()}
	case errors.Is(err, eval.ErrTooManySamples):
		err = s.engine.explain(promql.ErrTooManySamples("query execution"))
	}
	kind := KindOf(err)
	return leaf.Failure{
		Kind: uint8(kind), Text: err.Error(),
		Elsewhere: kind != BadData && kind != Execution && kind != Timeout,
	}
}
