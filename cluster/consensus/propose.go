package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Propose has the command applied to the state on all nodes, and returns the result of the leader's.
// It waits for a leader as long as ctx lasts. On a node that does not lead, its own state may hear of
// the command a little later.
//
// The errors are ErrNoLeader, ErrBusy, ErrTooLarge, ErrUnknownState and ErrClosed, after which
// nothing has happened nor will, and ErrLost.
func (g *Group) Propose(ctx context.Context, state string, command []byte) (result []byte, err error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longestProposal)
		defer cancel()
	}
	if err := g.check(state, command); err != nil {
		return nil, g.count(err)
	}
	for {
		changed := g.nextChange()
		leader, ok := g.Leader()
		switch {
		case ok && leader.ID == g.opts.ID:
			result, err = g.apply(ctx, appendCommand(nil, state, command))
			if err == nil || !errors.Is(err, ErrNoLeader) {
				return result, g.count(err)
			}
		case ok:
			result, err = g.forward(ctx, leader, state, command)
			return result, g.count(err)
		}
		select {
		case <-changed:
		case <-time.After(g.opts.HeartbeatTimeout / 4): // A leader that could not hand over goes on without a word.
		case <-ctx.Done():
			return nil, g.count(fmt.Errorf("propose to %q: %w: %w", state, ErrNoLeader, context.Cause(ctx)))
		}
		if err := g.over(); err != nil {
			return nil, g.count(err)
		}
	}
}

func (g *Group) check(state string, command []byte) error {
	switch {
	case g.opts.States[state] == nil:
		return fmt.Errorf("%w %.80q", ErrUnknownState, state)
	case len(command) > g.opts.MaxCommandBytes:
		return fmt.Errorf("command for %q: %w: %d bytes", state, ErrTooLarge, len(command))
	}
	return nil
}

// over returns an error once the group has ended.
func (g *Group) over() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.state == ended {
		return ErrClosed
	}
	return nil
}

func (g *Group) take() error {
	select {
	case g.places <- struct{}{}:
		return nil
	default:
		return ErrBusy
	}
}

// forward hands a proposal to the leader. What went wrong on the way may have done so after it
// arrived.
func (g *Group) forward(ctx context.Context, leader Server, state string, command []byte) ([]byte, error) {
	if err := g.take(); err != nil {
		return nil, err
	}
	defer func() { <-g.places }()
	response, err := g.opts.Forward(ctx, leader, appendRequest(nil, propose, appendCommand(nil, state, command)))
	switch {
	case errors.Is(err, ErrNoLeader):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("forward to %s: %w: %w", leader.ID, ErrLost, err)
	}
	result, err := decodeResponse(response)
	if err != nil {
		return nil, fmt.Errorf("forward to %s: %w", leader.ID, err)
	}
	return result, nil
}

// apply has the leader, this node, apply a command. With ErrNoLeader nothing has happened.
func (g *Group) apply(ctx context.Context, command []byte) ([]byte, error) {
	if err := g.take(); err != nil {
		return nil, err
	}
	done := make(chan answer, 1)
	err := g.spawn(func(r *raft.Raft) {
		defer func() { <-g.places }()
		f := r.Apply(command, untilDeadline(ctx))
		err := f.Error()
		if err != nil {
			done <- answer{err: outcome(err)}
			return
		}
		switch v := f.Response().(type) {
		case result:
			done <- answer{data: v}
		default:
			done <- answer{err: fmt.Errorf("%w: %v", ErrLost, v)}
		}
	})
	if err != nil {
		<-g.places
		return nil, err
	}
	select {
	case a := <-done:
		return a.data, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrLost, context.Cause(ctx))
	}
}

type answer struct {
	data []byte
	err  error
}

// untilDeadline is at least a moment: none at all means for ever to Raft.
func untilDeadline(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return longestProposal
	}
	return max(time.Until(deadline), time.Millisecond)
}

// outcome tells errors after which nothing has happened from the others.
func outcome(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// count counts how a proposal ended, and returns err.
func (g *Group) count(err error) error {
	g.metrics.proposals.WithLabelValues(statusOf(err).String()).Inc()
	return err
}
