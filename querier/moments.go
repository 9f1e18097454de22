package querier

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier/cache"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/changes"
)

const (
	// momentWait is how long a node may take to say what was changed. It is longer than any that is
	// well takes; without an answer a query is computed as a whole.
	momentWait = 500 * time.Millisecond
	// silenceLasts is for how long nobody is asked after a node did not answer, so that queries don't
	// wait for it until it is taken for dead, or is back.
	silenceLasts = 5 * time.Second
)

// silence is until when nobody is asked what was changed, in Unix nanoseconds.
type silence struct{ until atomic.Int64 }

func (s *silence) begin(now time.Time) { s.until.Store(now.Add(silenceLasts).UnixNano()) }

func (s *silence) lasts(now time.Time) bool { return now.UnixNano() < s.until.Load() }

var errNoChanges = errors.New("the node does not know what was changed")

// moments asks all nodes that may be read for their present moment, and which times were changed since
// those before. Whoever of them answers a query, and whoever another replica takes the place of, what it
// lacks then will be told as a change. It returns false if any does not say.
func (e *Engine) moments(ctx context.Context, before cache.Stamps) (now cache.Stamps, changed []changes.Span, ok bool) {
	if e.silence.lasts(time.Now()) {
		return now, nil, false
	}
	view := e.view()
	nodes := view.Nodes()
	now = cache.Stamps{View: view.Stamp(), Nodes: make(map[placement.NodeID]changes.Stamp, len(nodes))}
	if before.View != now.View {
		before = cache.Stamps{} // All may have changed.
	}
	if len(nodes) == 0 {
		return now, nil, false
	}
	answers := make([]moment, len(nodes))
	waiting, cancel := context.WithTimeout(ctx, momentWait)
	defer cancel()
	var all sync.WaitGroup
	for i, n := range nodes[1:] {
		all.Go(func() { answers[i+1] = e.moment(waiting, n, before.Nodes[n.ID]) })
	}
	answers[0] = e.moment(waiting, nodes[0], before.Nodes[nodes[0].ID])
	all.Wait()
	for i, a := range answers {
		if a.err != nil {
			if len(nodes) > 1 && ctx.Err() == nil {
				e.silence.begin(time.Now())
			}
			return now, nil, false
		}
		now.Nodes[nodes[i].ID] = a.stamp
		changed = append(changed, a.changed...)
	}
	return now, changed, true
}

// moment is what a node says.
type moment struct {
	stamp   changes.Stamp
	changed []changes.Span
	err     error
}

func (e *Engine) moment(ctx context.Context, n plan.Node, since changes.Stamp) (m moment) {
	node, err := e.reach(n)
	if err != nil {
		return moment{err: err}
	}
	c, ok := node.(leaf.Changer)
	if !ok {
		return moment{err: errNoChanges}
	}
	m.stamp, m.changed, m.err = c.Changes(ctx, since)
	return m
}
