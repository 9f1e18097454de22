package outbox

import (
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Send delivers one frame and returns when the peer has it. The frame and the labels are the
// outbox's, and hold while the call lasts.
type Send func(ctx context.Context, f *frame.Frame, labels Labels) error

// Drain delivers what is kept for a peer, the oldest first, until nothing is left, also of what is put
// there meanwhile. The error is send's or the context's; what was delivered may be so again.
func (o *Outbox) Drain(ctx context.Context, peer placement.NodeID, send Send) error {
	q := o.queue(peer)
	for {
		s, ok := q.first()
		if !ok {
			return nil
		}
		d := delivery{queue: q, segment: s, decoder: frame.NewDecoder()}
		if err := d.run(ctx, send); err != nil {
			return err
		}
	}
}

func (q *queue) first() (segmentOf, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.mu.segments) == 0 {
		return segmentOf{}, false
	}
	return q.mu.segments[0], true
}

// delivery is of one segment.
type delivery struct {
	queue   *queue
	segment segmentOf
	decoder *frame.Decoder
	frame   frame.Frame
	defined []frame.SeriesDef // by index
}

// run delivers the segment's frames and drops it.
func (d *delivery) run(ctx context.Context, send Send) error {
	for n := uint32(0); ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		ok, err := d.read(n)
		if err != nil {
			return d.damaged(err)
		}
		if !ok {
			done, err := d.queue.finish(d.segment.number, n)
			if done || err != nil {
				return err
			}
			n-- // It has been written by now.
			continue
		}
		samples := float64(d.frame.Samples())
		if err := send(ctx, &d.frame, d.labels); err != nil {
			return err
		}
		d.queue.outbox.metrics.delivered.Add(samples)
	}
}

// read decodes a frame, false if there is none of that number.
func (d *delivery) read(n uint32) (bool, error) {
	value, closer, err := d.queue.outbox.db.Get(key(d.queue.peer, d.segment.number, n))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer closer.Close()
	_, record, err := parseRecord(value)
	if err == nil {
		err = d.decoder.Decode(&d.frame, record)
	}
	if err != nil {
		return false, err
	}
	for _, def := range d.frame.Series {
		i := int(def.Ref.Index())
		if i >= len(d.defined) {
			d.defined = slices.Grow(d.defined, i+1-len(d.defined))[:i+1]
		}
		d.defined[i] = frame.SeriesDef{Ref: def.Ref, Labels: slices.Clone(def.Labels)}
	}
	d.frame.Series = d.frame.Series[:0]
	return true, d.complete()
}

// complete returns an error if the labels of a reference are not there.
func (d *delivery) complete() error {
	known := func(ref series.Ref) bool {
		i := int(ref.Index())
		return i < len(d.defined) && d.defined[i].Ref == ref && d.defined[i].Labels != nil
	}
	ok := true
	for _, ref := range d.frame.Refs {
		ok = ok && known(ref)
	}
	for i := range d.frame.Histograms {
		ok = ok && known(d.frame.Histograms[i].Ref)
	}
	for i := range d.frame.Exemplars {
		ok = ok && known(d.frame.Exemplars[i].Ref)
	}
	if !ok {
		return errFormat
	}
	return nil
}

func (d *delivery) labels(ref series.Ref) series.Labels { return d.defined[ref.Index()].Labels }

// damaged gives up a segment that can't be read.
func (d *delivery) damaged(cause error) error {
	q := d.queue
	q.outbox.opts.Logger.Error("Frames that are kept for a peer can't be read back: it lacks them until it is repaired",
		"peer", q.peer, "segment", d.segment.number, "err", cause)
	q.outbox.metrics.damaged.Inc()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.mu.segments {
		if s.number == d.segment.number {
			if err := q.loseLocked(s.span); err != nil {
				return err
			}
		}
	}
	return q.dropLocked(d.segment.number)
}

// finish drops a segment of which so many frames were delivered, unless it has got more since it was
// last looked at; it may have been the last one then.
func (q *queue) finish(number uint64, delivered uint32) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.mu.segments {
		if s.number == number && s.records > delivered {
			return false, nil
		}
	}
	return true, q.dropLocked(number)
}
