package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// side is what a node has in a connection.
type side int

const (
	dialling side = iota
	accepting
)

var sideNames = [2]string{"dial", "accept"}

// loss is how a connection ended before both sides wanted it.
type loss int

const (
	notLost loss = iota
	lostSilent
	lostStalled
	lostBroken
	lostProtocol
	numLosses
)

var lossNames = [numLosses]string{"", "silent", "stalled", "broken", "protocol"}

// link is one end of a connection that carries streams.
type link struct {
	t      *Transport
	conn   *conn
	side   side
	class  Class
	peer   Identity
	window int // credit that the peer gives to a new stream

	done   chan struct{}  // closed when the link has ended
	dead   atomic.Bool    // the same, for who only looks
	ending atomic.Bool    // this node serves what has arrived and nothing more
	wg     sync.WaitGroup // the writer, the keeper and the handlers

	mu struct {
		sync.Mutex
		streams map[uint64]*stream
		last    uint64 // the newest stream's number
		retired bool   // opens no more streams, and ends with the last
		err     *Error // how the link ended
	}
	out outbound
}

var errRetired = &Error{Unavailable, "the connection has ended"}

func (t *Transport) newLink(c *conn, s side, class Class, peer Identity, window uint32) *link {
	l := &link{t: t, conn: c, side: s, class: class, peer: peer, window: int(window), done: make(chan struct{})}
	l.mu.streams = map[uint64]*stream{}
	l.out.init()
	return l
}

// run serves the link until it has ended, and everything of it.
func (l *link) run() {
	gauge := l.t.metrics.links[l.side][l.class]
	gauge.Inc()
	defer gauge.Dec()
	l.wg.Go(l.writer)
	l.wg.Go(l.keep)
	l.broke(l.read())
	l.wg.Wait()
}

// broke ends the link of a connection that has. If nobody used it, nothing is lost.
func (l *link) broke(err error) {
	switch {
	case l.out.overflown():
		l.fail(lostStalled, errorf(Unavailable, "%s: more than %d bytes wait for it", l.peer, outMost))
	case l.ending.Load() || l.atRest():
		l.fail(notLost, errRetired)
	default:
		l.fail(lostBroken, errorf(Unavailable, "%s: connection lost: %v", l.peer, err))
	}
}

// fail ends the link and all its streams, once.
func (l *link) fail(why loss, err *Error) {
	l.mu.Lock()
	if l.mu.err != nil {
		l.mu.Unlock()
		return
	}
	l.mu.err = err
	streams := l.mu.streams
	l.mu.streams = nil
	l.mu.Unlock()
	if why != notLost {
		l.t.metrics.lost[why].Inc()
		l.t.opts.Logger.Warn("connection lost", "peer", l.peer.String(), "class", l.class.String(), "streams", len(streams), "err", err.Text)
	}
	l.dead.Store(true)
	close(l.done)
	_ = l.conn.Close()
	for _, s := range streams {
		s.fail(err)
	}
}

// violated ends the link of a peer that breaks the protocol.
func (l *link) violated(err error) error {
	l.fail(lostProtocol, errorf(Unavailable, "%s breaks the protocol: %v", l.peer, err))
	return err
}

// retire lets no new stream begin. The link ends with its last stream, at once if there is none.
func (l *link) retire() {
	l.mu.Lock()
	l.mu.retired = true
	over := len(l.mu.streams) == 0
	l.mu.Unlock()
	if over {
		l.fail(notLost, errRetired)
	}
}

// spent says that the link takes no new streams.
func (l *link) spent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.retired || l.mu.err != nil
}

func (l *link) atRest() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.streams) == 0
}

// end tells the other node that no more streams are to be begun, and those at rest that they are
// over.
func (l *link) end() {
	l.ending.Store(true)
	l.mu.Lock()
	for _, s := range l.mu.streams {
		notify(s.readable)
	}
	l.mu.Unlock()
	l.push(kindBye, 0, nil, writeLater)
}

// open begins a stream. The frame that says so goes with the first thing that is sent.
func (l *link) open(ctx context.Context, m *method) (*stream, error) {
	deadline, bounded := ctx.Deadline()
	if ctx.Err() != nil {
		return nil, contextError(ctx)
	}
	s := newStream(l, m)
	s.ctx = ctx
	l.mu.Lock()
	var err *Error
	switch {
	case l.mu.err != nil || l.mu.retired:
		err = errRetired
	case len(l.mu.streams) >= l.t.opts.MaxStreams:
		l.t.metrics.limits[limitStreams].Inc()
		err = errorf(Exhausted, "%d streams are open to %s", len(l.mu.streams), l.peer)
	}
	if err != nil {
		l.mu.Unlock()
		return nil, err
	}
	l.mu.last++
	s.id = l.mu.last
	l.mu.streams[s.id] = s
	// The numbers go out in their order, hence under the lock; nothing is written here.
	l.push(kindOpen, s.id, appendOpen(nil, time.Until(deadline), bounded, m.Name), writeWithNext)
	l.mu.Unlock()
	s.callUnder()
	return s, nil
}

// forget takes a stream off the link.
func (l *link) forget(s *stream) {
	l.mu.Lock()
	delete(l.mu.streams, s.id)
	over := l.mu.retired && len(l.mu.streams) == 0
	l.mu.Unlock()
	if over {
		l.fail(notLost, errRetired)
	}
}

// find returns the stream with this number, nil if it is over. A number that was never given is a
// violation.
func (l *link) find(id uint64) (*stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id == 0 || id > l.mu.last {
		return nil, fmt.Errorf("stream %d, where the last is %d", id, l.mu.last)
	}
	return l.mu.streams[id], nil
}

// read reads frames until the connection ends. It waits for nothing else.
func (l *link) read() error {
	from := bufio.NewReaderSize(l.conn, 32<<10)
	var head [headerLen]byte
	var body []byte
	for {
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return err
		}
		h, err := decodeHeader(&head)
		if err != nil {
			return l.violated(err)
		}
		if uint32(cap(body)) < h.length {
			body = make([]byte, max(512, 1<<bits.Len32(h.length)))
		}
		body = body[:h.length]
		if _, err := io.ReadFull(from, body); err != nil {
			return fmt.Errorf("within a frame: %w", io.ErrUnexpectedEOF)
		}
		if err := l.take(h, body); err != nil {
			return l.violated(err)
		}
	}
}

// take does what a frame says.
func (l *link) take(h header, body []byte) error {
	switch h.kind {
	case kindPing:
		l.push(kindPong, 0, nil, writeLater)
		return nil
	case kindPong:
		return nil
	case kindPart, kindLast, kindCredit:
	case kindOpen:
		if l.side == accepting {
			return l.accept(h.stream, body)
		}
		return errFrame
	case kindBye:
		if l.side == dialling {
			l.retire()
			return nil
		}
		return errFrame
	default:
		if (h.kind == kindStatus) != (l.side == dialling) {
			return errFrame
		}
	}
	s, err := l.find(h.stream)
	if err != nil || s == nil {
		return err // What comes for a stream that is over is dropped.
	}
	switch h.kind {
	case kindPart, kindLast:
		return s.arrived(h.kind == kindLast, body)
	case kindEnd:
		return s.endArrived()
	case kindCredit:
		n, err := decodeCredit(body)
		if err != nil {
			return err
		}
		return s.credited(n)
	case kindStatus:
		status, err := decodeStatus(body)
		if err != nil {
			return err
		}
		s.statusArrived(status)
	case kindCancel:
		reason, err := decodeStatus(body)
		if err != nil {
			return err
		}
		s.canceled(reason)
	}
	return nil
}

// accept begins to serve a request, or says why not.
func (l *link) accept(id uint64, body []byte) error {
	left, bounded, name, err := decodeOpen(body)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if id <= l.mu.last {
		return fmt.Errorf("stream %d again, where the last is %d", id, l.mu.last)
	}
	l.mu.last = id
	if l.mu.err != nil {
		return nil
	}
	m, refused := l.admit(string(name), len(l.mu.streams))
	if refused != nil {
		l.push(kindStatus, id, appendStatus(nil, refused), writeLater)
		return nil
	}
	s := newStream(l, m)
	s.id = id
	s.serveUnder(left, bounded)
	l.mu.streams[id] = s
	l.wg.Go(func() { l.serve(s) })
	return nil
}

// admit counts a request in, unless a limit is reached. Otherwise serve counts it out.
func (l *link) admit(name string, streams int) (*method, *Error) {
	m := l.t.methods[name]
	switch {
	case l.ending.Load():
		return nil, errorf(Unavailable, "%s is about to end", l.t.opts.Identity)
	case m == nil:
		return nil, errorf(NotFound, "%s has no method %q", l.t.opts.Identity, name)
	case m.Class != l.class:
		return nil, errorf(Invalid, "%s is %s, and not %s", name, m.Class, l.class)
	case streams >= l.t.opts.MaxStreams:
		l.t.metrics.limits[limitStreams].Inc()
		return nil, errorf(Exhausted, "%d requests of one connection are being served", streams)
	case l.t.running.Add(1) > int64(l.t.opts.MaxRequests):
		l.t.running.Add(-1)
		l.t.metrics.limits[limitRequests].Inc()
		return nil, errorf(Exhausted, "%d requests are being served", l.t.opts.MaxRequests)
	}
	l.t.metrics.running.Inc()
	return m, nil
}

// serve runs the handler of a request and says how it ended.
func (l *link) serve(s *stream) {
	var status *Error
	if err := l.t.call(s.method, l.peer, s); err != nil {
		status = asError(err)
	}
	told := s.finish()
	l.t.running.Add(-1)
	l.t.metrics.running.Dec()
	l.t.metrics.ended(accepting, s.method.Name, codeOf(status))
	l.forget(s) // First: who hears of the end may open the next.
	if told {
		l.push(kindStatus, s.id, appendStatus(nil, status), writeNow)
	}
}

// keep asks a silent peer to say something, and ends a link of which nothing is heard, that takes
// nothing in, or that was idle for long.
func (l *link) keep() {
	const missed = 3 // in a row; the first of four quarters is when it may have been heard last
	period := l.t.opts.KeepAlive / (missed + 1)
	ticker := time.NewTicker(max(period, time.Millisecond))
	defer ticker.Stop()
	var reads, rounds uint64
	var silent, stalled int
	var idle time.Duration
	for {
		select {
		case <-ticker.C:
		case <-l.done:
			return
		}
		if n := l.conn.reads.Load(); n != reads {
			reads, silent = n, 0
		} else {
			silent++
		}
		writing, n := l.out.progress()
		if n != rounds || !writing {
			rounds, stalled = n, 0
		} else {
			stalled++
		}
		idle += period
		if !l.atRest() {
			idle = 0
		}
		switch {
		case silent >= missed:
			l.fail(lostSilent, errorf(Unavailable, "%s: nothing heard for %v", l.peer, l.t.opts.KeepAlive))
		case stalled >= missed:
			l.fail(lostStalled, errorf(Unavailable, "%s: it took nothing in for %v", l.peer, l.t.opts.KeepAlive))
		case l.side == dialling && idle >= l.t.opts.Idle:
			l.retire()
		case silent > 0:
			l.push(kindPing, 0, nil, writeLater)
		}
	}
}

// credit lets the peer send more on a stream.
func (l *link) credit(s *stream, n int) {
	var body [4]byte
	binary.LittleEndian.PutUint32(body[:], uint32(n))
	l.push(kindCredit, s.id, body[:], writeNow)
}
