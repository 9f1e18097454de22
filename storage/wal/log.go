package wal

import (
	"fmt"
	"time"
)

// A log is the chain of segments, seen from its growing end. It belongs to whoever holds the turn.
type log struct {
	dir          directory
	mode         Mode
	segmentBytes int64
	metrics      *metrics

	seg  *writer // nil: the next write begins a segment
	last link    // the end of the segment before seg
	next uint64  // the number of the segment after seg

	// suspect: a write to seg went wrong, so what is behind its end is unknown. Nothing may be
	// written there any more.
	suspect bool
	piece   []byte
}

// write adds the open records in buf, to a new segment if this one is full or suspect, and syncs
// them if the mode wants it. The error is ErrFull or ErrFailed.
func (l *log) write(buf []byte) error {
	full := l.seg != nil && l.seg.size > firstRecord && l.seg.size+int64(len(buf)) > l.segmentBytes
	if l.seg == nil || l.suspect || full {
		if err := l.roll(); err != nil {
			return err
		}
	}
	if l.mode == Batch {
		buf = pad(buf, l.seg.size)
	}
	if err := l.seg.write(buf); err != nil {
		l.suspect = true
		return mark(fmt.Errorf("write segment %d: %w", l.seg.number, err))
	}
	l.metrics.bytes.Add(float64(len(buf)))
	if l.mode != Batch {
		return nil
	}
	return l.sync()
}

// pageBytes is what a disk writes at once.
const pageBytes = 4096

var zeros [pageBytes]byte

// pad appends a record that fills the page in which buf, written at an offset, ends. What follows
// then begins a page, and no sync writes one that an earlier sync wrote. It does not where that would
// take more room than the records themselves, as with a lone writer of small ones.
func pad(buf []byte, offset int64) []byte {
	n := -int((offset + int64(len(buf))) % pageBytes)
	if n += pageBytes; n < recordHeaderLen || n > len(buf) || n == pageBytes {
		return buf
	}
	payload := zeros[:n-recordHeaderLen]
	return append(appendOpen(buf, kindPad, payload), payload...)
}

// sync makes all that was written durable. A sync is not tried again: after it failed the
// operating system may say that bytes are on disk which never got there.
func (l *log) sync() error {
	if l.seg == nil || l.seg.synced == l.seg.size {
		return nil
	}
	begin := time.Now()
	if err := l.seg.sync(); err != nil {
		return failed(fmt.Errorf("sync segment %d: %w", l.seg.number, err))
	}
	l.metrics.syncs.Observe(time.Since(begin).Seconds())
	return nil
}

// finish ends the segment: all in it is on disk.
func (l *log) finish() error {
	if l.seg == nil {
		return nil
	}
	if err := l.sync(); err != nil {
		return err
	}
	l.last, l.piece = l.seg.end(), l.seg.piece
	err := l.seg.file.Close()
	l.seg, l.suspect = nil, false
	if err != nil {
		return failed(fmt.Errorf("close segment %d: %w", l.last.number, err))
	}
	return nil
}

// roll begins a new segment. Its header and its name are on disk before any record is, so that a
// file without a header never held a record.
func (l *log) roll() error {
	if err := l.finish(); err != nil {
		return err
	}
	h := fileHeader{kind: segmentFile, number: l.next, prev: l.last}
	seg, err := create(l.dir.fs, l.dir.segment(h.number), h, l.piece)
	if err != nil {
		return mark(fmt.Errorf("create segment %d: %w", h.number, err))
	}
	l.seg, l.next = seg, l.next+1
	if err := l.sync(); err != nil {
		return err
	}
	if err := l.dir.sync(); err != nil {
		return failed(fmt.Errorf("sync directory of segment %d: %w", h.number, err))
	}
	return nil
}

// abandon closes the segment as it is.
func (l *log) abandon() {
	if l.seg != nil {
		_ = l.seg.file.Close()
		l.seg = nil
	}
}
