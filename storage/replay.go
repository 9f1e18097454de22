package storage

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/wal"
)

// A mark says that samples before a time, in segments before a number, are in parts.
type mark struct {
	before  int64
	segment uint64
}

type marks []mark

// nextSegment is a number above that of every segment that was ever flushed from.
func (ms marks) nextSegment() uint64 {
	n := uint64(0)
	for _, m := range ms {
		n = max(n, m.segment)
	}
	return n + 1
}

// keep returns what a replay asks of each timestamp in a segment; nil keeps all.
func (ms marks) keep(segment uint64) func(t int64) bool {
	any, before := false, int64(0)
	for _, m := range ms {
		if segment < m.segment && (!any || m.before > before) {
			any, before = true, m.before
		}
	}
	if !any {
		return nil
	}
	return func(t int64) bool { return t >= before }
}

// replay reads the log into the head: the records of the checkpoint side by side, since each
// stands for series of its own, then the frames in their order. The log is read and decoded by one
// goroutine, and the samples are put in by others.
func (db *DB) replay(ms marks) (ReplayInfo, error) {
	checkpoint, inCheckpoint := db.newLoading(), true
	decoder := frame.NewDecoder()
	frames := db.head.NewReplay(runtime.GOMAXPROCS(0))
	info := ReplayInfo{}
	stats, err := db.wal.Replay(func(segment uint64, kind wal.Kind, payload []byte) error {
		switch kind {
		case wal.KindCheckpoint:
			checkpoint.record(payload, ms.keep(segment))
			return nil
		case KindFrame:
			if inCheckpoint {
				inCheckpoint = false
				checkpoint.wait()
			}
			err := frames.Frame(func(f *frame.Frame) error { return decoder.Decode(f, payload) }, ms.keep(segment))
			switch {
			case errors.Is(err, frame.ErrLost):
				db.metrics.lost.Inc()
				if info.Lost++; info.Lost == 1 {
					info.LostFrom = segment
				}
			case err != nil: // Its checksum held, yet it makes no sense: the rest still does.
				db.metrics.undecodable.Inc()
			}
			return nil
		}
		return fmt.Errorf("record of unknown kind %d in segment %d: written by a newer version", kind, segment)
	})
	checkpoint.wait()
	frames.Close()
	if err != nil {
		return info, err
	}
	db.maintenance.checkpointed = stats.Checkpoint
	info.Segments, info.Records, info.Damaged = stats.Segments, stats.Records, stats.Damaged
	info.Series = db.head.Stats().Series
	return info, nil
}
