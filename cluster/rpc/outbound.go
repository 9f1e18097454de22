package rpc

import "sync"

const (
	// outHigh is how much may wait to be written before senders wait, in bytes.
	outHigh = 128 << 10
	// outMost bounds what waits, with the frames that can't wait: a peer that makes a node say so
	// much, and takes nothing in, is given up.
	outMost = 2 << 20
	// outKeep is the largest buffer that is kept.
	outKeep = outHigh + 2*maxPart
)

// outbound is what waits to be written, and whose turn it is to write: writing is set by who takes
// the turn, and only he hands it on or gives it up.
type outbound struct {
	sync.Mutex
	buf, spare []byte
	writing    bool
	rounds     uint64        // writes that have ended
	room       chan struct{} // closed when there is room again; nil if nobody waits for it
	kicked     chan struct{} // the turn is the writer's
}

func (o *outbound) init() { o.kicked = make(chan struct{}, 1) }

// overflown says that frames that can't wait were dropped.
func (o *outbound) overflown() bool {
	o.Lock()
	defer o.Unlock()
	return len(o.buf) > outMost
}

// progress says whether somebody writes, and which round it is.
func (o *outbound) progress() (writing bool, round uint64) {
	o.Lock()
	defer o.Unlock()
	return o.writing, o.rounds
}

// kickLocked gives the turn to the writer.
func (o *outbound) kickLocked() {
	o.writing = true
	o.kicked <- struct{}{} // There is one turn, so there is room.
}

// when says who writes a frame.
type when int

const (
	writeWithNext when = iota // nobody, until there is more
	writeNow                  // who has it, if it is nobody's turn: it may take as long as the peer
	writeLater                // the writer
)

// push adds a frame that must not wait for room: there is little of its kind. If it is too much
// all the same, the connection breaks.
func (l *link) push(kind byte, id uint64, body []byte, w when) {
	o := &l.out
	o.Lock()
	defer o.Unlock()
	if l.dead.Load() {
		return
	}
	if len(o.buf) > outMost {
		_ = l.conn.Close()
		return
	}
	o.buf = appendFrame(o.buf, kind, id, body)
	switch {
	case o.writing:
	case w == writeNow:
		l.roundLocked()
	case w == writeLater:
		o.kickLocked()
	}
}

// send adds a part of a message once there is room, and writes it unless it is to go with what
// comes next.
func (l *link) send(s *stream, kind byte, body []byte, w when) error {
	o := &l.out
	o.Lock()
	for len(o.buf) >= outHigh {
		if !o.writing {
			l.roundLocked()
			continue
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.Unlock()
		if err := s.waitFor(room); err != nil {
			return err
		}
		o.Lock()
	}
	o.buf = appendFrame(o.buf, kind, s.id, body)
	if w == writeNow && !o.writing {
		l.roundLocked()
	}
	o.Unlock()
	if l.dead.Load() {
		return s.failure()
	}
	return nil
}

// flush writes what waits, if it is nobody's turn.
func (l *link) flush() {
	l.out.Lock()
	if len(l.out.buf) > 0 && !l.out.writing {
		l.roundLocked()
	}
	l.out.Unlock()
}

// roundLocked takes the turn for one write. What has come meanwhile is left to the writer, so that
// nobody writes for others for ever.
func (l *link) roundLocked() {
	l.out.writing = true
	l.writeLocked()
	if len(l.out.buf) > 0 {
		l.out.kickLocked()
	} else {
		l.out.writing = false
	}
}

// writeLocked writes what waits, without the lock.
func (l *link) writeLocked() {
	o := &l.out
	buf := o.buf
	o.buf, o.spare = o.spare[:0], nil
	o.Unlock()
	if _, err := l.conn.Write(buf); err != nil {
		l.broke(err)
	}
	o.Lock()
	if cap(buf) <= outKeep {
		o.spare = buf
	}
	o.rounds++
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// writer takes the turn when nobody else may.
func (l *link) writer() {
	for {
		select {
		case <-l.out.kicked:
		case <-l.done:
			return
		}
		l.out.Lock()
		for len(l.out.buf) > 0 && !l.dead.Load() {
			l.writeLocked()
		}
		l.out.writing = false
		l.out.Unlock()
	}
}
