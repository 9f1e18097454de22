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
	"github.com/barograph-db/barograph/cluster/repair"
	"github.com/barograph-db/barograph/cluster/rpc"
	"github.com/barograph-db/barograph/cluster/throttle"
	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/dedup"
	"github.com/barograph-db/barograph/ingest/gather"
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
	// outboxSegments are in an outbox at least, so that a small part of it is given up at a time.
	outboxSegments = 8
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
	repairer *repair.Repairer
	throttle *throttle.Throttle // of both
	engine   *querier.Engine    // since serve
	doubts   doubts
	givenUp  givenUp
	view     atomic.Pointer[plan.View]
	running  sync.WaitGroup // senders, deliveries and questions
	asking   atomic.Bool    // for a newer placement

	mu struct {
		sync.Mutex
		peers map[placement.NodeID]*peer
	}
}

// openRegion prepares the node's part in its cluster; it starts nothing.
func (n *Node) openRegion(db *storage.DB) (_ *region, err error) {
	id, made, err := cluster.Identity(n.cfg.disk, n.cfg.Storage.Path)
	if err != nil {
		return nil, err
	}
	c := n.cfg.Cluster
	r := &region{node: n, db: db, throttle: throttle.New(int64(c.MoveRate)), pairs: dedup.NewTable(), rules: ledger.New()}
	if err := r.doubts.load(n.cfg.disk, r.doubtsPath(), made, time.Now()); err != nil {
		n.logger.Error("What this node trusted when it went away is not known: it doubts all that it has until it has heard from all others", "err", err)
	}
	r.mu.peers = map[placement.NodeID]*peer{}
	if r.cluster, err = cluster.New(cluster.Options{
		Name: c.Name, Node: placement.Node{ID: id, Name: n.cfg.Name, Zone: c.Zone, Weight: c.Weight},
		Region: c.Region, Software: version.Version, Join: c.Join, BootstrapExpect: c.BootstrapExpect,
		GossipAddress: c.GossipAddress, RPCAddress: c.RPCAddress, AdvertiseHost: c.AdvertiseHost,
		Factor: c.ReplicationFactor, States: map[string]consensus.State{dedup.StateName: r.pairs, ledger.Name: r.rules},
		Trust: n.trust, Dir: n.cfg.Storage.Path, FS: n.cfg.disk, Network: n.cfg.network,
		Logger: n.logger, Registerer: n.registry,
	}); err != nil {
		return nil, fmt.Errorf("--cluster.name=%s: %w", c.Name, err)
	}
	if err = n.secure(r.cluster); err != nil {
		return nil, err
	}
	kept := outbox.Options{
		Dir: filepath.Join(n.cfg.Storage.Path, outboxDir), FS: n.cfg.disk, MaxBytes: int64(c.OutboxSize),
		Logger: n.logger, Registerer: n.registry,
	}
	kept.EnsureDefaults()
	kept.SegmentBytes = min(kept.SegmentBytes, max(1, kept.MaxBytes/outboxSegments))
	if r.outbox, err = outbox.Open(kept); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.outbox.Close())
		}
	}()
	own := local{DB: db, frames: gather.New(db.Append, gather.Options{Registerer: n.registry})}
	if r.router, err = router.New(router.Options{
		Self: id, Local: own, Reach: r.reach, Missed: r.missed, Stale: isStale, CatchUp: r.catchUp, Registerer: n.registry,
	}); err != nil {
		return nil, err
	}
	if p := r.cluster.Placement(); p != nil {
		r.router.SetPlacement(p) // What the node has promised to refuse, it refuses from the first frame on.
	}
	if r.senders, err = stream.NewSenders(stream.Options{
		Labels: r.router.Labels, Epoch: r.router.Epoch, Logger: n.logger, Registerer: n.registry,
	}); err != nil {
		return nil, err
	}
	if r.receiver, err = stream.NewReceiver(own, stream.ReceiverOptions{Code: codeOf, Stale: r.router.Stale, Registerer: n.registry}); err != nil {
		return nil, err
	}
	return r, r.newRepairer(made)
}

// isStale reports whether a node says that the placement of this one is too old.
func isStale(err error) bool {
	var refused *stream.RefusedError
	return errors.As(err, &refused) && refused.Code == stream.Stale
}

// catchUp asks a node for the placement that it knows; follow does the rest.
func (r *region) catchUp(ctx context.Context, id placement.NodeID) {
	if err := r.cluster.CatchUp(ctx, id, r.router.Epoch()+1); err != nil {
		r.node.logger.Debug("A newer placement could not be had", "node", id, "err", err)
	}
}

// local is what this node holds, for frames of its own and of other nodes.
type local struct {
	*storage.DB
	frames *gather.Gatherer
}

func (l local) Append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	return l.frames.Append(ctx, f)
}

func (l local) Add(ctx context.Context, f *frame.Frame, bytes int, done gather.Done) error {
	return l.frames.Add(ctx, f, bytes, done)
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
	r.engine = engine
	r.serveRepair()
	calls := r.cluster.RPC()
	calls.Handle(rpc.Method{Name: framesMethod, MaxMessage: stream.MaxMessage}, func(ctx context.Context, from rpc.Identity, s rpc.Stream) error {
		return r.receiver.Serve(ctx, from.Node, s)
	})
	for name, handler := range engine.Server().Handlers() {
		calls.Handle(rpc.Method{Name: name, Class: rpc.Bulk}, func(ctx context.Context, from rpc.Identity, s rpc.Stream) error {
			return handler(askedBy(ctx, from.Node), s)
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
		run(ctx, r.dropGivenUp)
		run(ctx, r.repairer.Run)
		run(ctx, r.watchDamage)
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
	tick, keep := time.NewTicker(doubtEvery), time.NewTicker(keepDoubtsEvery)
	defer tick.Stop()
	defer keep.Stop()
	defer r.keepDoubts()
	r.publishGaps() // Those that the outbox has kept.
	for {
		changed := r.cluster.Changed()
		r.update(ctx)
		for quiet := true; quiet; {
			if r.doubts.news() {
				r.publishGaps()
			}
			if r.doubts.unsaved() {
				r.keepDoubts()
			}
			select {
			case <-changed:
				quiet = false
			case <-r.outbox.Changed():
				r.publishGaps()
				quiet = false
			case <-r.repairer.Changed():
				r.publishGaps()
				quiet = false
			case <-tick.C:
				quiet = !r.look(time.Now())
				r.askNewer(ctx)
			case <-keep.C:
				r.keepDoubts()
				r.promise() // The disk may have been full.
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
	r.promise()
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

// see gives the planner its view of the moment, unless it has one of a later placement.
func (r *region) see(p *placement.Placement) {
	gaps := planGaps(r.cluster.Gaps())
	for _, s := range r.doubts.gaps() {
		gaps = append(gaps, plan.Gap{Node: r.cluster.Self(), Mint: s.from, Maxt: s.to})
	}
	gaps = append(gaps, planGaps(r.repairGaps())...)
	view := plan.NewView(plan.Cluster{Placement: p, Self: r.cluster.Self(), Alive: r.cluster.Alive, Gaps: gaps})
	for now := r.view.Load(); now == nil || now.Epoch <= view.Epoch; now = r.view.Load() {
		if r.view.CompareAndSwap(now, &view) {
			return
		}
	}
}

// look asks itself whether this node has what the others acknowledge, and reports whether the answer
// is another than before.
func (r *region) look(now time.Time) bool {
	p := r.cluster.Placement()
	if p == nil {
		return false
	}
	changed := r.doubts.look(sight{
		now: now, self: r.cluster.Self(), placement: p, heard: r.receiver.Senders(),
		ahead: time.Duration(r.node.options.Limits.FutureTolerance),
		shut:  func() bool { return r.cluster.ShutOut(p.Fence, held(p, r.cluster.Self())) },
	})
	return r.handOver() || changed
}

// handOver has what nobody can deliver any more repaired, and reports whether there is any.
func (r *region) handOver() bool {
	lost := r.doubts.lost()
	for _, s := range lost {
		if err := r.repairer.Lacks(repair.Gap{From: s.from, To: s.to}); err != nil {
			r.node.logger.Error("A gap of this node can't be kept; it is doubted until it can", "err", err)
			return false
		}
	}
	r.doubts.handedOver(lost)
	return len(lost) > 0
}

// held are the shards that a node has a part in.
func held(p *placement.Placement, id placement.NodeID) (shards []series.Shard) {
	for s := range p.Shards {
		if p.Holds(series.Shard(s), id) {
			shards = append(shards, series.Shard(s))
		}
	}
	return shards
}

// askNewer asks a node for its placement that is known to have a newer one.
func (r *region) askNewer(ctx context.Context) {
	p := r.cluster.Placement()
	if p == nil {
		return
	}
	for _, h := range r.receiver.Senders() {
		if h.Epoch > p.Epoch && r.cluster.Alive(h.Node) && r.asking.CompareAndSwap(false, true) {
			r.running.Go(func() {
				defer r.asking.Store(false)
				ctx, cancel := context.WithTimeout(ctx, askTime)
				defer cancel()
				r.catchUp(ctx, h.Node)
			})
			return
		}
	}
}

// askTime is how long a node may take to say which placement it knows.
const askTime = 2 * time.Second

// promise tells the others that what the placement in force shuts out is not taken here any more.
func (r *region) promise() {
	if p := r.cluster.Placement(); p != nil && p.Epoch <= r.router.Epoch() {
		if err := r.cluster.Follow(p); err != nil {
			r.node.logger.Error("The others can't be told which placement this node follows", "err", err)
		}
	}
}

func (r *region) doubtsPath() string {
	return r.node.cfg.disk.PathJoin(r.node.cfg.Storage.Path, doubtsFile)
}

func (r *region) keepDoubts() {
	if err := r.doubts.save(r.node.cfg.disk, r.doubtsPath()); err != nil {
		r.node.logger.Warn("A restart would find that this node may lack more than it does", "err", err)
	}
}

func planGaps(gaps []cluster.Gap) []plan.Gap {
	list := make([]plan.Gap, len(gaps))
	for i, g := range gaps {
		list[i] = plan.Gap{Node: g.Node, Mint: g.From, Maxt: g.To, Forgot: g.Forgot}
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
	gaps = append(gaps, r.repairGaps()...)
	for _, s := range r.doubts.gaps() {
		gaps = append(gaps, cluster.Gap{Node: r.cluster.Self(), From: s.from, To: s.to})
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
			p := r.cluster.Placement()
			// This node may have stood still until now, or have learnt of another placement just now.
			if r.look(time.Now()) || p != nil && p.Epoch > r.view.Load().Epoch {
				r.see(p)
			}
			return *r.view.Load()
		},
		CatchUp: func(ctx context.Context, from plan.Node, epoch uint64) (plan.View, error) {
			if err := r.cluster.CatchUp(ctx, from.ID, epoch); err != nil {
				return plan.View{}, err
			}
			r.see(r.cluster.Placement())
			return *r.view.Load(), nil
		},
		Holds: r.holds,
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
