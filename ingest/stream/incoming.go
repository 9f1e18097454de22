package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// incoming is the receiver's end of one stream. Apart from flight and answers, all of it belongs to
// the goroutine that receives.
type incoming struct {
	*Receiver
	conn    Conn
	from    *sender
	decoder *frame.Decoder
	table   table[entry]
	flight  *flight
	answers *answers

	frame frame.Frame // the one at hand
	sets  []series.Labels
	owned []series.Ref
}

// An entry is what a sender's index stands for here.
type entry struct {
	own        series.Ref // 0 is none
	generation uint32     // the sender's
}

// empty lets go of the frame at hand, and of its memory if that is much.
func (in *incoming) empty() {
	f := &in.frame
	if cap(f.Refs) > maxPooled || cap(f.Series)+cap(f.Histograms)+cap(f.Exemplars)+cap(f.Metadata) > maxPooled/4 {
		*f = frame.Frame{}
	}
	f.Reset()
}

func (r *Receiver) newIncoming(conn Conn, from *sender) *incoming {
	limits := frame.Limits{Samples: maxFloats, Rest: maxRest, Index: uint32(r.opts.MaxRefs)}
	return &incoming{
		Receiver: r, conn: conn, from: from, decoder: frame.NewLimitedDecoder(limits),
		table:  table[entry]{limit: uint32(r.opts.MaxRefs)},
		flight: newFlight(r.opts.InFlightBytes), answers: newAnswers(conn),
	}
}

// serve runs the stream to its end.
func (in *incoming) serve(ctx context.Context) error {
	quit, sent := make(chan struct{}), make(chan error, 1)
	go func() { sent <- in.answers.run(quit) }()
	stop := context.AfterFunc(ctx, in.flight.abandon) // A disk may never answer.
	err := in.receive(ctx)
	in.flight.land()
	stop()
	close(quit)
	failed := <-sent
	if !errors.Is(err, io.EOF) {
		return err
	}
	if failed == nil {
		failed = in.conn.CloseSend()
	}
	return failed
}

// receive takes messages until the stream ends; io.EOF is an end in order.
func (in *incoming) receive(ctx context.Context) error {
	var msg []byte
	var frames []numbered
	for {
		var err error
		if msg, err = in.conn.Recv(msg); err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		in.metrics.bytes.Add(float64(len(msg)))
		var t tidings
		if frames, t, err = readFrames(frames[:0], msg); err != nil {
			return err
		}
		in.heard(in.from, t, time.Now())
		for _, f := range frames {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := in.answers.room(); err != nil {
				return err
			}
			if err := in.take(ctx, f, t.epoch); err != nil {
				return err
			}
		}
	}
}

// take decodes a frame and sees to it that it is appended and answered.
func (in *incoming) take(ctx context.Context, n numbered, epoch uint64) error {
	f := &in.frame
	defer in.empty()
	if err := in.decoder.Decode(f, n.body); err != nil {
		return fmt.Errorf("frame %d: %w", n.seq, err)
	}
	if n.seq == 0 && (elements(f) > 0 || len(f.Metadata) > 0) {
		return protocolf("frame without a number has samples")
	}
	refused, err := in.define(ctx, f.Series)
	if err != nil {
		return err
	}
	if n.seq == 0 { // The samples that lack a series for it will say so.
		return nil
	}
	in.metrics.samples.Add(float64(f.Samples()))
	weight := size(f)
	// The store logs the frame as it is: what the sender's references mean has no place there.
	clear(f.Series)
	f.Series, f.Sender, f.Seq = f.Series[:0], 0, 0
	for i := range f.Exemplars { // They may be views of the message.
		f.Exemplars[i].Labels = slices.Clone(f.Exemplars[i].Labels)
	}
	number, waited := in.flight.begin(n.seq, weight)
	if waited {
		in.metrics.waits.Inc()
	}
	in.metrics.inFlight.Inc()
	done := func(rejected []frame.Rejected, err error) func() {
		in.answers.add(in.answer(ctx, n, epoch, rejected, err))
		in.metrics.inFlight.Dec()
		in.answered(in.from, in.flight.finish(number))
		return in.answers.notify
	}
	if refused != nil || in.opts.Stale(epoch) {
		done(nil, refused)()
		return nil
	}
	in.exchange(f)
	return in.store.Add(ctx, f, weight, done)
}

// define finds or creates series. refused is why the store would not; an error is the sender's fault.
func (in *incoming) define(ctx context.Context, defs []frame.SeriesDef) (refused, err error) {
	if len(defs) == 0 {
		return nil, nil
	}
	in.sets = in.sets[:0]
	defer func() { clear(in.sets) }()
	for _, d := range defs {
		if d.Ref.Generation() == 0 || d.Ref.Index() >= in.table.limit {
			return nil, protocolf("definition of reference %d, of generation %d", d.Ref.Index(), d.Ref.Generation())
		}
		if err := d.Labels.Validate(); err != nil {
			return nil, protocolf("%v", err)
		}
		if len(d.Labels) == 0 {
			return nil, protocolf("definition of a series without labels")
		}
		in.sets = append(in.sets, d.Labels)
	}
	in.metrics.definitions.Add(float64(len(defs)))
	if in.owned, err = in.store.Refs(ctx, in.owned[:0], in.sets); err != nil {
		return fmt.Errorf("find series: %w", err), nil
	}
	for i, d := range defs {
		e := in.table.need(d.Ref.Index())
		e.own, e.generation = in.owned[i], d.Ref.Generation()
	}
	return nil, nil
}

// exchange turns the sender's references into the store's, zero where there is none.
func (in *incoming) exchange(f *frame.Frame) {
	for i, ref := range f.Refs {
		f.Refs[i] = in.own(ref)
	}
	for i := range f.Histograms {
		f.Histograms[i].Ref = in.own(f.Histograms[i].Ref)
	}
	for i := range f.Exemplars {
		f.Exemplars[i].Ref = in.own(f.Exemplars[i].Ref)
	}
}

func (in *incoming) own(ref series.Ref) series.Ref {
	if e := in.table.get(ref.Index()); e != nil && e.generation == ref.Generation() {
		return e.own
	}
	return 0
}

// answer says what became of a frame. That it is stale is looked at when it has been stored: whoever is told that
// such frames are taken no more finds here all that were.
func (in *incoming) answer(ctx context.Context, n numbered, epoch uint64, rejected []frame.Rejected, err error) ack {
	if in.opts.Stale(epoch) {
		in.metrics.refused.Inc()
		return ack{seq: n.seq, code: Stale}
	}
	if err != nil {
		in.metrics.refused.Inc()
		code := in.opts.Code(err)
		if ctx.Err() != nil {
			code = Closing
		}
		return ack{seq: n.seq, code: code, text: err.Error()}
	}
	in.metrics.taken.Inc()
	for _, r := range rejected {
		if r.Reason == frame.UnknownRef {
			in.metrics.unknown.Inc()
		}
	}
	return ack{seq: n.seq, rejected: rejected}
}
