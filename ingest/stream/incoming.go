package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
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

	sets  []series.Labels
	owned []series.Ref
}

// An entry is what a sender's index stands for here.
type entry struct {
	own        series.Ref // 0 is none
	generation uint32     // the sender's
	used       uint32     // number of the last frame in flight that used it
}

// A job is a frame to be appended.
type job struct {
	frame frame.Frame
	seq   uint64
	epoch uint64
}

var jobs = sync.Pool{New: func() any { return new(job) }}

func (j *job) recycle() {
	f := &j.frame
	if cap(f.Refs) > maxPooled || cap(f.Series)+cap(f.Histograms)+cap(f.Exemplars)+cap(f.Metadata) > maxPooled/4 {
		return
	}
	f.Reset()
	jobs.Put(j)
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
	err := in.receive(ctx)
	in.flight.land()
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
	j := jobs.Get().(*job)
	f := &j.frame
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
		j.recycle()
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
	after, ordered := in.exchange(f, number)
	j.seq, j.epoch = n.seq, epoch
	in.metrics.inFlight.Inc()
	go func() {
		if ordered {
			in.metrics.ordered.Inc()
			in.flight.wait(after)
		}
		in.answers.add(in.append(ctx, j, refused))
		j.recycle()
		in.metrics.inFlight.Dec()
		in.flight.finish(number)
		in.answered(in.from, in.flight.answered())
	}()
	return nil
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

// exchange turns the sender's references into the store's, zero where there is none, and notes that
// frame number uses them. ordered says that a frame in flight, number after at last, has some of them
// too.
func (in *incoming) exchange(f *frame.Frame, number uint32) (after uint32, ordered bool) {
	x := exchange{table: &in.table, number: number, flying: number - in.flight.lowest()}
	for i, ref := range f.Refs {
		f.Refs[i] = x.own(ref)
	}
	for i := range f.Histograms {
		f.Histograms[i].Ref = x.own(f.Histograms[i].Ref)
	}
	for i := range f.Exemplars {
		f.Exemplars[i].Ref = x.own(f.Exemplars[i].Ref)
	}
	return number - x.nearest, x.nearest > 0
}

// An exchange is that of one frame.
type exchange struct {
	table   *table[entry]
	number  uint32
	flying  uint32 // Frames from number-flying on are in flight.
	nearest uint32 // How far before number lies the nearest in flight that shares a series; 0 is none.
}

func (x *exchange) own(ref series.Ref) series.Ref {
	e := x.table.get(ref.Index())
	if e == nil || e.generation != ref.Generation() {
		return 0
	}
	if distance := x.number - e.used; distance-1 < x.flying && (x.nearest == 0 || distance < x.nearest) {
		x.nearest = distance
	}
	e.used = x.number
	return e.own
}

// append appends a job's frame and returns the answer. That a frame is stale is looked at again when it is
// stored: whoever is told that such frames are taken no more finds here all that were.
func (in *incoming) append(ctx context.Context, j *job, refused error) ack {
	stale := ack{seq: j.seq, code: Stale}
	if in.opts.Stale(j.epoch) {
		in.metrics.refused.Inc()
		return stale
	}
	rejected, err := []frame.Rejected(nil), refused
	if err == nil {
		rejected, err = in.store.Append(ctx, &j.frame)
	}
	if err != nil {
		in.metrics.refused.Inc()
		code := in.opts.Code(err)
		if ctx.Err() != nil {
			code = Closing
		}
		return ack{seq: j.seq, code: code, text: err.Error()}
	}
	if in.opts.Stale(j.epoch) {
		in.metrics.refused.Inc()
		return stale
	}
	in.metrics.taken.Inc()
	for _, r := range rejected {
		if r.Reason == frame.UnknownRef {
			in.metrics.unknown.Inc()
		}
	}
	return ack{seq: j.seq, rejected: rejected}
}
