package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/version"

	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/consensus"
	"github.com/barograph-db/barograph/cluster/move"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/rpc"
	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/dedup"
	"github.com/barograph-db/barograph/ingest/outbox"
	"github.com/barograph-db/barograph/ingest/router"
	"github.com/barograph-db/barograph/ingest/stream"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/leaf/wire"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	framesMethod = "ingest.frames"
	outboxDir    = "outbox"
)

// region is what makes the node one of several: how it reaches the others, and what it does for them.
type region struct {
	node     *Node
	db       *storage.DB
	cluster  *cluster.Cluster
	pairs    *dedup.Table // known to all nodes, whether they look for pairs or not
	rules    *ledger.State
	outbox   *outbox.Outbox
	router   *router.Router
	senders  *stream.Senders
	receiver *stream.Receiver
	mover    *move.Mover
	doubts   doubts
	view     atomic.Pointer[plan.View]
	running  sync.WaitGroup // senders and deliveries

	mu struct {
		sync.Mutex
		peers map[placement.NodeID]*peer
	}
}

// openRegion prepares the node's part in its cluster; it starts nothing.
func (n *Node) openRegion(db *storage.DB) (_ *region, err error) {
	id, err := cluster.Identity(n.cfg.disk, n.cfg.Storage.Path)
	if err != nil {
		return nil, err
	}
	c := n.cfg.Cluster
	r := &region{node: n, db: db, pairs: dedup.NewTable(), rules: ledger.New()}
	r.mu.peers = map[placement.NodeID]*peer{}
	if r.cluster, err = cluster.New(cluster.Options{
		Name: c.Name, Node: placement.Node{ID: id, Name: n.cfg.Name, Zone: c.Zone, Weight: c.Weight},
		Region: c.Region, Software: version.Version, Join: c.Join, BootstrapExpect: c.BootstrapExpect,
		GossipAddress: c.GossipAddress, RPCAddress: c.RPCAddress, AdvertiseHost: c.AdvertiseHost,
		Factor: c.ReplicationFactor, States: map[string]consensus.State{dedup.StateName: r.pairs, ledger.Name: r.rules},
		Dir: n.cfg.Storage.Path, FS: n.cfg.disk, Network: n.cfg.network,
		Logger: n.logger, Registerer: n.registry,
	}); err != nil {
		return nil, fmt.Errorf("--cluster.name=%s: %w", c.Name, err)
	}
	if r.outbox, err = outbox.Open(outbox.Options{
		Dir: filepath.Join(n.cfg.Storage.Path, outboxDir), FS: n.cfg.disk, Logger: n.logger, Registerer: n.registry,
	}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.outbox.Close())
		}
	}()
	if r.router, err = router.New(router.Options{
		Self: id, Local: db, Reach: r.reach, Missed: r.missed, Registerer: n.registry,
	}); err != nil {
		return nil, err
	}
	if r.senders, err = stream.NewSenders(stream.Options{
		Labels: r.router.Labels, Logger: n.logger, Registerer: n.registry,
	}); err != nil {
		return nil, err
	}
	r.receiver, err = stream.NewReceiver(db, stream.ReceiverOptions{Code: codeOf, Registerer: n.registry})
	return r, err
}

// codeOf says what a sender is told of an error of the storage.
func codeOf(err error) stream.Code {
	if errors.Is(err, storage.ErrFull) {
		return stream.Full
	}
	return stream.Unavailable
}

// serve registers what other nodes may ask.
func (r *region) serve(engine *querier.Engine) {
	calls := r.cluster.RPC()
	calls.Handle(rpc.Method{Name: framesMethod, MaxMessage: stream.MaxMessage}, func(ctx context.Context, from rpc.Identity, s rpc.Stream) error {
		return r.receiver.Serve(ctx, from.Node, s)
	})
	for name, handler := range engine.Server().Handlers() {
		calls.Handle(rpc.Method{Name: name, Class: rpc.Bulk}, func(ctx context.Context, _ rpc.Identity, s rpc.Stream) error {
			return handler(ctx, s)
		})
	}
}

// run takes part in the cluster until ctx ends; ready is called once the node has its place.
func (r *region) run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	run := func(ctx context.Context, part func(context.Context) error) {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				cancel(err)
			}
		})
	}
	run(ctx, r.cluster.Run)
	run(ctx, r.follow)
	if err := r.cluster.Wait(ctx); err == nil {
		ready()
		run(ctx, r.mover.Run)
		<-ctx.Done()
	}
	parts.Wait()
	r.running.Wait()
	err := r.outbox.Close()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// follow brings the router, the senders and the planner up to what the cluster has become.
func (r *region) follow(ctx context.Context) error {
	tick := time.NewTicker(doubtEvery)
	defer tick.Stop()
	r.publishGaps() // Those that the outbox has kept.
	for {
		changed := r.cluster.Changed()
		r.update(ctx)
		for quiet := true; quiet; {
			if r.doubts.news() {
				r.publishGaps()
			}
			select {
			case <-changed:
				quiet = false
			case <-r.outbox.Changed():
				r.publishGaps()
				quiet = false
			case <-tick.C:
				quiet = !r.look(time.Now())
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (r *region) update(ctx context.Context) {
	p := r.cluster.Placement()
	if p == nil {
		return
	}
	r.meet(ctx, p)
	r.router.SetPlacement(p)
	r.look(time.Now())
	r.see(p)
	for _, id := range r.outbox.Waiting() {
		if _, ok := p.Node(id); !ok {
			if err := r.outbox.Forget(id); err != nil {
				r.node.logger.Error("What was kept for a node that was removed could not be dropped", "node", id, "err", err)
			}
		}
	}
}

// see gives the planner its view of the moment.
func (r *region) see(p *placement.Placement) {
	gaps := planGaps(r.cluster.Gaps())
	if from, ok := r.doubts.gap(); ok {
		gaps = append(gaps, plan.Gap{Node: r.cluster.Self(), Mint: from, Maxt: math.MaxInt64})
	}
	view := plan.NewView(plan.Cluster{Placement: p, Self: r.cluster.Self(), Alive: r.cluster.Alive, Gaps: gaps})
	r.view.Store(&view)
}

// look asks itself whether this node has what the others acknowledge, and reports whether the answer
// is another than before.
func (r *region) look(now time.Time) bool {
	p := r.cluster.Placement()
	return p != nil && r.doubts.look(now, r.cluster.Self(), p.Nodes, r.receiver.Senders())
}

func planGaps(gaps []cluster.Gap) []plan.Gap {
	list := make([]plan.Gap, len(gaps))
	for i, g := range gaps {
		list[i] = plan.Gap{Node: g.Node, Mint: g.From, Maxt: g.To}
	}
	return list
}

func (r *region) publishGaps() {
	var gaps []cluster.Gap
	for _, g := range r.outbox.Gaps() {
		to := g.To
		if g.Open {
			to = math.MaxInt64
		}
		gaps = append(gaps, cluster.Gap{Node: g.Peer, From: g.From, To: to})
	}
	if from, ok := r.doubts.gap(); ok {
		gaps = append(gaps, cluster.Gap{Node: r.cluster.Self(), From: from, To: math.MaxInt64})
	}
	if err := r.cluster.PublishGaps(gaps); err != nil {
		r.node.logger.Error("Gaps could not be told to the other nodes", "err", err)
	}
}

// peer is another node of the placement, or this one, for which the outbox may keep something.
type peer struct {
	sender *stream.Sender // nil for the own node
	stop   context.CancelFunc
}

// meet makes senders for the nodes of the placement, and ends those of others.
func (r *region) meet(ctx context.Context, p *placement.Placement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range p.Nodes {
		if r.mu.peers[n.ID] != nil {
			continue
		}
		own, stop := context.WithCancel(ctx)
		other := &peer{stop: stop}
		if n.ID != r.cluster.Self() {
			other.sender = r.senders.New(n.Name, r.opener(n.ID), func() bool { return r.outbox.Keeps(n.ID) })
			r.running.Go(func() {
				if err := other.sender.Run(own); err != nil {
					r.node.logger.Error("The stream to a node has ended", "node", n.Name, "err", err)
				}
			})
		}
		r.running.Go(func() { r.deliver(own, n.ID) })
		r.mu.peers[n.ID] = other
	}
	for id, other := range r.mu.peers {
		if _, ok := p.Node(id); !ok {
			other.stop()
			delete(r.mu.peers, id)
		}
	}
}

// opener opens streams of frames to a node.
func (r *region) opener(id placement.NodeID) stream.Open {
	return func(ctx context.Context) (stream.OutConn, error) {
		to, ok := r.cluster.Peer(id)
		if !ok {
			return nil, errUnknownPeer
		}
		return r.cluster.RPC().Open(ctx, to, framesMethod)
	}
}

var errUnknownPeer = errors.New("nobody has heard of the node since this one started")

// reach is how the router finds the way to another node.
func (r *region) reach(id placement.NodeID) (router.Sender, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.mu.peers[id]; p != nil && p.sender != nil {
		return p.sender, true
	}
	return nil, false
}

// missed keeps a frame that others have for the node that lacks it.
func (r *region) missed(id placement.NodeID, f *frame.Frame, labels func(series.Ref) series.Labels) error {
	return r.outbox.Put(id, f, labels)
}

// cluster is how the querier asks the other nodes.
func (r *region) querier() querier.Cluster {
	return querier.Cluster{
		Self: r.cluster.Self(),
		View: func() plan.View {
			if r.look(time.Now()) { // This node may have stood still until now.
				r.see(r.cluster.Placement())
			}
			return *r.view.Load()
		},
		Reach: func(n plan.Node) (leaf.Node, error) {
			to, ok := r.cluster.Peer(n.ID)
			if !ok {
				return nil, errUnknownPeer
			}
			return wire.NewRemote(func(ctx context.Context, method string) (wire.ClientConn, error) {
				return r.cluster.RPC().Open(ctx, to, method)
			}), nil
		},
	}
}

// store is where the write path ends.
func (r *region) store() ingest.Store { return r.router }
