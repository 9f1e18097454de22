package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/barograph-db/barograph/cluster/durable"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/rpc"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	placementMethod = "cluster.placement"
	placementFile   = "placement"
	maxAgreed       = registerHeader + placement.MaxEncoded
	// catchUpTime is how long CatchUp takes at most: a query waits for it.
	catchUpTime = time.Second
)

// learned is what a node knows of the placement beside what consensus has told it: it may be cut off
// from that, or not be told yet, and is told by another node whose epoch is newer. What it writes by is on disk
// before it says that it does: it has promised then to take no writes that the placement shuts out.
type learned struct {
	newest   atomic.Pointer[agreed] // nil: nothing yet
	followed atomic.Uint64          // epoch
	news     chan struct{}          // one reader
	asking   chan struct{}          // has room for who asks
}

// openLearned reads what the node wrote by when it went away.
func (c *Cluster) openLearned() error {
	c.learned.news, c.learned.asking = make(chan struct{}, 1), make(chan struct{}, 1)
	data, err := durable.Read(c.opts.FS, c.placementPath(), maxAgreed)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the placement: %w", err)
	}
	a, err := decodeAgreed(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.placementPath(), err)
	}
	if c.learn(a) {
		c.learned.followed.Store(a.placement.Epoch)
	}
	return nil
}

func (c *Cluster) placementPath() string { return c.opts.FS.PathJoin(c.opts.Dir, placementFile) }

// latest is the newest of what the node knows to be agreed upon.
func (c *Cluster) latest() agreed {
	now := c.register.get()
	if l := c.learned.newest.Load(); l != nil && l.newer(now) {
		return *l
	}
	return now
}

// newer reports whether a is a later step of the same region.
func (a agreed) newer(now agreed) bool {
	return now.placement == nil || a.region == now.region && a.placement.Epoch > now.placement.Epoch
}

// learn takes a placement that is in force, and reports whether it is news.
func (c *Cluster) learn(a agreed) bool {
	if a.placement == nil || !a.newer(c.latest()) {
		return false
	}
	c.learned.newest.Store(&a)
	select {
	case c.learned.news <- struct{}{}:
	default:
	}
	return true
}

// CatchUp has this node know the placement of an epoch, or a later one. It takes it from a node that knows it:
// Raft and gossip bring it too, but a node that is asked by the newer placement, or is refused for an older one,
// can't wait for them. What one node knows to be in force was agreed upon, so that the other may take its word.
func (c *Cluster) CatchUp(ctx context.Context, from placement.NodeID, epoch uint64) error {
	if c.epoch() >= epoch {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	select { // One at a time: whoever comes next may find that it was done.
	case c.learned.asking <- struct{}{}:
		defer func() { <-c.learned.asking }()
	case <-ctx.Done():
		return fmt.Errorf("catch up with epoch %d: %w", epoch, context.Cause(ctx))
	}
	var err error
	if c.epoch() < epoch {
		err = c.ask(ctx, from)
	}
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

// ask learns the placement that a node knows.
func (c *Cluster) ask(ctx context.Context, node placement.NodeID) error {
	to, ok := c.Peer(node)
	if !ok {
		return ErrUnknownNode
	}
	answer, err := c.rpc.Call(ctx, to, placementMethod, nil)
	if err != nil {
		return err
	}
	a, err := decodeAgreed(answer)
	if err == nil {
		c.learn(a)
	}
	return err
}

// saysPlacement answers ask of another node.
func (c *Cluster) saysPlacement(context.Context, rpc.Identity, []byte) ([]byte, error) {
	a := c.latest()
	if a.placement == nil {
		return nil, &rpc.Error{Code: rpc.NotFound, Text: ErrNoRegion.Error()}
	}
	return a.encode(), nil
}

// Follow says that this node writes by a placement, which Placement has returned, and that no write that
// it shuts out is taken here any more. Others are told when that is on disk. It is called by one goroutine.
func (c *Cluster) Follow(p *placement.Placement) error {
	if p.Epoch <= c.learned.followed.Load() {
		return nil
	}
	if err := durable.Replace(c.opts.FS, c.placementPath(), agreed{c.latest().region, p}.encode()); err != nil {
		return fmt.Errorf("keep the placement: %w", err)
	}
	c.learned.followed.Store(p.Epoch)
	select {
	case c.learned.news <- struct{}{}:
	default:
	}
	return nil
}

// follows are the epochs that nodes have said they follow, this one among them, be they alive or not.
func (c *Cluster) follows() map[placement.NodeID]uint64 {
	now := c.latest()
	said := map[placement.NodeID]uint64{c.Self(): c.learned.followed.Load()}
	for _, f := range c.pool.Facts(regionFact) {
		if region, epoch, ok := told(f.Value); ok && region == now.region && f.Node != c.Self() {
			said[f.Node] = epoch
		}
	}
	return said
}

// Followed is the latest epoch that all living nodes of the placement say they follow; false: some of them has
// said nothing yet.
func (c *Cluster) Followed() (epoch uint64, heard bool) {
	p := c.Placement()
	if p == nil {
		return 0, false
	}
	said := c.follows()
	epoch, heard = p.Epoch, true
	for i := range p.Nodes {
		if id := p.Nodes[i].ID; c.Alive(id) {
			follows, ok := said[id]
			epoch, heard = min(epoch, follows), heard && ok
		}
	}
	return epoch, heard
}

// Newest is the latest epoch that any node of the region is known to know, 0 before there is one.
func (c *Cluster) Newest() uint64 {
	newest := c.epoch()
	for _, epoch := range c.follows() {
		newest = max(newest, epoch)
	}
	return newest
}

// ShutOut reports whether no write to any of the shards can be acknowledged any more by a placement from before
// the epoch.
func (c *Cluster) ShutOut(epoch uint64, shards []series.Shard) bool {
	p := c.Placement()
	return p != nil && shutOut(p, c.follows(), epoch, shards)
}

// shutOut: of each shard so many whole replicas take no such writes that the others are not enough.
func shutOut(p *placement.Placement, follows map[placement.NodeID]uint64, epoch uint64, shards []series.Shard) bool {
	for _, s := range shards {
		whole, _ := p.Replicas(s)
		refuse := 0
		for _, r := range whole {
			if follows[r.Node] >= epoch {
				refuse++
			}
		}
		if refuse < p.Enough(s) {
			return false
		}
	}
	return true
}

// tell publishes which region the node belongs to, none to begin with, and the epoch that it follows.
func (c *Cluster) tell() {
	region := c.latest().region
	fact := binary.AppendUvarint(region[:], c.learned.followed.Load())
	if string(fact) == string(c.steward.published) {
		return
	}
	if err := c.pool.Publish(regionFact, fact); err != nil {
		c.opts.Logger.Error("The region's ID could not be published", "err", err)
		return
	}
	c.steward.published = fact
}

// told is what a node tells.
func told(fact []byte) (region placement.NodeID, epoch uint64, ok bool) {
	if len(fact) < len(region) {
		return region, 0, false
	}
	epoch, n := binary.Uvarint(fact[copy(region[:], fact):])
	return region, epoch, n > 0
}
