package wal

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Mode says when Wait returns, and so what an acknowledged record can survive.
type Mode uint8

// The modes.
const (
	// Batch: Wait returns when the record is synced to disk. Nothing acknowledged is ever lost.
	Batch Mode = iota
	// Interval: Wait returns when the operating system has the record. A crash of the process
	// loses nothing; power loss loses what was written since the last sync, at most about
	// Options.Interval.
	Interval
	// Off: as Interval, but nothing is synced before a segment ends, so power loss may lose what
	// the operating system has not written of a whole segment, commonly the last 30 s.
	Off
)

var modeNames = [...]string{Batch: "batch", Interval: "interval", Off: "off"}

// String is the mode's name in flags.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// ParseMode reads what String writes.
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames {
		if s == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("unknown wal sync mode %q: want batch, interval or off", s)
}

// Options of a WAL. The zero value works.
type Options struct {
	// Sync says when a record counts as durable; default Batch.
	Sync Mode
	// Interval between syncs in the mode Interval; default 100 ms: far below the age at which the
	// operating system would write by itself, and few enough syncs to cost nothing.
	Interval time.Duration
	// SegmentBytes begins a new segment; a segment may be larger by one batch. Default 64 MiB, at
	// most 1 GiB.
	SegmentBytes int64
	// FirstSegment is the least number a new segment gets; default 1. Whoever keeps segment
	// numbers outside of the log passes one above them, so that they stay true when the log's
	// directory is lost.
	FirstSegment uint64
	// MaxRecordBytes bounds a payload; default, and at most, 64 MiB.
	MaxRecordBytes int
	// BufferBytes bounds the records that wait for the disk. At the bound Append blocks. One
	// record is always taken, however large. Default 16 MiB: what a slow disk writes in 100 ms.
	BufferBytes int
	// StallTimeout bounds how long Append blocks, after which it returns ErrStalled; default 10 s.
	StallTimeout time.Duration

	// Events are told what happens; each may be nil.
	Events Events
	// Registerer takes the metrics; nil keeps none.
	Registerer prometheus.Registerer
}

// Events tell what the operator should know. They are called from the goroutine that found it,
// holding no lock, and must not call back.
type Events struct {
	// TornTail is called by Replay when the log ends in records that were being written at a
	// crash: unacknowledged, unless the disk lost what it had synced.
	TornTail func(TornTail)
	// Damaged is called once for each file with bytes that should be readable but are not.
	Damaged func(Damage)
	// DiskFull is called with the cause when the log stops taking records for lack of room.
	DiskFull func(err error)
	// DiskFree is called when it takes records again.
	DiskFree func()
	// Failed is called once, when the log is lost: see ErrFailed.
	Failed func(err error)
	// Checkpointed is called when a checkpoint has replaced what is before it.
	Checkpointed func(CheckpointInfo)
}

// TornTail says where the log was cut.
type TornTail struct {
	Segment uint64
	Offset  int64 // of the first byte cut
	Bytes   int64
}

// Damage says what of a file could not be read.
type Damage struct {
	Path   string
	Offset int64 // of the first bad byte
	Bytes  int64 // in all; 0 if the whole file is missing
	Holes  int   // runs of bad bytes
	Err    error // the first error of the disk; nil if the bytes came but were wrong
}

// String describes the damage in a line.
func (d Damage) String() string {
	s := fmt.Sprintf("%s: %d bytes in %d places unreadable, first at offset %d", d.Path, d.Bytes, d.Holes, d.Offset)
	if d.Err != nil {
		s += ": " + d.Err.Error()
	}
	return s
}

// CheckpointInfo describes a checkpoint.
type CheckpointInfo struct {
	Segment         uint64 // replay goes on with this one
	Records         int
	Bytes           int64
	SegmentsRemoved int
	Duration        time.Duration
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	setDefault(&o.Interval, 100*time.Millisecond)
	setDefault(&o.SegmentBytes, 64<<20)
	setDefault(&o.FirstSegment, 1)
	setDefault(&o.MaxRecordBytes, maxPayload)
	setDefault(&o.BufferBytes, 16<<20)
	setDefault(&o.StallTimeout, 10*time.Second)
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.Sync > Off:
		return fmt.Errorf("wal sync mode %d is unknown", o.Sync)
	case o.Interval < 0:
		return fmt.Errorf("wal interval %s is negative", o.Interval)
	case o.SegmentBytes < 0 || o.SegmentBytes > maxSegment:
		return fmt.Errorf("wal segment bytes %d are not within 0 and %d", o.SegmentBytes, maxSegment)
	case o.MaxRecordBytes < 0 || o.MaxRecordBytes > maxPayload:
		return fmt.Errorf("wal record bytes %d are not within 0 and %d", o.MaxRecordBytes, maxPayload)
	case o.BufferBytes < 0 || o.BufferBytes > maxSegment:
		return fmt.Errorf("wal buffer bytes %d are not within 0 and %d", o.BufferBytes, maxSegment)
	case o.StallTimeout < 0:
		return fmt.Errorf("wal stall timeout %s is negative", o.StallTimeout)
	}
	return nil
}
