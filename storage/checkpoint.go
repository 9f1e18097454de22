package storage

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/barograph-db/barograph/storage/head"
)

// A record of a checkpoint is one of the head's, as a zstd frame. Labels make most of it after a
// flush, and shrink to a tenth.
var (
	packer = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // Only over options.
		}
		return e
	})
	unpacker = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxUnpacked))
		if err != nil {
			panic(err) // Only over options.
		}
		return d
	})
)

// maxUnpacked bounds a record of the head, which is longer than head.MaxRecordBytes only where one
// chunk or frame alone is.
const maxUnpacked = 64 * head.MaxRecordBytes

// UnpackCheckpoint appends to dst the head's record that a record of a checkpoint is.
func UnpackCheckpoint(dst, packed []byte) ([]byte, error) { return unpacker().DecodeAll(packed, dst) }

// cut begins a new segment of the log; all records before it are in the head.
func (db *DB) cut() (uint64, error) {
	db.barrier.Lock()
	cut := db.wal.BeginCut()
	db.encoder.Forget() // What follows must be readable without what is before.
	db.barrier.Unlock()
	segment, err := cut.Finish()
	if err != nil {
		return 0, fmt.Errorf("cut log: %w", db.writeError(err))
	}
	return segment, nil
}

// line is where the log was cut when a slot ended, ten minutes before it is flushed. What comes of
// the next slot is in the log from there on, so that the checkpoint after the flush need not repeat it.
type line struct {
	before  int64 // the end of the slot
	segment uint64
}

// drawLine ends what the log has of the slots before a time, but for what comes late.
func (db *DB) drawLine(before int64) error {
	segment, err := db.cut()
	if err != nil {
		return err
	}
	db.head.DrawLine(before)
	db.maintenance.line = line{before: before, segment: segment}
	return nil
}

// checkpointLocked writes the head beside the log and lets the log before it go.
func (db *DB) checkpointLocked() error {
	segment, err := db.cut()
	if err != nil {
		return err
	}
	return db.checkpoint(segment, db.head.Checkpoint)
}

// checkpointFromLine is checkpointLocked after the flush of what is before the line.
func (db *DB) checkpointFromLine() error {
	l := db.maintenance.line
	db.maintenance.line = line{}
	return db.checkpoint(l.segment, db.head.CheckpointFromLine)
}

// checkpoint writes the records that stand for the log before a segment.
func (db *DB) checkpoint(segment uint64, records func(emit func([]byte) error) error) error {
	size := int64(0)
	var packed []byte
	err := db.wal.Checkpoint(segment, func(emit func([]byte) error) error {
		return records(func(record []byte) error {
			packed = packer().EncodeAll(record, packed[:0])
			size += int64(len(packed))
			return emit(packed)
		})
	})
	if err != nil {
		return fmt.Errorf("checkpoint at segment %d: %w", segment, err)
	}
	db.maintenance.lastCheckpoint, db.maintenance.checkpointed = size, segment
	return nil
}

// loading takes the records of a checkpoint in side by side, since each stands for series of its own.
type loading struct {
	db      *DB
	group   errgroup.Group
	buffers chan *buffers
}

type buffers struct{ packed, record []byte }

func (db *DB) newLoading() *loading {
	l := &loading{db: db, buffers: make(chan *buffers, runtime.GOMAXPROCS(0))}
	for range cap(l.buffers) {
		l.buffers <- &buffers{}
	}
	return l
}

// record loads a record, which it copies.
func (l *loading) record(packed []byte, keep func(t int64) bool) {
	b := <-l.buffers
	b.packed = append(b.packed[:0], packed...)
	l.group.Go(func() (err error) {
		b.record, err = UnpackCheckpoint(b.record[:0], b.packed)
		if err == nil {
			err = l.db.head.LoadCheckpoint(b.record, keep)
		}
		if err != nil {
			l.db.metrics.undecodable.Inc()
		}
		l.buffers <- b
		return nil
	})
}

func (l *loading) wait() { _ = l.group.Wait() }
