package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/barograph-db/barograph/cluster/placement"
)

// SetServers makes the servers those that are wanted, one change after the other, and waits until
// that is done or ctx is. Only the leader can; when the leader itself is to vote no more it hands
// over and returns ErrNotLeader, for the next leader to go on. It can be repeated at any time.
func (g *Group) SetServers(ctx context.Context, want []Server) error {
	if err := validServers(want); err != nil {
		return fmt.Errorf("set servers: %w", err)
	}
	want = slices.SortedFunc(slices.Values(want), byID)
	select {
	case g.setting <- struct{}{}:
		defer func() { <-g.setting }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		if !g.Leading() {
			return fmt.Errorf("set servers: %w", ErrNotLeader)
		}
		v, index := g.look(ctx)
		c := v.next(want)
		switch c.kind {
		case nothing:
			return nil
		case wait:
			select {
			case <-ctx.Done():
				return fmt.Errorf("set servers: %s: %w", c, context.Cause(ctx))
			case <-time.After(g.opts.HeartbeatTimeout / 2):
			}
		case resign:
			return fmt.Errorf("set servers: %w", g.resign(ctx, want, &v))
		default:
			g.opts.Logger.Info("changing the servers of consensus", "change", c.String())
			if err := g.ask(ctx, func(r *raft.Raft) error { return perform(r, c, index) }); err != nil {
				return fmt.Errorf("set servers: %s: %w", c, notLeading(err))
			}
			g.metrics.changes.Inc()
		}
	}
}

// look asks all servers how far they are; one that does not answer within a heartbeat is silent.
func (g *Group) look(ctx context.Context) (view, uint64) {
	v := view{self: g.opts.ID, applied: map[placement.NodeID]uint64{}}
	var index uint64
	v.now, index = g.configuration()
	if r := g.raft.Load(); r != nil {
		v.committed = r.CommitIndex()
		v.applied[v.self] = r.AppliedIndex()
	}
	ctx, cancel := context.WithTimeout(ctx, g.opts.HeartbeatTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, s := range v.now {
		if s.ID == v.self {
			continue
		}
		wg.Go(func() {
			if at, ok := g.opts.Address(s.ID); ok {
				s.Addr = at
			}
			if applied, err := g.askProgress(ctx, s); err == nil {
				mu.Lock()
				v.applied[s.ID] = applied
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return v, index
}

// perform makes a change, unless the servers are others than when it was decided on.
func perform(r *raft.Raft, c change, index uint64) error {
	id := serverID(c.server.ID)
	switch {
	case c.kind == promote, c.kind == move && c.server.Voter:
		return r.AddVoter(id, address(c.server), index, ioTimeout).Error()
	case c.kind == addNonvoter, c.kind == move:
		return r.AddNonvoter(id, address(c.server), index, ioTimeout).Error()
	case c.kind == demote:
		return r.DemoteVoter(id, index, ioTimeout).Error()
	}
	return r.RemoveServer(id, index, ioTimeout).Error()
}

// resign hands over to a voter that is to stay one, the one that is furthest.
func (g *Group) resign(ctx context.Context, want []Server, v *view) error {
	var to Server
	for _, w := range want {
		s, ok := find(v.now, w.ID)
		applied, answers := v.applied[w.ID]
		if ok && s.Voter && w.Voter && answers && (to.ID == placement.NodeID{} || applied > v.applied[to.ID]) {
			to = s
		}
	}
	if to.ID == (placement.NodeID{}) {
		return errors.New("hand over: none of those that are to vote answers")
	}
	err := g.ask(ctx, func(r *raft.Raft) error {
		return r.LeadershipTransferToServer(serverID(to.ID), address(to)).Error()
	})
	if err != nil {
		return fmt.Errorf("hand over to %s: %w", to.ID, notLeading(err))
	}
	return fmt.Errorf("%w any more: handed over to %s", ErrNotLeader, to.ID)
}

func notLeading(err error) error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipLost) {
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	return err
}
