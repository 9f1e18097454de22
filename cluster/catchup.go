package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/rpc"
)

const (
	placementMethod = "cluster.placement"
	// catchUpTime is how long CatchUp takes at most: a query waits for it.
	catchUpTime = time.Second
)

// CatchUp has this node know the placement of an epoch, or a later one. It takes it from a node that knows it:
// Raft and gossip bring it too, but a node that is asked by the newer placement, or asks by an older one, can't
// wait for them. What one node knows to be in force was agreed upon, so that the other may take its word.
func (c *Cluster) CatchUp(ctx context.Context, from placement.NodeID, epoch uint64) error {
	if c.epoch() >= epoch {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	select { // One at a time: whoever comes next may find that it was done.
	case c.catching <- struct{}{}:
		defer func() { <-c.catching }()
	case <-ctx.Done():
		return fmt.Errorf("catch up with epoch %d: %w", epoch, context.Cause(ctx))
	}
	if c.epoch() >= epoch {
		return nil
	}
	err := c.learn(ctx, from)
	for {
		changed := c.Changed()
		if c.epoch() >= epoch {
			c.catchUps.WithLabelValues("done").Inc()
			return nil
		}
		select {
		case <-changed: // Raft may bring it yet.
		case <-ctx.Done():
			c.catchUps.WithLabelValues("failed").Inc()
			return fmt.Errorf("catch up with epoch %d, knowing %d: %w", epoch, c.epoch(), errors.Join(context.Cause(ctx), err))
		}
	}
}

// epoch of the placement that this node knows, 0 before there is one.
func (c *Cluster) epoch() uint64 {
	if p := c.Placement(); p != nil {
		return p.Epoch
	}
	return 0
}

// learn asks a node for its placement.
func (c *Cluster) learn(ctx context.Context, from placement.NodeID) error {
	to, ok := c.Peer(from)
	if !ok {
		return ErrUnknownNode
	}
	answer, err := c.rpc.Call(ctx, to, placementMethod, nil)
	if err != nil {
		return err
	}
	a, err := decodeAgreed(answer)
	if err == nil {
		c.register.learn(a)
	}
	return err
}

// saysPlacement answers learn of another node.
func (c *Cluster) saysPlacement(context.Context, rpc.Identity, []byte) ([]byte, error) {
	now := c.register.get()
	if now.placement == nil {
		return nil, &rpc.Error{Code: rpc.NotFound, Text: ErrNoRegion.Error()}
	}
	return now.encode(), nil
}
