package node

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/repair"
	"github.com/barograph-db/barograph/cluster/rpc"
	"github.com/barograph-db/barograph/ingest/outbox"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// maxDamages that the storage has told of wait for being seen to.
	maxDamages = 64
	// logReach is how far back the samples go, but for late ones, that are in the log and not in parts yet.
	logReach = 24 * time.Hour
)

// newRepairer prepares what repairs the replicas of this node, and remembers what it is known to lack. made
// says that the node has got its ID just now.
func (r *region) newRepairer(made bool) (err error) {
	c := r.cluster
	if r.repairer, err = repair.New(repair.Options{
		Self: c.Self(), Placement: c.Placement, Changed: c.Changed, Alive: c.Alive, Tellers: r.tellers,
		KeptFrom: r.db.KeptFrom,
		Digests: func(ctx context.Context, q repair.Question) ([]series.Digest, error) {
			return r.db.Digests(ctx, storage.DigestQuery{Shards: q.Shards, Mint: q.Mint, Maxt: q.Maxt, Slot: q.Slot})
		},
		Call: func(ctx context.Context, id placement.NodeID, method string, req []byte) ([]byte, error) {
			to, ok := c.Peer(id)
			if !ok {
				return nil, errUnknownPeer
			}
			return c.RPC().Call(ctx, to, method, req)
		},
		Lost: func(id placement.NodeID) (repair.Loss, bool) {
			l, ok := r.outbox.Lost(id)
			return repair.Loss(l), ok
		},
		Repaired: func(id placement.NodeID, l repair.Loss) error { return r.outbox.Repaired(id, outbox.Loss(l)) },
		Fetch:    r.fetch,
		Closed: func(ctx context.Context, g repair.Gap) error {
			var errs []error
			for _, part := range g.Parts {
				errs = append(errs, r.db.DropAside(ctx, part))
			}
			return errors.Join(errs...)
		},
		Throttle: r.throttle,
		Dir:      r.node.cfg.Storage.Path, FS: r.node.cfg.disk, Logger: r.node.logger, Registerer: r.node.registry,
	}); err != nil {
		return err
	}
	for _, g := range r.repairer.Gaps() {
		for _, part := range g.Parts {
			if err := r.db.SetAside(part); err != nil {
				return err
			}
		}
	}
	now := time.Now()
	if r.db.Created() && !made { // Somebody has removed it.
		r.lacks(repair.Gap{From: math.MinInt64, To: now.UnixMilli(), Forgot: true})
	}
	if r.node.logDamaged.Load() {
		r.lacks(repair.Gap{From: now.Add(-logReach).UnixMilli(), To: now.UnixMilli(), Forgot: true})
	}
	return nil
}

// lacks has this node tell, and remember, that it has a gap until that is repaired.
func (r *region) lacks(g repair.Gap) {
	if err := r.repairer.Lacks(g); err != nil {
		r.node.logger.Error("A gap of this node would be forgotten with its next start", "err", err)
	}
}

// serveRepair registers what other nodes may ask.
func (r *region) serveRepair() {
	for name, serve := range map[string]func(context.Context, placement.NodeID, []byte) ([]byte, error){
		repair.DigestMethod: func(ctx context.Context, _ placement.NodeID, req []byte) ([]byte, error) {
			return r.repairer.Serve(ctx, req)
		},
		repair.LostMethod:     r.repairer.ServeLost,
		repair.RepairedMethod: r.repairer.ServeRepaired,
	} {
		method := rpc.Method{Name: name, Class: rpc.Bulk, MaxMessage: repair.MaxMessage}
		r.cluster.RPC().Handle(method, rpc.Unary(func(ctx context.Context, from rpc.Identity, req []byte) ([]byte, error) {
			resp, err := serve(ctx, from.Node, req)
			if errors.Is(err, repair.ErrNotWhole) {
				return nil, &rpc.Error{Code: rpc.StaleEpoch, Text: err.Error()}
			}
			return resp, err
		}))
	}
}

// tellers are the nodes that gave up what they kept for this one.
func (r *region) tellers() (ids []placement.NodeID) {
	self := r.cluster.Self()
	for _, g := range r.cluster.Gaps() {
		if g.Node == self && g.By != self && g.To != math.MaxInt64 && !slices.Contains(ids, g.By) {
			ids = append(ids, g.By)
		}
	}
	if _, some := r.outbox.Lost(self); some {
		ids = append(ids, self)
	}
	return ids
}

// fetch takes in what this node lacks of a stretch that another has.
func (r *region) fetch(ctx context.Context, from placement.NodeID, s repair.Stretch, take repair.Take) (int64, error) {
	set, err := r.engine.CopyFrom(ctx, plan.Node{ID: from}, s.Shards, s.Mint, s.Maxt)
	if err != nil {
		return 0, err
	}
	accounted := &taken{SeriesSet: set, take: func(bytes, _ int) error { return take(bytes) }}
	info, err := r.db.Mend(ctx, accounted, series.Selector{Mint: s.Mint, Maxt: s.Maxt, Shards: s.Shards})
	return info.Samples, err
}

// repairGaps are those that this node knows of by itself.
func (r *region) repairGaps() []cluster.Gap {
	var gaps []cluster.Gap
	for _, g := range r.repairer.Gaps() {
		gaps = append(gaps, cluster.Gap{Node: r.cluster.Self(), From: g.From, To: g.To, Forgot: g.Forgot})
	}
	return gaps
}

// watchDamage sees to what the storage tells of, until ctx ends.
func (r *region) watchDamage(ctx context.Context) error {
	for {
		select {
		case d := <-r.node.damages:
			r.damaged(d)
		case <-ctx.Done():
			return nil
		}
	}
}

// damaged has a damaged part read no more, and its time read elsewhere until it is repaired. Where nobody
// else has the samples, it is better that a query fails than that it lacks them in silence.
func (r *region) damaged(d storage.DamageInfo) {
	known := slices.ContainsFunc(r.repairer.Gaps(), func(g repair.Gap) bool { return slices.Contains(g.Parts, d.Part) })
	if !known && !othersHold(r.cluster.Placement(), r.cluster.Self()) {
		r.node.logger.Error("A part is damaged, and no other node has what is in it", "part", d.Part, "err", d.Err)
		return
	}
	if !known {
		r.node.logger.Error("A part is damaged: it is fetched from other nodes", "part", d.Part, "err", d.Err)
		r.lacks(repair.Gap{From: d.Mint, To: d.Maxt, Forgot: true, Parts: []string{d.Part}})
		r.publishGaps()
		r.see(r.cluster.Placement())
	}
	if err := r.db.SetAside(d.Part); err != nil {
		r.node.logger.Error("A damaged part is still read", "part", d.Part, "err", err)
	}
}

// othersHold reports whether each shard that a node holds whole is held whole by another one, too.
func othersHold(p *placement.Placement, self placement.NodeID) bool {
	for s := range p.Shards {
		whole, _ := p.Replicas(series.Shard(s))
		if len(whole) == 1 && whole[0].Node == self {
			return false
		}
	}
	return true
}
