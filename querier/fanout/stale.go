package fanout

import (
	"context"
	"errors"
	"sync"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
)

// A node answers for shards that it holds whole by the placement it knows, and refuses others. If that is
// newer than the one that was planned by, this node learns it from there, and what was refused is planned anew
// by it: the node that refused may still hold most of it. One that refuses by an older placement, though it
// had time to learn the newer one, counts as failed, as any other that can't answer.

// maxReplans is how often one question is planned anew. Placements change seldom; who is told of newer ones
// all the time is better off with an error.
const maxReplans = 2

// newest is the newest plan of a question.
type newest struct {
	sync.Mutex
	plan    *plan.Plan // nil until the question was planned anew
	replans int
}

// refusal is a node that did not answer since it knows a newer placement.
type refusal struct {
	node  plan.Node
	epoch uint64
}

// staleAt returns the epoch of the placement by which a node refused, 0 if it was for another reason.
func staleAt(err error) uint64 {
	var failure *leaf.Failure
	if errors.As(err, &failure) && failure.Stale {
		return failure.Epoch
	}
	return 0
}

// latest is the plan by which to ask from now on.
func (a *asking[T]) latest() *plan.Plan {
	a.newest.Lock()
	defer a.newest.Unlock()
	if a.newest.plan != nil {
		return a.newest.plan
	}
	return a.plan
}

// faulty returns the nodes not to ask again after an attempt.
func (a *asking[T]) faulty(ctx context.Context, res result[T]) []plan.Node {
	failed := res.failed
	for _, r := range res.stale {
		if !a.catchUp(ctx, r) {
			failed = append(failed, r.node)
		}
	}
	return failed
}

// catchUp plans anew by the placement that a node refused by, or a later one, and reports whether it could. All
// that is asked at the same time waits for it: it would be refused as well.
func (a *asking[T]) catchUp(ctx context.Context, r refusal) bool {
	n, now := &a.newest, a.plan
	n.Lock()
	defer n.Unlock()
	if n.plan != nil {
		now = n.plan
	}
	switch {
	case now.Epoch >= r.epoch:
		return true
	case a.fanout.opts.CatchUp == nil || n.replans == maxReplans:
		a.fanout.metrics.replans.WithLabelValues("refused").Inc()
		return false
	}
	n.replans++
	view, err := a.fanout.opts.CatchUp(ctx, r.node, r.epoch)
	if err != nil || view.Epoch < r.epoch {
		a.fanout.metrics.replans.WithLabelValues("failed").Inc()
		return false
	}
	a.fanout.metrics.replans.WithLabelValues("done").Inc()
	next := now.Over(view)
	n.plan = &next
	return true
}
