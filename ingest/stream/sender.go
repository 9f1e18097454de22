package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/barograph-db/barograph/storage/frame"
)

const (
	// beatEvery is how long a sender that has nothing to say says nothing. A receiver that hears
	// nothing for three of these takes it for silent.
	beatEvery = 300 * time.Millisecond
	// answerEvery is the same for the receiver: what waits for it is told by acks and timeouts.
	answerEvery = time.Second
	// maxSilence is how long a receiver may be silent before the stream is broken.
	maxSilence = 4 * time.Second
	// watchEvery is the grain of timeouts.
	watchEvery = time.Second
	// lived is how long a stream must have lasted for the next one to be opened at once.
	lived = time.Second
	// minBackoff and maxBackoff bound the time between attempts.
	minBackoff, maxBackoff = 50 * time.Millisecond, 3 * time.Second
	// parting is how long the end of a sender may wait for the peer to answer what it has.
	parting = 500 * time.Millisecond
)

// Senders makes the senders of a node. They share their options, an id and metrics.
type Senders struct {
	opts    Options
	metrics *senderMetrics
}

// NewSenders returns one without any senders.
func NewSenders(opts Options) (*Senders, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	return &Senders{opts: opts, metrics: newSenderMetrics(opts.Registerer)}, nil
}

// New returns the sender for a peer, of which there may be one at a time. Run is to follow: what is
// handed in before waits for its first stream. behind says whether frames for the peer are kept
// elsewhere, of which the peer is told with whatever is sent to it.
func (s *Senders) New(peer string, open Open, behind func() bool) *Sender {
	m := s.metrics.peer(peer)
	return &Sender{opts: &s.opts, peer: peer, open: open, behind: behind, metrics: m, queue: newQueue(&s.opts, m)}
}

// Sender sends frames to one peer. Its methods may be called concurrently, Run once.
type Sender struct {
	opts    *Options
	peer    string
	open    Open
	behind  func() bool
	metrics *peerMetrics
	queue   *queue
}

// Send sends f, whose references are the sender's own, and calls done when the peer has answered or
// can't be had. f may be reused when Send returns. An error refuses f at once, and done is not called.
func (s *Sender) Send(f *frame.Frame, done Done) error {
	parts := cut(f)
	bytes := size(f)
	if err := s.queue.admit(len(parts), bytes); err != nil { // Spares the copy.
		return err
	}
	c := &call{done: done, left: len(parts)}
	list := make([]*item, len(parts))
	bytes = 0
	for i, p := range parts {
		list[i] = newItem(f, p, len(parts) == 1)
		list[i].call = c
		bytes += list[i].size
	}
	if err := s.queue.put(list, bytes); err != nil {
		for _, it := range list {
			it.recycle()
		}
		return err
	}
	return nil
}

// Run opens a stream to the peer, again and again, until ctx ends. All that is pending then fails.
func (s *Sender) Run(ctx context.Context) error {
	defer s.metrics.forget()
	defer s.queue.stop(ended, ErrClosed)
	for attempt := 0; ctx.Err() == nil; {
		if attempt == 0 {
			s.queue.setState(opening)
		} else {
			s.queue.stop(down, ErrDown)
			if !sleep(ctx, backoff(attempt)) {
				break
			}
		}
		begin := time.Now()
		opened, err := s.stream(ctx, attempt)
		s.metrics.up.Set(0)
		switch {
		case ctx.Err() != nil:
		case !opened && attempt == 0:
			s.opts.Logger.Warn("peer can't be reached", "peer", s.peer, "err", err)
		case opened:
			s.opts.Logger.Warn("stream broke", "peer", s.peer, "err", err)
		}
		if attempt++; opened && time.Since(begin) >= lived {
			attempt = 0
		}
	}
	return nil
}

// backoff is how long to wait before an attempt, from 1 on.
func backoff(attempt int) time.Duration {
	d := min(minBackoff<<min(attempt-1, 10), maxBackoff)
	return d/2 + rand.N(d/2)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// stream opens a stream and serves it until it breaks, or until ctx ends.
func (s *Sender) stream(ctx context.Context, attempt int) (opened bool, err error) {
	// The stream outlives ctx for as long as it takes to close it in order.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	early := context.AfterFunc(ctx, cancel)
	late := time.AfterFunc(s.opts.OpenTimeout, cancel)
	conn, refs, err := s.greet(streamCtx)
	if !early() || !late.Stop() {
		err = errors.Join(context.Cause(ctx), err, errors.New("opening took too long"))
	}
	if err != nil {
		s.metrics.unopened.Inc()
		if conn != nil {
			conn.Close()
		}
		return false, err
	}
	s.metrics.opened.Inc()
	s.metrics.up.Set(1)
	if attempt > 0 {
		s.opts.Logger.Info("stream is open", "peer", s.peer)
	}
	s.queue.setState(up)
	o := newOutgoing(s, conn, refs)
	return true, o.run(ctx)
}

// greet opens a stream and learns how many references the peer has room for.
func (s *Sender) greet(ctx context.Context) (conn OutConn, refs uint32, err error) {
	if conn, err = s.open(ctx); err != nil {
		return nil, 0, fmt.Errorf("open stream: %w", err)
	}
	defer context.AfterFunc(ctx, conn.Close)()
	if err = conn.Send(appendHello(nil, s.opts.ID)); err != nil {
		return conn, 0, fmt.Errorf("send hello: %w", err)
	}
	msg, err := conn.Recv(nil)
	if err != nil {
		return conn, 0, fmt.Errorf("wait for welcome: %w", err)
	}
	if refs, err = readWelcome(msg); err != nil {
		return conn, 0, fmt.Errorf("read welcome: %w", err)
	}
	return conn, min(refs, uint32(s.opts.MaxRefs)), nil
}

// run serves the stream: one goroutine writes, one reads, one keeps the time.
func (o *outgoing) run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	g.Go(func() error { return o.write(ctx, gctx) })
	g.Go(o.read)
	g.Go(func() error { return o.watch(ctx, gctx) })
	g.Go(func() error { // The first of them that ends ends the others.
		<-gctx.Done()
		o.conn.Close()
		return nil
	})
	return g.Wait()
}

// read takes the peer's answers.
func (o *outgoing) read() error {
	var msg []byte
	var acks []ack
	for {
		var err error
		if msg, err = o.conn.Recv(msg); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("peer closed the stream")
			}
			return fmt.Errorf("receive: %w", err)
		}
		o.heard.Store(int64(time.Since(o.begin)))
		if acks, err = readAcks(acks[:0], msg); err != nil {
			return err
		}
		if err = o.queue.acked(o, acks); err != nil {
			return err
		}
		clear(acks)
	}
}

// watch fails what takes too long, and ends the stream of a silent peer.
func (o *outgoing) watch(ctx, gctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-gctx.Done():
			return nil
		case <-ctx.Done():
			sleep(gctx, parting)
			return ctx.Err()
		case now := <-tick.C:
			o.queue.expire(now)
			if silence := time.Since(o.begin) - time.Duration(o.heard.Load()); silence > maxSilence {
				return fmt.Errorf("peer is silent for %s", silence.Round(time.Millisecond))
			}
		}
	}
}
