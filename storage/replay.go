package storage

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

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
	checkpoint := db.newLoading()
	var frames *unpacking
	stats, err := db.wal.Replay(func(segment uint64, kind wal.Kind, payload []byte) error {
		switch kind {
		case wal.KindCheckpoint:
			checkpoint.record(payload, ms.keep(segment))
			return nil
		case KindFrame:
			if frames == nil {
				checkpoint.wait()
				frames = db.newUnpacking()
			}
			frames.record(segment, payload, ms.keep(segment))
			return nil
		}
		return fmt.Errorf("record of unknown kind %d in segment %d: written by a newer version", kind, segment)
	})
	checkpoint.wait()
	info := ReplayInfo{}
	if frames != nil {
		info.Lost, info.LostFrom = frames.close()
	}
	if err != nil {
		return info, err
	}
	db.maintenance.checkpointed = stats.Checkpoint
	info.Segments, info.Records, info.Damaged = stats.Segments, stats.Records, stats.Damaged
	info.Series = db.head.Stats().Series
	return info, nil
}

// unpacking is the way of a log's frames into the head. Who reads the log copies each; what of it
// needs none before it is decoded by several goroutines, the rest by one that takes them in their
// order and hands the samples on to the head's own workers.
type unpacking struct {
	db            *DB
	free          chan *packed
	work, ordered chan *packed
	running       sync.WaitGroup

	lost     int
	lostFrom uint64
}

// packed is a frame on its way.
type packed struct {
	segment uint64
	payload []byte
	keep    func(t int64) bool
	frame   frame.Frame
	halfway frame.Unpacked
	err     error
	done    chan struct{}
}

// packedPerWorker bounds the frames that are under way.
const packedPerWorker = 4

func (db *DB) newUnpacking() *unpacking {
	workers := runtime.GOMAXPROCS(0)
	n := packedPerWorker * workers
	u := &unpacking{
		db: db, free: make(chan *packed, n), work: make(chan *packed, n), ordered: make(chan *packed, n),
	}
	for range n {
		u.free <- &packed{done: make(chan struct{}, 1)}
	}
	for range workers {
		u.running.Go(func() {
			for p := range u.work {
				p.err = p.halfway.Unpack(&p.frame, p.payload)
				p.done <- struct{}{}
			}
		})
	}
	u.running.Go(u.complete)
	return u
}

// record passes a frame on, of which it makes a copy.
func (u *unpacking) record(segment uint64, payload []byte, keep func(t int64) bool) {
	p := <-u.free
	p.segment, p.keep = segment, keep
	p.payload = append(p.payload[:0], payload...)
	u.ordered <- p
	u.work <- p
}

// complete takes the frames in their order.
func (u *unpacking) complete() {
	decoder := frame.NewDecoder()
	frames := u.db.head.NewReplay(runtime.GOMAXPROCS(0))
	defer frames.Close()
	for p := range u.ordered {
		<-p.done
		err := p.err
		if err == nil {
			err = frames.Frame(func(f *frame.Frame) error {
				err := decoder.Complete(&p.halfway)
				*f, p.frame = p.frame, *f
				return err
			}, p.keep)
		}
		switch {
		case errors.Is(err, frame.ErrLost):
			u.db.metrics.lost.Inc()
			if u.lost++; u.lost == 1 {
				u.lostFrom = p.segment
			}
		case err != nil: // Its checksum held, yet it makes no sense: the rest still does.
			u.db.metrics.undecodable.Inc()
		}
		u.free <- p
	}
}

// close waits until all frames are in the head, and says how many could not be decoded since others
// are missing, and in which segment the first was.
func (u *unpacking) close() (lost int, from uint64) {
	close(u.work)
	close(u.ordered)
	u.running.Wait()
	return u.lost, u.lostFrom
}
