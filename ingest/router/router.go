package router

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/quorum"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

var _ ingest.Store = (*Router)(nil)

// Router is the Store of a cluster. See the package.
type Router struct {
	opts    Options
	table   *table
	metrics *metrics
	writes  sync.Pool // of *write

	routes  atomic.Pointer[routes]
	placing sync.Mutex // held while routes are replaced
}

// New returns a Router, which takes writes once it has a placement.
func New(opts Options) (*Router, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	r := &Router{opts: opts, table: newTable(opts.MaxSeries, uint32(opts.Idle/grain))}
	r.metrics = newMetrics(opts.Registerer, r.table)
	r.writes.New = func() any { return newWrite(r) }
	return r, nil
}

// routes are what a placement says about where samples go.
type routes struct {
	table *quorum.Table
	shift uint8  // A fingerprint's shard is what is left of it.
	self  int    // this node's number; negative if it is not in the placement
	mine  []bool // by group: this node is to have its samples
	// out says that the region has given this node up: nobody waits for what it keeps for others.
	out bool
	// replaced is closed when others are in force.
	replaced chan struct{}
}

func newRoutes(p *placement.Placement, self placement.NodeID) *routes {
	t := quorum.New(p)
	r := &routes{table: t, shift: 64 - p.Bits, mine: make([]bool, t.Groups()), replaced: make(chan struct{})}
	r.self = slices.IndexFunc(p.Nodes, func(n placement.Node) bool { return n.ID == self })
	r.out = r.self < 0 || p.Nodes[r.self].State == placement.Lost
	for g := range r.mine {
		r.mine[g] = r.self >= 0 && slices.Contains(t.Nodes(uint16(g)), uint16(r.self))
	}
	return r
}

func (r *routes) epoch() uint64 { return r.table.Placement().Epoch }

func (r *routes) shutsOut(epoch uint64) bool { return epoch < r.table.Placement().Fence }

// group of a fingerprint.
func (r *routes) group(fp series.Fingerprint) uint16 {
	return r.table.Group(series.Shard(fp >> r.shift))
}

// SetPlacement makes a valid placement the one that frames go by from now on. One that is older than
// the one in force is ignored.
func (r *Router) SetPlacement(p *placement.Placement) {
	r.placing.Lock()
	defer r.placing.Unlock()
	now := r.routes.Load()
	if now != nil && now.epoch() >= p.Epoch {
		return
	}
	r.routes.Store(newRoutes(p, r.opts.Self))
	if now != nil {
		close(now.replaced)
	}
}

// Epoch of the placement in force, 0 before there is one.
func (r *Router) Epoch() uint64 {
	if now := r.routes.Load(); now != nil {
		return now.epoch()
	}
	return 0
}

// Stale reports whether no writes by the placement of an epoch may be acknowledged any more, as this node
// knows.
func (r *Router) Stale(epoch uint64) bool {
	now := r.routes.Load()
	return now != nil && now.shutsOut(epoch)
}

// Labels of a reference, nil if the series has been forgotten. They may be kept.
func (r *Router) Labels(ref series.Ref) series.Labels { return r.table.labels(ref) }

// Refs implements ingest.Store. It makes series known here; a node's own store hears of them with
// their first samples.
func (r *Router) Refs(_ context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	now := epochOf(time.Now())
	from := len(dst)
	for _, ls := range sets {
		fp := ls.Fingerprint()
		ref := r.table.find(fp, ls, now)
		if ref == 0 {
			ref = r.table.create(fp, ls, now)
		}
		if ref == 0 {
			r.metrics.refused.Inc()
			return dst[:from], ingest.Errorf(ingest.TooManySeries, "the node routes samples of %d series at most", r.table.max)
		}
		dst = append(dst, ref)
	}
	return dst, nil
}

// Find implements ingest.Store. A series that this node holds and that was not routed here yet, as
// after a restart, is there too: it is not new to the node. Of others only their owners know.
func (r *Router) Find(dst []series.Ref, sets []series.Labels) []series.Ref {
	now := epochOf(time.Now())
	from, routes := len(dst), r.routes.Load()
	var ask []series.Labels
	var places []int
	for i, ls := range sets {
		fp := ls.Fingerprint()
		ref := r.table.find(fp, ls, now)
		dst = append(dst, ref)
		if ref == 0 && routes != nil && routes.mine[routes.group(fp)] {
			ask, places = append(ask, ls), append(places, from+i)
		}
	}
	if len(ask) == 0 {
		return dst
	}
	for k, local := range r.opts.Local.Find(nil, ask) {
		if local == 0 {
			continue
		}
		if ref := r.table.create(ask[k].Fingerprint(), ask[k], now); ref != 0 {
			r.table.setLocal(ref, local)
			dst[places[k]] = ref
		}
	}
	return dst
}

// Active implements ingest.Store: the series that are routed here or those that this node holds,
// whichever are more, since either fill its memory.
func (r *Router) Active() int { return max(r.table.len(), r.opts.Local.Active()) }

// Append implements ingest.Store.
func (r *Router) Append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	routes := r.routes.Load()
	if routes == nil {
		return nil, ingest.Errorf(ingest.StoreUnavailable, "the placement of shards is not known yet")
	}
	now := epochOf(time.Now())
	if gone := r.table.forget(now); gone > 0 {
		r.metrics.forgotten.Add(float64(gone))
	}
	for range maxTries {
		if routes.out {
			return nil, ingest.Errorf(ingest.StoreUnavailable, "the region has given this node up while it was away, and has not taken it in again yet")
		}
		rejected, next, err := r.try(ctx, routes, f, now)
		if next == nil {
			return rejected, err
		}
		routes = next
		r.metrics.again.Inc()
	}
	return nil, ingest.Errorf(ingest.StoreUnavailable, "the placement of shards changes faster than samples are written")
}

// maxTries is how often a write is begun by one placement after the other.
const maxTries = 5

// try writes by a placement. It returns the next one if the write is to be done again by that.
func (r *Router) try(ctx context.Context, routes *routes, f *frame.Frame, now uint32) (_ []frame.Rejected, next *routes, _ error) {
	w := r.writes.Get().(*write)
	defer w.release()
	w.begin(routes, f, now)
	w.split()
	w.send()
	w.sendOwn(ctx)
	if w.wait(ctx, true); w.shutOut() {
		if next := r.newer(ctx, w); next != nil {
			w.close()
			return nil, next, nil
		}
		w.wait(ctx, false)
	}
	rejected, err := w.finish(ctx)
	// What is kept for others is kept by now: whoever hears of the newer placement from here on hears of
	// that too.
	if next := r.routes.Load(); err == nil && next.shutsOut(routes.epoch()) {
		return nil, next, nil
	}
	return rejected, nil, err
}

// newer returns what has taken the place of a write's routes, and asks the node that knows for it. It is nil if
// that takes too long.
func (r *Router) newer(ctx context.Context, w *write) *routes {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Patience)
	defer cancel()
	if r.opts.CatchUp != nil && r.routes.Load() == w.routes {
		r.opts.CatchUp(ctx, w.routes.table.Placement().Nodes[w.outBy()].ID)
	}
	select {
	case <-w.routes.replaced:
		return r.routes.Load()
	case <-ctx.Done():
		return nil
	}
}
