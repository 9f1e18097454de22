package querier

import (
	"context"
	"sync/atomic"
)

// gate lets so many queries run, so many wait in the order they came, and refuses the rest.
type gate struct {
	free      chan int // slots nobody is in
	slots     int
	maxQueued int64
	metrics   *metrics
	queued    atomic.Int64
}

func newGate(slots, maxQueued int, m *metrics) *gate {
	g := &gate{free: make(chan int, slots), slots: slots, maxQueued: int64(maxQueued), metrics: m}
	for i := range slots {
		g.free <- i
	}
	return g
}

// enter waits for a slot, which the caller leaves.
func (g *gate) enter(ctx context.Context) (slot int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	select {
	case slot = <-g.free:
		return slot, nil
	default:
	}
	defer g.queued.Add(-1)
	if g.queued.Add(1) > g.maxQueued {
		return 0, g.metrics.limited(TooMany, limitQueued, g.maxQueued, "%d queries run and too many wait", g.slots)
	}
	select {
	case slot = <-g.free:
		return slot, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Turn waits for the turn of a request that reads but is no query: of label names, of series. The
// context it returns ends when the request has taken as long as a query may; done ends the turn.
func (e *Engine) Turn(ctx context.Context) (_ context.Context, done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	slot, err := e.lookups.enter(ctx)
	if err != nil {
		cancel()
		return nil, nil, e.explain(err)
	}
	return ctx, func() {
		cancel()
		e.lookups.leave(slot)
	}, nil
}

func (g *gate) leave(slot int) { g.free <- slot }

func (g *gate) running() int { return g.slots - len(g.free) }
