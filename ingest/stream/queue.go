package stream

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/barograph-db/barograph/storage/frame"
)

// maxTries bounds how often a frame is sent: it may come back, or be what breaks the streams.
const maxTries = 4

// slowAfter is how long a frame is unanswered before others are refused: who hands them in waits for
// the answer for a while, and one who has waited for so long is enough.
const slowAfter = time.Second

// state says what becomes of a frame that is handed in.
type state uint8

const (
	down    state = iota // refused
	opening              // taken: there was no stream yet, or it has just broken, and the first attempt is under way
	up                   // taken and sent
	ended                // refused for good
)

// queue is what is pending at a peer. An item is in items until it is settled, and in waiting unless a
// stream has it.
type queue struct {
	maxFrames, maxBytes int
	timeout             time.Duration
	metrics             *peerMetrics
	wake                chan struct{} // Something waits.

	mu struct {
		sync.Mutex
		state   state
		seq     uint64 // the last one given
		oldest  uint64 // None before it is in items.
		missed  uint64 // frames that the peer may lack
		bytes   int
		items   map[uint64]*item
		waiting []*item // in order of their numbers, but for those to be repeated, which come first
	}
}

func newQueue(o *Options, m *peerMetrics) *queue {
	q := &queue{
		maxFrames: o.MaxFrames, maxBytes: o.MaxBytes, timeout: o.Timeout,
		metrics: m, wake: make(chan struct{}, 1),
	}
	q.mu.items = make(map[uint64]*item)
	q.mu.state = opening
	return q
}

// admit says whether a frame of that many parts would be taken now.
func (q *queue) admit(parts, bytes int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.admitLocked(parts, bytes)
}

func (q *queue) admitLocked(parts, bytes int) (err error) {
	switch {
	case q.mu.state == ended:
		return ErrClosed
	case q.mu.state == down:
		err = ErrDown
	case len(q.mu.items) == 0: // One frame always has room.
		return nil
	case q.slowLocked(time.Now()):
		err = ErrSlow
	case len(q.mu.items)+parts > q.maxFrames || q.mu.bytes+bytes > q.maxBytes:
		err = ErrFull
	}
	if err != nil {
		q.mu.missed++
		q.metrics.frames[result(err)].Inc()
	}
	return err
}

// slowLocked reports whether the peer has left a frame unanswered for too long to be waited for.
func (q *queue) slowLocked(now time.Time) bool {
	for ; q.mu.oldest <= q.mu.seq; q.mu.oldest++ {
		if it := q.mu.items[q.mu.oldest]; it != nil {
			return now.Sub(it.due.Add(-q.timeout)) > slowAfter
		}
	}
	return false
}

// put takes the parts of a frame.
func (q *queue) put(parts []*item, bytes int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.admitLocked(len(parts), bytes); err != nil {
		return err
	}
	due := time.Now().Add(q.timeout)
	for _, it := range parts {
		q.mu.seq++
		it.seq, it.due = q.mu.seq, due
		q.mu.items[it.seq] = it
	}
	q.mu.waiting = append(q.mu.waiting, parts...)
	q.mu.bytes += bytes
	q.gaugeLocked()
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) gaugeLocked() {
	q.metrics.pending.Set(float64(len(q.mu.items)))
	q.metrics.pendingSize.Set(float64(q.mu.bytes))
}

func (q *queue) missed() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.missed
}

// setState changes the state. What is pending when a stream is opened waits for that one.
func (q *queue) setState(s state) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.state = s
	if s == up {
		return
	}
	q.mu.waiting = nil
	for _, it := range q.mu.items {
		it.stream = nil
		q.mu.waiting = append(q.mu.waiting, it)
	}
	slices.SortFunc(q.mu.waiting, func(a, b *item) int { return cmp.Compare(a.seq, b.seq) })
	q.signal()
}

// take gives a stream's writer the next item, until release; nil if there is none.
func (q *queue) take(o *outgoing) *item {
	var failed *call
	q.mu.Lock()
	defer func() {
		q.mu.Unlock()
		if failed != nil {
			failed.finish()
		}
	}()
	for len(q.mu.waiting) > 0 {
		it := q.mu.waiting[0]
		q.mu.waiting[0] = nil
		q.mu.waiting = q.mu.waiting[1:]
		if it.gone {
			continue
		}
		if it.tries++; it.tries > maxTries {
			if failed = q.settleLocked(it, ErrTries); failed != nil {
				q.signal()
				return nil
			}
			continue
		}
		if it.tries > 1 {
			q.metrics.again.Inc()
		}
		it.stream, it.busy = o, true
		return it
	}
	return nil
}

// release ends the time that a writer has an item for.
func (q *queue) release(it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it.busy = false
}

// drop rejects the samples of an item whose labels are not known, for the writer that has it. It
// returns true if nothing is left to send.
func (q *queue) drop(it *item, lost []uint32) bool {
	var kept []uint32
	f, next := &it.frame, lost
	for place := range uint32(elements(f)) {
		if len(next) > 0 && next[0] == place {
			next = next[1:]
		} else {
			kept = append(kept, place)
		}
	}
	q.mu.Lock()
	for _, place := range lost {
		it.reject(place, frame.UnknownRef)
	}
	it.narrow(kept)
	var c *call
	empty := elements(f)+len(f.Metadata) == 0
	if empty {
		c = q.settleLocked(it, nil)
	}
	q.mu.Unlock()
	if c != nil {
		c.finish()
	}
	return empty
}

// settleLocked takes an item out. It returns the call that is finished with it, if there is one: the
// caller calls finish without the lock.
func (q *queue) settleLocked(it *item, err error) *call {
	if it.gone {
		return nil
	}
	it.gone = true
	delete(q.mu.items, it.seq)
	q.mu.bytes -= it.size
	q.gaugeLocked()
	c := it.call
	if err != nil && c.err == nil { // The whole frame fails, once.
		c.err = err
		q.mu.missed++
	}
	if c.left--; c.left > 0 {
		return nil
	}
	q.metrics.frames[result(c.err)].Inc()
	return c
}

// settle is settleLocked for an item that the caller may be the writer of.
func (q *queue) settle(it *item, err error) {
	q.mu.Lock()
	c := q.settleLocked(it, err)
	q.mu.Unlock()
	if c != nil {
		c.finish()
	}
}

// fail settles all items that chosen picks.
func (q *queue) fail(err error, chosen func(*item) bool) {
	var calls []*call
	q.mu.Lock()
	for _, it := range q.mu.items {
		if chosen(it) {
			if c := q.settleLocked(it, err); c != nil {
				calls = append(calls, c)
			}
		}
	}
	q.mu.Unlock()
	for _, c := range calls {
		c.finish()
	}
}

// expire fails what was pending for too long.
func (q *queue) expire(now time.Time) {
	q.fail(ErrTimeout, func(it *item) bool { return now.After(it.due) })
}

// stop refuses what comes and fails what is pending.
func (q *queue) stop(s state, err error) {
	q.setState(s)
	q.fail(err, func(*item) bool { return true })
}

// acked takes the answers that came over a stream. An answer to what is no longer pending says
// nothing; one to what was not sent on the stream is an error.
func (q *queue) acked(o *outgoing, acks []ack) error {
	var calls []*call
	var recycle []*item
	q.mu.Lock()
	var err error
	for i := range acks {
		var c *call
		it := q.mu.items[acks[i].seq]
		if it == nil {
			continue
		}
		if c, err = q.ackLocked(o, it, &acks[i]); err != nil {
			break
		}
		if c != nil {
			calls = append(calls, c)
		}
		if it.gone {
			recycle = append(recycle, it)
		}
	}
	q.mu.Unlock()
	for _, it := range recycle {
		it.recycle()
	}
	for _, c := range calls {
		c.finish()
	}
	return err
}

func (q *queue) ackLocked(o *outgoing, it *item, a *ack) (*call, error) {
	if it.stream != o || it.busy {
		return nil, protocolf("answer to frame %d, which was not sent", a.seq)
	}
	if a.code != 0 {
		return q.settleLocked(it, &RefusedError{Code: a.code, Text: a.text}), nil
	}
	if n := len(a.rejected); n > 0 && a.rejected[n-1].Index >= elements(&it.frame) {
		return nil, protocolf("answer about sample %d of %d", a.rejected[n-1].Index, elements(&it.frame))
	}
	if it.answer(a.rejected) {
		return q.settleLocked(it, nil), nil
	}
	it.stream = nil
	q.mu.waiting = slices.Insert(q.mu.waiting, 0, it)
	q.signal()
	return nil, nil
}

// result names an outcome for the metrics.
func result(err error) string {
	switch {
	case err == nil:
		return resultTaken
	case errors.Is(err, ErrFull):
		return resultFull
	case errors.Is(err, ErrDown):
		return resultDown
	case errors.Is(err, ErrSlow):
		return resultSlow
	case errors.Is(err, ErrTimeout):
		return resultTimeout
	case errors.Is(err, ErrTooLarge):
		return resultLarge
	case errors.Is(err, ErrTries):
		return resultTries
	case errors.Is(err, ErrClosed):
		return resultClosed
	}
	return resultRefused
}
