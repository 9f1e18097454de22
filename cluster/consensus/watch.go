package consensus

import (
	"context"

	"github.com/hashicorp/raft"
)

// Leading says whether this node is the leader and has applied all that was agreed on before.
func (g *Group) Leading() bool {
	r := g.raft.Load()
	return r != nil && r.State() == raft.Leader && g.caughtUp.Load() == r.CurrentTerm()
}

// Changed is sent to when Leader, Leading or Servers may say something new. It is for one reader,
// for whom several changes become one.
func (g *Group) Changed() <-chan struct{} { return g.changed }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// announce wakes whoever waits for a change.
func (g *Group) announce() {
	g.mu.Lock()
	close(g.mu.next)
	g.mu.next = make(chan struct{})
	g.mu.Unlock()
	poke(g.changed)
}

// nextChange returns a channel that is closed at the next change.
func (g *Group) nextChange() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.next
}

// watch passes on what happens in Raft, until ctx is done or the group has failed. Raft itself never
// waits for it: an observer that has something to read already is skipped, and reads what is newest.
func (g *Group) watch(ctx context.Context, r *raft.Raft) {
	events := make(chan raft.Observation, 1)
	o := raft.NewObserver(events, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState, raft.PeerObservation:
			return true
		}
		return false
	})
	r.RegisterObserver(o)
	defer r.DeregisterObserver(o)
	poke(g.news)
	var asked uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.failure.done:
			return
		case <-events:
		case <-g.news:
		}
		if term := r.CurrentTerm(); r.State() == raft.Leader && asked != term {
			asked = term
			g.catchUp(term)
		}
		g.announce()
	}
}

// catchUp waits, in a goroutine of its own, until all from before the term is applied. That ends
// with the term at the latest.
func (g *Group) catchUp(term uint64) {
	_ = g.spawn(func(r *raft.Raft) { // Once all ends, nobody asks.
		if r.Barrier(0).Error() == nil {
			g.caughtUp.Store(term)
			poke(g.news)
		}
	})
}
