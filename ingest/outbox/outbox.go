package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/patience"
	"github.com/barograph-db/barograph/storage/series"
)

// ErrFull says that the disk has no room for what a peer could not take.
var ErrFull = errors.New("the outbox's disk is nearly full")

// Labels returns the labels of a reference of a frame.
type Labels func(series.Ref) series.Labels

// Outbox keeps frames for peers.
type Outbox struct {
	opts    Options
	db      *pebble.DB
	disk    *patience.FS
	metrics *metrics
	changed chan struct{}
	room    room

	mu struct {
		sync.Mutex
		peers map[placement.NodeID]*queue
	}
}

// Gap is a stretch of time for which a peer lacks acknowledged samples.
type Gap struct {
	Peer placement.NodeID
	// From and To are inclusive, in milliseconds. Open gaps have no end yet, and To says nothing.
	From, To int64
	Open     bool
}

// Open opens the outbox in its folder, which it creates.
func Open(opts Options) (*Outbox, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	m := newMetrics()
	disk := patience.New(opts.FS, func(waiting bool, err error) {
		if waiting {
			m.waiting.Set(1)
			opts.Logger.Error("The disk is full to the brim: the outbox waits for room", "err", err)
		} else {
			m.waiting.Set(0)
			opts.Logger.Info("The outbox has found room and goes on")
		}
	})
	db, err := pebble.Open(opts.Dir, &pebble.Options{
		FS:                 disk,
		FormatMajorVersion: pebble.FormatNewest,
		// What is written is read once, soon, in order, and deleted.
		MemTableSize: 4 << 20,
		CacheSize:    1 << 20,
		Logger:       logger{opts.Logger},
	})
	if err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	o := &Outbox{opts: opts, db: db, disk: disk, metrics: m, changed: make(chan struct{}, 1)}
	m.register(opts.Registerer, func() float64 { return float64(o.lacking()) })
	o.mu.peers = map[placement.NodeID]*queue{}
	if err := o.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the outbox: %w", err), db.Close())
	}
	return o, nil
}

// Close closes the outbox. Nobody may use it any more.
func (o *Outbox) Close() error {
	o.disk.GiveUp()
	return o.db.Close()
}

// load finds what was kept.
func (o *Outbox) load() error {
	if err := o.scan(gapKey, func(it *pebble.Iterator) ([]byte, error) {
		if len(it.Key()) != prefixBytes {
			return nil, errFormat
		}
		g, err := parseGap(it.Value())
		if err != nil {
			return nil, err
		}
		q := o.queue(placement.NodeID(it.Key()[1:]))
		q.mu.gap, q.mu.known = g, true
		return nil, nil
	}); err != nil {
		return fmt.Errorf("read gaps: %w", err)
	}
	return o.scan(recordKey, func(it *pebble.Iterator) ([]byte, error) {
		peer, segment, _, err := parseKey(it.Key())
		if err != nil {
			return nil, err
		}
		next := after(segmentKey(peer, segment))
		if !it.SeekLT(next) {
			return nil, it.Error()
		}
		e, _, err := parseRecord(it.Value())
		if err != nil { // Its frames are going to be met, and counted.
			e = extent{span: span{0, time.Now().UnixMilli()}}
		}
		q := o.queue(peer)
		q.mu.segments = append(q.mu.segments, segmentOf{number: segment, extent: e})
		if !q.mu.known { // The gap's record came later than the first frame, and never.
			q.mu.gap, q.mu.known = gapRecord{from: e.from, lost: nothing}, true
		}
		o.metrics.bytes.Add(float64(e.bytes))
		return next, nil
	})
}

// scan calls visit at each key of a kind; it returns where to go on, nil for the next key.
func (o *Outbox) scan(kind byte, visit func(*pebble.Iterator) (next []byte, err error)) error {
	it, err := o.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		next, err := visit(it)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if next != nil {
			ok = it.SeekGE(bytes.Clone(next))
		} else {
			ok = it.Next()
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// queue returns the peer's, which it makes.
func (o *Outbox) queue(peer placement.NodeID) *queue {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.mu.peers[peer]
	if q == nil {
		q = &queue{outbox: o, peer: peer}
		q.mu.gap.lost, q.mu.losses = nothing, rand.Uint64()
		o.mu.peers[peer] = q
	}
	return q
}

// Put keeps a frame for the peer. When it returns without an error the frame is on disk; after one
// the frame may be lost, and whoever wrote it is not to be told that it is not.
func (o *Outbox) Put(peer placement.NodeID, f *frame.Frame, labels Labels) error {
	q := o.queue(peer)
	err := o.room.check(o)
	if err == nil {
		err = q.put(f, labels)
	}
	if err == nil {
		err = o.db.LogData(nil, pebble.Sync) // Those who wait share a sync.
	}
	if err != nil {
		o.metrics.refused.Add(float64(f.Samples()))
		return fmt.Errorf("keep a frame for %s: %w", peer, err)
	}
	o.metrics.kept.Add(float64(f.Samples()))
	return nil
}

// Gaps are those of all peers, by ID. A peer may have two: one that is open, and what it lost.
func (o *Outbox) Gaps() []Gap {
	var gaps []Gap
	for _, q := range o.queues() {
		gaps = append(gaps, q.gaps()...)
	}
	return gaps
}

// lacking counts the peers with gaps.
func (o *Outbox) lacking() (n int) {
	for _, q := range o.queues() {
		if len(q.gaps()) > 0 {
			n++
		}
	}
	return n
}

// Waiting are the peers for which there is something to deliver.
func (o *Outbox) Waiting() []placement.NodeID {
	var peers []placement.NodeID
	for _, q := range o.queues() {
		if q.waiting() {
			peers = append(peers, q.peer)
		}
	}
	return peers
}

// Keeps reports whether there is something to deliver to a peer.
func (o *Outbox) Keeps(peer placement.NodeID) bool { return o.queue(peer).waiting() }

func (o *Outbox) queues() []*queue {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]*queue, 0, len(o.mu.peers))
	for _, q := range o.mu.peers {
		list = append(list, q)
	}
	slices.SortFunc(list, func(a, b *queue) int { return a.peer.Compare(b.peer) })
	return list
}

// Changed receives when gaps are others than before.
func (o *Outbox) Changed() <-chan struct{} { return o.changed }

func (o *Outbox) change() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// Loss is what a peer lacks and nobody keeps for it any more.
type Loss struct {
	// From and To are inclusive, in milliseconds.
	From, To int64
	// Number is another after each loss, and by chance after a restart.
	Number uint64
}

// Lost is what the peer lacks now that nobody keeps, false if there is nothing.
func (o *Outbox) Lost(peer placement.NodeID) (Loss, bool) { return o.queue(peer).loss() }

// Repaired says that the peer has what Lost said it lacked. It changes nothing if more was lost since, or
// the outbox was opened anew.
func (o *Outbox) Repaired(peer placement.NodeID, l Loss) error { return o.queue(peer).repaired(l) }

// Forget drops all that is kept for a peer which is no more.
func (o *Outbox) Forget(peer placement.NodeID) error { return o.queue(peer).forget() }

// room knows whether the disk has some, and looks now and then.
type room struct {
	looked atomic.Int64 // nanoseconds
	full   atomic.Bool
}

const lookEvery = 200 * time.Millisecond

func (r *room) check(o *Outbox) error {
	now, last := time.Now().UnixNano(), r.looked.Load()
	if now-last >= int64(lookEvery) && r.looked.CompareAndSwap(last, now) {
		// A file system in memory does not say.
		if u, err := o.opts.FS.GetDiskUsage(o.opts.Dir); err == nil {
			r.full.Store(u.AvailBytes < uint64(o.opts.Reserve))
		}
	}
	if r.full.Load() {
		return ErrFull
	}
	return nil
}

// logger passes Pebble's words on.
type logger struct{ *slog.Logger }

// Infof is told too much to pass on.
func (l logger) Infof(string, ...any) {}

// Errorf passes an error on.
func (l logger) Errorf(format string, args ...any) {
	l.Error("The outbox's store reports an error", "err", fmt.Sprintf(format, args...))
}

// Fatalf is called where Pebble can't go on.
func (l logger) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("the outbox's store: "+format, args...))
}
