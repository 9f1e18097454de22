package node

import (
	"context"
	"math"
	"time"

	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/move"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/storage/chunk"
)

// newMover prepares what fills the replicas of this node.
func (r *region) newMover(engine *querier.Engine) (err error) {
	c := r.cluster
	r.mover, err = move.New(move.Options{
		Self: c.Self(), Placement: c.Placement, Changed: c.Changed, ShutOut: c.ShutOut, Gaps: r.ownGaps, Filled: c.Filled,
		Copy: func(ctx context.Context, s move.Stretch, take move.Take) error {
			set, err := engine.Copy(ctx, s.Shards, s.Mint, s.Maxt)
			if err != nil {
				return err
			}
			_, err = r.db.Import(ctx, &taken{SeriesSet: set, take: take})
			return err
		},
		Report: func(p move.Progress) {
			f := cluster.Filling(p)
			if err := c.PublishFilling(f); err != nil {
				r.node.logger.Error("How far moves have come could not be told to the other nodes", "err", err)
			}
		},
		Retention: time.Duration(r.node.options.Retention.Time), Throttle: r.throttle,
		Dir: r.node.cfg.Storage.Path, FS: r.node.cfg.disk, Logger: r.node.logger, Registerer: r.node.registry,
	})
	return err
}

// ownGaps are the stretches of time for which this node lacks samples, as others tell who will bring them,
// now that they live, or have given them up.
func (r *region) ownGaps() []move.Gap {
	var gaps []move.Gap
	for _, g := range r.cluster.Gaps() {
		if g.Node == r.cluster.Self() && g.By != g.Node && (g.To < math.MaxInt64 || r.cluster.Alive(g.By)) {
			gaps = append(gaps, move.Gap{From: g.From, To: g.To})
		}
	}
	return gaps
}

// taken is a set of which each series is accounted for as it is handed out.
type taken struct {
	chunk.SeriesSet
	take move.Take
	err  error
}

func (t *taken) Next() bool {
	if t.err != nil || !t.SeriesSet.Next() {
		return false
	}
	s := t.At()
	bytes, samples := len(s.Labels), 0
	for _, c := range s.Chunks {
		bytes, samples = bytes+len(c.Data), samples+c.Samples
	}
	t.err = t.take(bytes, samples)
	return t.err == nil
}

func (t *taken) Err() error {
	if t.err != nil {
		return t.err
	}
	return t.SeriesSet.Err()
}
