package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// batchBytes is the length from which no frame is added to a message.
	batchBytes = 64 << 10
	// maxFrame bounds an encoded frame, so that one more always fits in a message.
	maxFrame = MaxMessage - 2*batchBytes
	// maxDefinitions bounds the label bytes that are sent with a frame. Where there are more, some go
	// ahead of it.
	maxDefinitions = 1 << 20
)

// outgoing is the sender's end of one stream, and what the peer knows by it. Apart from heard, all
// of it is the writer's.
type outgoing struct {
	conn    OutConn
	queue   *queue
	labels  Labels
	behind  func() bool
	epoch   func() uint64
	metrics *peerMetrics

	known   table[uint32] // generation by index
	encoder *frame.Encoder
	msg     []byte // the message being made; empty if there is none
	defs    []frame.SeriesDef
	defined int      // label bytes in defs
	lost    []uint32 // places of samples whose labels are not known

	begin time.Time
	heard atomic.Int64 // since begin
}

func newOutgoing(s *Sender, conn OutConn, refs uint32) *outgoing {
	return &outgoing{
		conn: conn, queue: s.queue, labels: s.opts.Labels, behind: s.behind, epoch: s.opts.Epoch, metrics: s.metrics,
		known: table[uint32]{limit: refs}, encoder: frame.NewPlainEncoder(), begin: time.Now(),
	}
}

// write sends what waits, and beats while nothing does, until ctx ends.
func (o *outgoing) write(ctx, gctx context.Context) error {
	beat := time.NewTimer(beatEvery)
	defer beat.Stop()
	for {
		sent, err := o.batch()
		if err != nil {
			return err
		}
		if sent {
			beat.Reset(beatEvery)
		}
		select {
		case <-ctx.Done():
			return o.conn.CloseSend() // The peer answers what it has, and closes too.
		case <-gctx.Done():
			return nil
		case <-o.queue.wake:
		case <-beat.C:
			o.begun()
			if err := o.flush(); err != nil {
				return err
			}
			beat.Reset(beatEvery)
		}
	}
}

// batch sends all that waits, in as few messages as is reasonable.
func (o *outgoing) batch() (sent bool, err error) {
	for {
		it := o.queue.take(o)
		if it == nil {
			break
		}
		err = o.add(it)
		o.queue.release(it)
		if err != nil {
			return sent, err
		}
		sent = true
		if len(o.msg) >= batchBytes {
			if err = o.flush(); err != nil {
				return sent, err
			}
		}
	}
	return sent, o.flush()
}

// begun begins a message where none is. The epoch is looked at first: what was acknowledged by an older
// placement, and is kept for the peer, was so before.
func (o *outgoing) begun() {
	if len(o.msg) == 0 {
		t := tidings{epoch: o.epoch()}
		t.missed, t.behind = o.queue.missed(), o.behind()
		o.msg = appendFrames(o.msg, t)
	}
}

func (o *outgoing) flush() error {
	if len(o.msg) == 0 {
		return nil
	}
	o.msg = seal(o.msg)
	err := o.conn.Send(o.msg)
	o.metrics.bytes.Add(float64(len(o.msg)))
	if o.msg = o.msg[:0]; cap(o.msg) > 4*batchBytes {
		o.msg = nil
	}
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// add adds an item to the message. What can't be sent is settled; an error is the stream's.
func (o *outgoing) add(it *item) error {
	if it.again {
		o.forget(&it.frame)
		it.again = false
	}
	o.lost = o.lost[:0]
	err := o.define(&it.frame)
	if err == nil && len(o.lost) > 0 && o.queue.drop(it, o.lost) {
		return nil
	}
	if err == nil {
		err = o.encode(it)
	}
	if errors.Is(err, ErrTooLarge) {
		o.undefine()
		o.queue.settle(it, err)
		return nil
	}
	return err
}

// forget makes the series of f unknown.
func (o *outgoing) forget(f *frame.Frame) {
	for place := range elements(f) {
		if e := o.known.get(refAt(f, place).Index()); e != nil {
			*e = 0
		}
	}
}

// refAt is the reference of an element of f.
func refAt(f *frame.Frame, place int) series.Ref {
	switch floats, samples := len(f.Refs), f.Samples(); {
	case place < floats:
		return f.Refs[place]
	case place < samples:
		return f.Histograms[place-floats].Ref
	default:
		return f.Exemplars[place-samples].Ref
	}
}

// define finds the series of f that the peer does not know yet: after it defs has their
// definitions, and lost the places of samples that have no labels.
func (o *outgoing) define(f *frame.Frame) error {
	for place, ref := range f.Refs { // The hot loop: nearly always one look at the array.
		if e := o.known.get(ref.Index()); e != nil && *e == ref.Generation() && *e != 0 {
			continue
		}
		if err := o.introduce(ref, place); err != nil {
			return err
		}
	}
	for place := len(f.Refs); place < elements(f); place++ {
		if err := o.introduce(refAt(f, place), place); err != nil {
			return err
		}
	}
	return nil
}

// introduce defines a series, unless the peer knows it.
func (o *outgoing) introduce(ref series.Ref, place int) error {
	if e := o.known.get(ref.Index()); e != nil && *e == ref.Generation() && *e != 0 {
		return nil
	}
	var labels series.Labels
	if ref.Generation() != 0 {
		labels = o.labels(ref)
	}
	if labels == nil {
		o.lost = append(o.lost, uint32(place))
		return nil
	}
	if len(labels) > maxDefinitions {
		return fmt.Errorf("%w: %d bytes of labels", ErrTooLarge, len(labels))
	}
	e := o.known.need(ref.Index())
	if e == nil {
		return fmt.Errorf("%w: it has index %d, the limit is %d", ErrTooLarge, ref.Index(), o.known.limit)
	}
	*e = ref.Generation()
	o.defs = append(o.defs, frame.SeriesDef{Ref: ref, Labels: labels})
	if o.defined += len(labels); o.defined > maxDefinitions {
		return o.sendDefinitions()
	}
	return nil
}

// sendDefinitions sends what is defined so far ahead of the frame that uses it.
func (o *outgoing) sendDefinitions() error {
	if err := o.append(0, &frame.Frame{Series: o.defs}); err != nil {
		return err
	}
	return o.flush()
}

// undefine takes back the definitions that did not go out.
func (o *outgoing) undefine() {
	for _, d := range o.defs {
		if e := o.known.get(d.Ref.Index()); e != nil {
			*e = 0
		}
	}
	o.sentDefinitions()
}

func (o *outgoing) sentDefinitions() {
	clear(o.defs)
	o.defs, o.defined = o.defs[:0], 0
}

// encode appends the item's frame with its definitions to the message.
func (o *outgoing) encode(it *item) error {
	f := &it.frame
	if n := restSize(f); n+o.defined > maxRest/2 {
		return fmt.Errorf("%w: %d bytes beside the samples", ErrTooLarge, n)
	}
	f.Series = o.defs
	err := o.append(it.seq, f)
	f.Series = nil
	if err == nil {
		o.metrics.samples.Add(float64(f.Samples()))
	}
	return err
}

// append appends a frame whose definitions are defs to the message.
func (o *outgoing) append(seq uint64, f *frame.Frame) error {
	err := o.encoder.Encode(f, func(b []byte) error {
		if len(b) > maxFrame {
			return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(b))
		}
		o.begun()
		o.msg = appendFrame(o.msg, seq, b)
		return nil
	})
	if err == nil {
		o.metrics.definitions.Add(float64(len(o.defs)))
		o.sentDefinitions()
	}
	return err
}
