package querier

import (
	"sync/atomic"
)

// pool is what all queries of the node may hold together.
type pool struct {
	max     int64
	metrics *metrics
	used    atomic.Int64
}

// account is what one query holds, in bytes and series. A nil account holds nothing.
type account struct {
	pool   *pool
	max    int64
	used   atomic.Int64
	series atomic.Int64
}

func (p *pool) account(limit int64) *account { return &account{pool: p, max: limit} }

// take holds n bytes, or holds nothing and returns an error that names the selector.
func (a *account) take(n int64, selector string) error {
	if used := a.used.Add(n); used > a.max {
		a.used.Add(-n)
		return a.pool.metrics.limited(Execution, limitQueryBytes, a.max, "the query would hold more bytes than it may, reading %s", selector)
	}
	if used := a.pool.used.Add(n); used > a.pool.max {
		a.pool.used.Add(-n)
		a.used.Add(-n)
		return a.pool.metrics.limited(TooMany, limitBytes, a.pool.max,
			"the queries of this node would together hold more bytes than they may, reading %s", selector)
	}
	return nil
}

// give returns some of what was taken.
func (a *account) give(bytes, series int64) {
	a.used.Add(-bytes)
	a.pool.used.Add(-bytes)
	a.series.Add(-series)
}

// count adds a series, or returns an error that names the selector.
func (a *account) count(limit int, selector string) error {
	if n := a.series.Add(1); n > int64(limit) {
		return a.pool.metrics.limited(Execution, limitSeries, int64(limit), "the query matches too many series, reading %s", selector)
	}
	return nil
}

// resize replaces what is held by n bytes, without asking.
func (a *account) resize(n int64) {
	if a != nil {
		a.pool.used.Add(n - a.used.Swap(n))
	}
}

func (a *account) close() { a.resize(0) }
