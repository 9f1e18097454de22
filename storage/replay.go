package storage

import (
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

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
// stands for series of its own, then the frames in their order.
func (db *DB) replay(ms marks) (ReplayInfo, error) {
	var checkpoint errgroup.Group
	checkpoint.SetLimit(runtime.GOMAXPROCS(0))
	inCheckpoint := true
	var f frame.Frame
	info := ReplayInfo{}
	stats, err := db.wal.Replay(func(segment uint64, kind wal.Kind, payload []byte) error {
		switch kind {
		case wal.KindCheckpoint:
			record := append([]byte(nil), payload...)
			checkpoint.Go(func() error {
				if err := db.head.LoadCheckpoint(record, ms.keep(segment)); err != nil {
					db.metrics.undecodable.Inc()
				}
				return nil
			})
			return nil
		case KindFrame:
			if inCheckpoint {
				inCheckpoint = false
				_ = checkpoint.Wait()
			}
			f.Reset()
			err := frame.Decode(&f, payload)
			if err == nil {
				err = db.head.Replay(&f, ms.keep(segment))
			}
			if err != nil { // Its checksum held, yet it makes no sense: the rest still does.
				db.metrics.undecodable.Inc()
			}
			return nil
		}
		return fmt.Errorf("record of unknown kind %d in segment %d: written by a newer version", kind, segment)
	})
	_ = checkpoint.Wait()
	if err != nil {
		return info, err
	}
	db.maintenance.checkpointed = stats.Checkpoint
	info.Segments, info.Records, info.Damaged = stats.Segments, stats.Records, stats.Damaged
	info.Series = db.head.Stats().Series
	return info, nil
}
