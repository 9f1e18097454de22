package wal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A batch is the records that go to disk together. Append fills it under WAL.mu; once taken it
// belongs to the committer.
type batch struct {
	buf     []byte // open records
	records int
	waiting int           // calls of Wait so far
	done    chan struct{} // closed when err is final
	err     error
	// next has the records behind the first kept bytes, if they were put off.
	next *batch
	kept int
}

func newBatch(buf []byte) *batch { return &batch{buf: buf[:0], done: make(chan struct{})} }

func (b *batch) answer(err error) {
	b.err = err
	close(b.done)
}

// A Pos is the place of a record in the log. The zero Pos is before all records.
type Pos struct {
	batch *batch
	end   int // of the record in the batch
}

// spareBytes bounds the buffer that is kept for the next batch when a batch did not fill a quarter
// of it, so that a stall of the disk does not cost memory for ever.
const spareBytes = 4 << 20

// Enter announces an appender, who will call Append, Wait and then Leave: a sync waits for a moment
// for those that have entered. It blocks while the buffer is full, as Append would.
func (w *WAL) Enter() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.fitsLocked(nil) {
		if err := w.blockLocked(nil); err != nil {
			return err
		}
	}
	w.mu.writers++
	w.mu.crowd = max(w.mu.crowd, w.mu.writers)
	return nil
}

// Leave takes back an Enter that returned nil.
func (w *WAL) Leave() {
	w.mu.Lock()
	w.mu.writers--
	w.mu.Unlock()
}

// Append puts a record behind all that were appended before, and returns its place, for Wait. The
// payload may be reused afterwards; kinds 0 and KindCheckpoint are taken. It does no I/O and blocks
// only while the buffer is full, at most for Options.StallTimeout.
//
// If a record is acknowledged by Wait, all that were appended before it are in the log too, even
// those whose Wait returned ErrFull.
func (w *WAL) Append(kind Kind, payload []byte) (Pos, error) {
	if kind == kindEnd || kind == KindCheckpoint {
		panic(fmt.Sprintf("wal: kind %d is reserved", kind))
	}
	if len(payload) > w.opts.MaxRecordBytes {
		return Pos{}, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(payload), w.opts.MaxRecordBytes)
	}
	var header [recordHeaderLen]byte
	appendOpen(header[:0], kind, payload)

	w.mu.Lock()
	if !w.fitsLocked(payload) {
		if err := w.blockLocked(payload); err != nil {
			w.mu.Unlock()
			return Pos{}, err
		}
	}
	if err := w.refusalLocked(); err != nil {
		w.mu.Unlock()
		return Pos{}, err
	}
	b := w.mu.gather
	b.buf = append(append(b.buf, header[:]...), payload...)
	b.records++
	pos := Pos{b, len(b.buf)}
	first, ready := b.records == 1, w.readyLocked()
	w.mu.Unlock()
	if first {
		notify(w.wake)
	}
	if ready {
		notify(w.ready)
	}
	return pos, nil
}

// notify leaves a token in a channel with room for one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // Who receives has yet to look.
	}
}

// refusalLocked says why no record is taken.
func (w *WAL) refusalLocked() error {
	switch {
	case w.mu.err != nil:
		return w.mu.err
	case !w.mu.replayed:
		return errors.New("append to the write-ahead log before its replay")
	}
	return w.mu.full
}

func (w *WAL) fitsLocked(payload []byte) bool {
	buffered := len(w.mu.gather.buf)
	return buffered == 0 || buffered+recordHeaderLen+len(payload) <= w.opts.BufferBytes
}

// blockLocked waits until the payload fits, or there is a reason to refuse it.
func (w *WAL) blockLocked(payload []byte) error {
	w.metrics.blocked.Inc()
	timeout := time.NewTimer(w.opts.StallTimeout)
	defer timeout.Stop()
	for w.refusalLocked() == nil && !w.fitsLocked(payload) {
		room := w.mu.room
		w.mu.Unlock()
		stalled := false
		select {
		case <-room:
		case <-timeout.C:
			stalled = true
		}
		w.mu.Lock()
		if stalled {
			return fmt.Errorf("%w: %d bytes wait for %s", ErrStalled, len(w.mu.gather.buf), w.opts.StallTimeout)
		}
	}
	return nil
}

// Wait returns nil when the record is durable in the sense of Options.Sync, or the error that kept
// it from being so: ErrFull, after which it may yet appear in a replay, or ErrFailed. If ctx ends
// first, what becomes of the record is open.
func (w *WAL) Wait(ctx context.Context, pos Pos) error {
	if pos.batch == nil {
		return nil
	}
	if pos.answered() {
		return pos.batch.err
	}
	w.metrics.waiting.Inc()
	defer w.metrics.waiting.Dec()
	w.mu.Lock()
	for pos.moved() { // Before anybody waited for it.
	}
	pos.batch.waiting++
	ready := w.mu.gather == pos.batch && w.readyLocked()
	w.mu.Unlock()
	if ready {
		notify(w.ready)
	}
	for !pos.answered() {
		select {
		case <-pos.batch.done:
		case <-ctx.Done():
			return fmt.Errorf("wait for the write-ahead log: %w", context.Cause(ctx))
		}
	}
	return pos.batch.err
}

// takeLocked takes what was gathered, nil if nothing was, and lets blocked appenders look again.
func (w *WAL) takeLocked() *batch {
	close(w.mu.room)
	w.mu.room = make(chan struct{})
	b := w.mu.gather
	if b.records == 0 {
		return nil
	}
	w.mu.gather, w.mu.spare = newBatch(w.mu.spare), nil
	return b
}

// commit writes what is held and what was gathered, and answers those who wait. It needs the turn.
func (w *WAL) commit() error { return w.commitBatch(w.take()) }

// commitWorth is commit where what was gathered need not be written as a whole.
func (w *WAL) commitWorth() error { return w.commitBatch(w.takeWorth()) }

func (w *WAL) take() *batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.mu.err, ErrFailed) {
		return nil
	}
	return w.takeLocked()
}

// commitBatch is commit for what was taken, which may be nil.
func (w *WAL) commitBatch(b *batch) error {
	if err := w.ended(); err != nil {
		if b != nil {
			b.answer(err)
		}
		return err
	}
	err := w.release()
	if err == nil && b != nil {
		w.metrics.buffered.Set(float64(len(b.buf)))
		err = w.log.write(b.buf)
	}
	w.grow()
	switch {
	case errors.Is(err, ErrFull):
		w.hold(b, err)
	case err != nil:
		w.fail(b, err)
	case b != nil:
		w.metrics.records.Add(float64(b.records))
		w.metrics.buffered.Set(0)
		b.answer(nil)
		w.recycle(b)
	}
	return err
}

func (w *WAL) recycle(b *batch) {
	if cap(b.buf) > spareBytes && len(b.buf) < cap(b.buf)/4 {
		return
	}
	w.mu.Lock()
	w.mu.spare = b.buf
	w.mu.Unlock()
}

// hold keeps the records of b, and of what gathered meanwhile, until the disk has room. Append
// takes none until then, so that no more than two batches are ever held.
func (w *WAL) hold(b *batch, err error) {
	w.mu.Lock()
	first := w.mu.full == nil
	w.mu.full = err
	more := w.takeLocked()
	w.mu.Unlock()
	for _, b := range []*batch{b, more} {
		if b != nil {
			w.held = append(w.held, b.buf...)
			b.answer(err)
		}
	}
	w.metrics.buffered.Set(float64(len(w.held)))
	if !first {
		return
	}
	w.metrics.full.Set(1)
	if f := w.opts.Events.DiskFull; f != nil {
		f(err)
	}
}

// release writes what is held, if the disk was full, and takes records again if that works.
func (w *WAL) release() error {
	w.mu.Lock()
	full := w.mu.full != nil
	w.mu.Unlock()
	if !full {
		return nil
	}
	if err := w.log.write(w.held); err != nil {
		return err
	}
	w.held = nil
	w.mu.Lock()
	w.mu.full = nil
	w.mu.Unlock()
	w.metrics.full.Set(0)
	if f := w.opts.Events.DiskFree; f != nil {
		f()
	}
	return nil
}

// fail ends the log with err: b, what gathered meanwhile and all later calls get it.
func (w *WAL) fail(b *batch, err error) {
	w.mu.Lock()
	w.mu.err = err
	more := w.takeLocked()
	w.mu.Unlock()
	for _, b := range []*batch{b, more} {
		if b != nil {
			b.answer(err)
		}
	}
	close(w.failed)
	w.metrics.failed.Set(1)
	if f := w.opts.Events.Failed; f != nil {
		f(err)
	}
}

// end makes Append return ErrClosed.
func (w *WAL) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.err != nil {
		return
	}
	w.mu.err = ErrClosed
	close(w.mu.room)
	w.mu.room = make(chan struct{})
}

// grow brings the list of segments up to date.
func (w *WAL) grow() {
	seg := w.log.seg
	if seg == nil {
		return
	}
	w.mu.Lock()
	n := len(w.mu.segments)
	if n == 0 || w.mu.segments[n-1].number != seg.number {
		w.mu.segments = append(w.mu.segments, segment{number: seg.number})
		n++
	}
	w.mu.segments[n-1].bytes = seg.size
	w.mu.dirty = seg.synced < seg.size
	w.mu.Unlock()
	w.gauge()
}

// A Cut is the begin of a segment on its way; see BeginCut.
type Cut struct {
	wal   *WAL
	batch *batch
}

// BeginCut draws a line: what was appended before the call is in segments before the one that
// Finish begins, what is appended after the call returned is not. It waits for a sync that is under
// way, if at all. Finish must follow; nothing is written before.
func (w *WAL) BeginCut() *Cut {
	w.turn <- struct{}{}
	return &Cut{wal: w, batch: w.take()}
}

// Finish begins the segment and returns its number. All before it is on disk, in every mode. If the
// current segment is empty, it is the one.
func (c *Cut) Finish() (uint64, error) {
	w := c.wal
	defer func() { <-w.turn }()
	if w.closed {
		return 0, ErrClosed
	}
	if err := w.commitBatch(c.batch); err != nil {
		return 0, err
	}
	if w.log.seg == nil || w.log.seg.size > firstRecord {
		err := w.log.roll()
		if err != nil && !errors.Is(err, ErrFull) {
			w.fail(nil, err)
		}
		if err != nil {
			return 0, err
		}
		w.grow()
	}
	return w.log.seg.number, nil
}
