package node

import (
	"context"
	"fmt"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest/outbox"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// deliverEvery is how often the outbox is looked into, and how long after a failure it is tried again.
const deliverEvery = time.Second

// deliver brings a node what the outbox keeps for it, until ctx ends.
func (r *region) deliver(ctx context.Context, id placement.NodeID) {
	tick := time.NewTicker(deliverEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !r.cluster.Alive(id) {
			continue
		}
		if err := r.outbox.Drain(ctx, id, func(ctx context.Context, f *frame.Frame, labels outbox.Labels) error {
			return r.bring(ctx, id, f, labels)
		}); err != nil && ctx.Err() == nil {
			r.node.logger.Debug("What is kept for a node could not all be delivered", "node", id, "err", err)
		}
	}
}

// bring has a node take a frame of the outbox, whose references are of the time when it was written.
func (r *region) bring(ctx context.Context, id placement.NodeID, f *frame.Frame, labels outbox.Labels) error {
	store, send := r.store(), r.send
	if id == r.cluster.Self() {
		store, send = r.db, r.sendSelf
	}
	again, err := translate(f, labels, func(sets []series.Labels) ([]series.Ref, error) { return store.Refs(ctx, nil, sets) })
	if err != nil {
		return err
	}
	return send(ctx, id, again)
}

// translate returns the frame with references that stand for the same labels now.
func translate(f *frame.Frame, labels outbox.Labels, refs func([]series.Labels) ([]series.Ref, error)) (*frame.Frame, error) {
	place := map[series.Ref]int{}
	var sets []series.Labels
	meet := func(ref series.Ref) {
		if _, ok := place[ref]; !ok {
			place[ref] = len(sets)
			sets = append(sets, labels(ref))
		}
	}
	for _, ref := range f.Refs {
		meet(ref)
	}
	for i := range f.Histograms {
		meet(f.Histograms[i].Ref)
	}
	for i := range f.Exemplars {
		meet(f.Exemplars[i].Ref)
	}
	now, err := refs(sets)
	if err != nil {
		return nil, fmt.Errorf("look series up: %w", err)
	}
	for i, ref := range f.Refs {
		f.Refs[i] = now[place[ref]]
	}
	for i := range f.Histograms {
		f.Histograms[i].Ref = now[place[f.Histograms[i].Ref]]
	}
	for i := range f.Exemplars {
		f.Exemplars[i].Ref = now[place[f.Exemplars[i].Ref]]
	}
	return f, nil
}

// send returns when the node has the frame, or what it wanted of it.
func (r *region) send(ctx context.Context, id placement.NodeID, f *frame.Frame) error {
	sender, ok := r.reach(id)
	if !ok {
		return errUnknownPeer
	}
	done := make(chan error, 1)
	if err := sender.Send(f, func(_ []frame.Rejected, err error) { done <- err }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *region) sendSelf(ctx context.Context, _ placement.NodeID, f *frame.Frame) error {
	_, err := r.db.Append(ctx, f)
	return err
}
