package wal

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A WAL is a write-ahead log in a directory. Its methods may be called concurrently, but Replay,
// which comes first.
type WAL struct {
	dir     directory
	opts    Options
	metrics *metrics

	// turn holds one token: the right to write, and with it log and held. A channel rather than a
	// mutex, since it is kept over writes and syncs.
	turn chan struct{}
	log  log
	// held are records that Append took and a full disk did not. Their waiters were told, but
	// later records may build on them, so they are written first when there is room again.
	held   []byte
	closed bool

	wake   chan struct{} // a batch has its first record
	ready  chan struct{} // the batch may be worth a sync now
	failed chan struct{} // closed when the log is lost

	// checkpointing holds the right to write and remove checkpoints.
	checkpointing chan struct{}

	mu struct {
		sync.Mutex
		gather   *batch        // where Append puts records
		spare    []byte        // the buffer of a batch that is done
		room     chan struct{} // closed when gather is taken
		full     error         // ErrFull while the disk is
		err      error         // ErrFailed or ErrClosed: the end
		replayed bool
		writers  int       // who have entered
		crowd    int       // how many of them there lately were at once
		dirty    bool      // not all that was written is on disk
		segments []segment // what a replay would read, in order
	}

	found found // what Open saw; for Replay
}

// A segment is a file that a replay would read.
type segment struct {
	number uint64
	bytes  int64
}

// Open looks through the directory, which it creates if need be, and removes what a crash left
// behind there. It starts nothing. Replay must be called next.
func Open(fs vfs.FS, dir string, opts Options) (*WAL, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	w := &WAL{
		opts:          opts,
		turn:          make(chan struct{}, 1),
		wake:          make(chan struct{}, 1),
		ready:         make(chan struct{}, 1),
		failed:        make(chan struct{}),
		checkpointing: make(chan struct{}, 1),
	}
	w.mu.gather, w.mu.room = newBatch(nil), make(chan struct{})
	var err error
	if w.dir, err = openDirectory(fs, dir); err != nil {
		return nil, fmt.Errorf("open directory of write-ahead log: %w", err)
	}
	if w.found, err = find(w.dir); err != nil {
		return nil, fmt.Errorf("open write-ahead log: %w", errors.Join(err, w.dir.file.Close()))
	}
	for _, f := range w.found.segments {
		w.mu.segments = append(w.mu.segments, segment{f.number, f.size})
	}
	w.metrics = newMetrics(opts.Registerer)
	w.log = log{
		dir: w.dir, mode: opts.Sync, segmentBytes: opts.SegmentBytes, metrics: w.metrics,
		next: max(opts.FirstSegment, w.found.next),
	}
	w.gauge()
	return w, nil
}

// Bytes is the size of the segments since the last checkpoint: what a replay would read beside it.
func (w *WAL) Bytes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytesLocked()
}

func (w *WAL) bytesLocked() int64 {
	n := int64(0)
	for _, s := range w.mu.segments {
		n += s.bytes
	}
	return n
}

// Segments returns the numbers of the first and the last segment that a replay would read; both
// are 0 if there is none.
func (w *WAL) Segments() (first, last uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.mu.segments); n > 0 {
		first, last = w.mu.segments[0].number, w.mu.segments[n-1].number
	}
	return first, last
}

// gauge tells the metrics about the segments.
func (w *WAL) gauge() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.metrics.segments.Set(float64(len(w.mu.segments)))
	w.metrics.size.Set(float64(w.bytesLocked()))
}
