package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"
)

// partCost is what a part costs of the window besides its bytes, so that empty messages are not
// free.
const partCost = headerLen

// stream is either end of a request. It is over once: when the status has arrived or been sent, or
// when it failed.
type stream struct {
	link   *link
	id     uint64
	method *method
	ctx    context.Context
	cancel context.CancelCauseFunc // of ctx, on the serving side; nil on the calling one

	readable chan struct{} // of one: there is something to receive
	writable chan struct{} // of one: there is more credit

	mu struct {
		sync.Mutex
		stop    func() bool // of the function that waits for ctx
		in      []byte      // parts that have arrived: | length × 2 + last u32 | bytes |
		head    int         // what was received of them
		message int         // length so far of the message that is arriving
		allowed int         // what the other end may still send
		owed    int         // what was received and not given back
		credit  int         // what may be sent
		closed  bool        // by CloseSend
		ended   bool        // by the other end, in order
		gone    bool        // the caller
		over    bool
		status  *Error // with which the handler ended, on the calling side
		err     *Error // with which the stream failed
	}
}

func newStream(l *link, m *method) *stream {
	s := &stream{link: l, method: m, readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
	s.mu.allowed = int(windows[l.class])
	s.mu.credit = l.window
	return s
}

// callUnder ends the stream when ctx does, on the calling side.
func (s *stream) callUnder() {
	stop := context.AfterFunc(s.ctx, func() { s.abort(contextError(s.ctx)) })
	s.mu.Lock()
	s.mu.stop = stop
	over := s.mu.over
	s.mu.Unlock()
	if over {
		stop()
	}
}

// serveUnder gives the stream the context of its handler. It ends with the link, as the stream
// does.
func (s *stream) serveUnder(left time.Duration, bounded bool) {
	ctx, cancel := context.WithCancelCause(context.Background())
	s.ctx, s.cancel = ctx, cancel
	if !bounded {
		return
	}
	limited, release := context.WithTimeout(ctx, left)
	s.ctx, s.cancel = limited, func(cause error) { cancel(cause); release() }
	s.mu.Lock()
	s.mu.stop = context.AfterFunc(limited, func() { s.fail(contextError(limited)) })
	s.mu.Unlock()
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fail ends the stream at once, unless it is over.
func (s *stream) fail(err *Error) bool {
	s.mu.Lock()
	if s.mu.over {
		s.mu.Unlock()
		return false
	}
	s.mu.over, s.mu.err = true, err
	s.mu.in, s.mu.head = nil, 0
	stop := s.mu.stop
	s.mu.Unlock()
	s.settle(stop, err)
	return true
}

// settle lets everybody know that the stream is over.
func (s *stream) settle(stop func() bool, err *Error) {
	notify(s.readable)
	notify(s.writable)
	if stop != nil {
		stop()
	}
	if s.cancel != nil {
		s.cancel(err)
	} else {
		s.link.t.metrics.ended(dialling, s.method.Name, codeOf(err))
	}
}

// abort ends a stream on the calling side and tells the other one.
func (s *stream) abort(err *Error) {
	if s.fail(err) {
		s.link.push(kindCancel, s.id, []byte{byte(err.Code)}, writeLater)
		s.link.forget(s)
	}
}

// finish ends a stream on the serving side, and reports whether the caller is to be told.
func (s *stream) finish() bool {
	s.mu.Lock()
	s.mu.over = true
	s.mu.in, s.mu.head = nil, 0
	gone, stop := s.mu.gone, s.mu.stop
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	s.cancel(nil)
	return !gone
}

// Close implements ClientStream.
func (s *stream) Close() { s.abort(&Error{Canceled, "the stream was closed"}) }

// CloseSend implements Stream.
func (s *stream) CloseSend() error {
	s.mu.Lock()
	if s.mu.closed || s.mu.over {
		s.mu.Unlock()
		return nil
	}
	s.mu.closed = true
	s.mu.Unlock()
	if s.cancel == nil {
		s.link.push(kindEnd, s.id, nil, writeNow)
	}
	return nil
}

// Send implements Stream.
func (s *stream) Send(msg []byte) error { return s.send(msg, writeNow) }

// send sends a message, the last part of it as w says.
func (s *stream) send(msg []byte, w when) error {
	if len(msg) > s.method.MaxMessage {
		s.link.t.metrics.limits[limitMessage].Inc()
		return errorf(Invalid, "a message of %d bytes, where %s takes at most %d", len(msg), s.method.Name, s.method.MaxMessage)
	}
	for {
		part := msg[:min(len(msg), maxPart)]
		msg = msg[len(part):]
		if err := s.reserve(len(part) + partCost); err != nil {
			return err
		}
		if len(msg) == 0 {
			return s.link.send(s, kindLast, part, w)
		}
		if err := s.link.send(s, kindPart, part, writeNow); err != nil {
			return err
		}
	}
}

// reserve waits for credit. All of a part is waited for: half a window is always more, and given
// back when it was received.
func (s *stream) reserve(n int) error {
	for {
		s.mu.Lock()
		err := s.sendableLocked()
		enough := s.mu.credit >= n
		if err == nil && enough {
			s.mu.credit -= n
		}
		s.mu.Unlock()
		if err != nil || enough {
			return err
		}
		s.link.flush()
		<-s.writable
	}
}

// waitFor waits for room in the link's buffer.
func (s *stream) waitFor(room <-chan struct{}) error {
	select {
	case <-room:
	case <-s.writable:
	}
	return s.failure()
}

// failure says why nothing more can be sent.
func (s *stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sendableLocked()
}

func (s *stream) sendableLocked() error {
	switch {
	case s.mu.err != nil:
		return s.mu.err
	case s.mu.over:
		return io.EOF
	case s.mu.closed:
		return &Error{Invalid, "sent after the end"}
	}
	return nil
}

// credited takes credit from the other end.
func (s *stream) credited(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.credit += n; s.mu.credit > s.link.window {
		return errors.New("more credit than was used")
	}
	notify(s.writable)
	return nil
}

// arrived takes in a part of a message.
func (s *stream) arrived(last bool, body []byte) error {
	s.mu.Lock()
	if s.mu.over {
		s.mu.Unlock()
		return nil
	}
	s.mu.allowed -= len(body) + partCost
	if s.mu.allowed < 0 || s.mu.ended {
		s.mu.Unlock()
		return errors.New("a message without credit, or after the end")
	}
	if s.mu.message += len(body); s.mu.message > s.method.MaxMessage {
		s.mu.Unlock()
		s.tooLarge()
		return nil
	}
	word := uint32(len(body)) * 2
	if last {
		word++
		s.mu.message = 0
	}
	if need := len(s.mu.in) + 4 + len(body); need > cap(s.mu.in) && s.mu.head > len(s.mu.in)/2 {
		s.mu.in = s.mu.in[:copy(s.mu.in, s.mu.in[s.mu.head:])]
		s.mu.head = 0
	}
	s.mu.in = append(binary.LittleEndian.AppendUint32(s.mu.in, word), body...)
	s.mu.Unlock()
	notify(s.readable)
	return nil
}

func (s *stream) tooLarge() {
	s.link.t.metrics.limits[limitMessage].Inc()
	err := errorf(Invalid, "a message of more than %d bytes, which is what %s takes", s.method.MaxMessage, s.method.Name)
	if s.cancel != nil {
		s.fail(err)
	} else {
		s.abort(err)
	}
}

// endArrived notes that the caller sends no more.
func (s *stream) endArrived() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.ended {
		return errors.New("a second end")
	}
	s.mu.ended = true
	notify(s.readable)
	return nil
}

// statusArrived ends a stream on the calling side: what has arrived may still be received.
func (s *stream) statusArrived(status *Error) {
	s.mu.Lock()
	if s.mu.over {
		s.mu.Unlock()
		return
	}
	s.mu.over, s.mu.ended, s.mu.status = true, true, status
	stop := s.mu.stop
	s.mu.Unlock()
	s.link.forget(s) // First: who hears of the end may open the next.
	s.settle(stop, status)
}

// canceled ends a stream on the serving side because the caller has given up.
func (s *stream) canceled(why *Error) {
	s.mu.Lock()
	s.mu.gone = true
	s.mu.Unlock()
	if why == nil || why.Text == "" {
		why = errorf(max(Canceled, codeOf(why)), "the caller gave up")
	}
	s.fail(why)
}

// Recv implements Stream.
func (s *stream) Recv(dst []byte) ([]byte, error) {
	dst = dst[:0]
	begun := false
	for {
		s.mu.Lock()
		for s.mu.head < len(s.mu.in) {
			var last bool
			if dst, last = s.partLocked(dst); !last {
				begun = true
				continue
			}
			s.giveBack()
			return dst, nil
		}
		s.mu.in, s.mu.head = s.mu.in[:0], 0
		err := s.receivedLocked(begun)
		s.giveBack()
		if err != nil {
			return nil, err
		}
		s.link.flush()
		<-s.readable
	}
}

// partLocked appends the next part to dst.
func (s *stream) partLocked(dst []byte) (_ []byte, last bool) {
	word := binary.LittleEndian.Uint32(s.mu.in[s.mu.head:])
	begin := s.mu.head + 4
	s.mu.head = begin + int(word/2)
	s.mu.owed += int(word/2) + partCost
	return append(dst, s.mu.in[begin:s.mu.head]...), word%2 == 1
}

// receivedLocked says how receiving ends if there is nothing more, nil if there may be.
func (s *stream) receivedLocked(begun bool) error {
	switch {
	case s.mu.err != nil:
		return s.mu.err
	case s.mu.status != nil:
		return s.mu.status
	case s.mu.ended && begun:
		return &Error{Internal, "the other end has ended within a message"}
	case s.mu.ended:
		return io.EOF
	case s.mu.over:
		return &Error{Canceled, "the handler has ended"}
	case s.cancel != nil && s.link.ending.Load():
		return errorf(Unavailable, "%s is about to end", s.link.t.opts.Identity)
	}
	return nil
}

// giveBack unlocks the stream, and lets the other end send more when half the window was received.
func (s *stream) giveBack() {
	n := 0
	if s.mu.owed >= int(windows[s.link.class])/2 && !s.mu.ended && !s.mu.over {
		n = s.mu.owed
		s.mu.allowed += n
		s.mu.owed = 0
	}
	s.mu.Unlock()
	if n > 0 {
		s.link.credit(s, n)
	}
}
