package wal

import (
	"context"
	"errors"
	"time"
)

// fullRetry is how often a full disk is tried. A try costs a file created and removed.
const fullRetry = 100 * time.Millisecond

// A sync takes along all who are at work: it waits until as many as lately were at work at once
// wait for it, but no longer than gatherTime, and not once gatherBytes are there. A lone writer is
// never held up. Of records of 2 KB and with
// 4 writers, a sync takes 4.0 records instead of the 3.5 that come by themselves, the median wait is
// 0.3 ms and the disk writes 2.1 KB for each (BenchmarkCommit).
const (
	gatherTime  = 5 * time.Millisecond
	gatherBytes = 256 << 10
)

// Run commits what is appended until ctx ends and all of it is on disk, or the log fails: then it
// returns the error. After it, Append returns ErrClosed.
func (w *WAL) Run(ctx context.Context) error {
	var later <-chan time.Time // nil: nothing is due
	for {
		select {
		case <-ctx.Done():
			return w.drain()
		case <-w.failed:
			return w.ended()
		case <-w.wake:
			if w.opts.Sync != Batch {
				w.withTurn(w.commit)
				break
			}
			w.gatherMore(ctx)
			w.withTurn(w.commitWorth)
		case <-later:
			later = nil
			w.withTurn(w.due)
		}
		if d := w.delay(); later == nil && d > 0 {
			later = time.After(d)
		}
	}
}

// gatherMore waits until the batch is worth a sync.
func (w *WAL) gatherMore(ctx context.Context) {
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	for !w.isReady() {
		select {
		case <-w.ready: // Perhaps of the batch before.
		case <-timer.C:
			w.mu.Lock()
			w.mu.crowd = w.mu.gather.waiting
			w.mu.Unlock()
			return
		case <-ctx.Done():
			return
		}
	}
}

func (w *WAL) isReady() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.readyLocked()
}

// readyLocked reports whether nobody is worth waiting for. Records without anybody who waits, such
// as definitions of series, go along with what follows.
func (w *WAL) readyLocked() bool {
	b := w.mu.gather
	return b.records == 0 || b.waiting >= max(w.mu.crowd, 1) || len(b.buf) >= gatherBytes ||
		w.mu.full != nil || w.mu.err != nil
}

// withTurn does what needs the turn. An error has been dealt with: it is ErrFull, and those who
// waited know, or ErrFailed, and w.failed is closed.
func (w *WAL) withTurn(do func() error) {
	w.turn <- struct{}{}
	_ = do()
	<-w.turn
}

// delay is the time until something is due that no appender asks for; 0 is never.
func (w *WAL) delay() time.Duration {
	w.mu.Lock()
	full, dirty := w.mu.full != nil, w.mu.dirty
	w.mu.Unlock()
	switch {
	case full:
		return fullRetry
	case dirty && w.opts.Sync == Interval:
		return w.opts.Interval
	}
	return 0
}

// due does it: try a disk that was full, or sync what was written since the last time.
func (w *WAL) due() error {
	if err := w.commit(); err != nil || w.opts.Sync != Interval {
		return err
	}
	return w.sync()
}

// sync makes all that was written durable. It needs the turn.
func (w *WAL) sync() error {
	err := w.log.sync()
	if err != nil {
		w.fail(nil, err)
	}
	w.grow()
	return err
}

// drain takes no more records and brings those that were taken to disk.
func (w *WAL) drain() error {
	w.end()
	w.withTurn(func() error {
		if err := w.commit(); err != nil {
			return err
		}
		return w.sync()
	})
	return w.ended()
}

// ended is the error the log came to its end with; nil if in peace.
func (w *WAL) ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.mu.err, ErrFailed) {
		return w.mu.err
	}
	return nil
}

// Close brings what was appended to disk and releases the files. Later calls return ErrClosed. A
// full disk is no error: whoever waited was told.
func (w *WAL) Close() error {
	w.end()
	w.withTurn(func() error {
		if w.closed {
			return nil
		}
		w.closed = true
		defer func() { _ = w.dir.file.Close() }()
		if err := w.commit(); errors.Is(err, ErrFailed) {
			w.log.abandon()
			return err
		}
		if err := w.log.finish(); err != nil {
			w.fail(nil, err)
			return err
		}
		return nil
	})
	return w.ended()
}
