package querier

import (
	"context"
	"sync/atomic"
)

// pool is what all requests of the node may hold together.
type pool struct {
	max     int64
	metrics *metrics
	used    atomic.Int64
}

// Account is what one query, or one request of another kind, holds in bytes and series. Bytes are
// taken before they are allocated; all of them are given back at the end.
type Account struct {
	pool   *pool
	max    int64
	used   atomic.Int64
	series atomic.Int64
	// stop ends the query that holds the account; nil while nothing is being evaluated.
	stop context.CancelCauseFunc
}

func (p *pool) account(limit int64) *Account { return &Account{pool: p, max: limit} }

// Take holds n bytes, or holds nothing and returns an error that names what is being read.
// An account that is not there holds anything.
func (a *Account) Take(n int64, what string) error {
	if a == nil {
		return nil
	}
	if used := a.used.Add(n); used > a.max {
		a.used.Add(-n)
		return a.pool.metrics.limited(Execution, limitQueryBytes, a.max, "the query would hold more bytes than it may, reading %s", what)
	}
	if used := a.pool.used.Add(n); used > a.pool.max {
		a.pool.used.Add(-n)
		a.used.Add(-n)
		return a.pool.metrics.limited(TooMany, limitBytes, a.pool.max,
			"the queries of this node would together hold more bytes than they may, reading %s", what)
	}
	return nil
}

// give returns some of what was taken.
func (a *Account) give(bytes, series int64) {
	a.used.Add(-bytes)
	a.pool.used.Add(-bytes)
	a.series.Add(-series)
}

// count adds series, or returns an error that names the selector.
func (a *Account) count(series int64, limit int, selector string) error {
	if n := a.series.Add(series); n > int64(limit) {
		return a.tooManySeries(limit, selector)
	}
	return nil
}

func (a *Account) tooManySeries(limit int, selector string) error {
	return a.pool.metrics.limited(Execution, limitSeries, int64(limit), "the query matches too many series, reading %s", selector)
}

// settle holds n bytes in place of what was held so far.
func (a *Account) settle(n int64, what string) error {
	more := n - a.used.Load()
	if more > 0 {
		return a.Take(more, what)
	}
	a.give(-more, 0)
	return nil
}

// Close gives everything back. It may be called again.
func (a *Account) Close() {
	if a != nil {
		a.pool.used.Add(-a.used.Swap(0))
	}
}

type accountKey struct{}

// Account opens an account for what a request holds beside what its queries do, and returns a
// context in which it is found: what is parsed with that context counts there. The caller closes it.
func (e *Engine) Account(ctx context.Context) (context.Context, *Account) {
	a := e.memory.account(e.opts.MaxQueryBytes)
	return context.WithValue(ctx, accountKey{}, a), a
}

// AccountOf returns the account of a request, nil if there is none.
func AccountOf(ctx context.Context) *Account {
	a, _ := ctx.Value(accountKey{}).(*Account)
	return a
}
