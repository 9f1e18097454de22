package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/changes"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/head"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/patience"
	"github.com/barograph-db/barograph/storage/wal"
)

// The folders of a data directory, and what lies in them.
const (
	lockFile     = "LOCK"
	storeDir     = "store"     // Pebble
	walDir       = "wal"       // segments and checkpoints
	buildDir     = "build"     // tables on their way into Pebble; emptied at start
	snapshotsDir = "snapshots" // see Snapshot
)

// KindFrame is the kind of the log's records, beside wal.KindCheckpoint: a frame.
const KindFrame wal.Kind = 1

// DB is the storage of one node.
type DB struct {
	opts    Options
	dir     string
	metrics *metrics

	lock  io.Closer
	store *pebble.DB
	disk  *patience.FS // that the store is on
	wal   *wal.WAL
	head  *head.Head
	// changes are those of what a selection gives.
	changes *changes.Log
	// encoder is of the log's frames.
	encoder *frame.Encoder
	cache   *block.Cache
	created bool // by this Open
	aside   aside

	// barrier makes one step of writing a record and applying it to the head, against a cut.
	barrier sync.RWMutex
	parts   partList
	deletes tombstones

	full atomic.Bool // the disk is nearly full: no writes
	// keptFrom is the time before which parts were dropped by retention.
	keptFrom atomic.Int64
	closed   atomic.Bool
	// reading is held for reading by whoever reads parts, and for writing by Close.
	reading sync.RWMutex

	// maintenance is held by whoever flushes, checkpoints, deletes or takes a snapshot.
	maintenance struct {
		sync.Mutex
		flushedBefore  int64             // slots that end here or before have been flushed
		nextSeq        uint32            // of the next flush's parts
		flushedAt      time.Time         // when the last due flush was made
		lookedAt       time.Time         // when series were last looked at for being quiet
		lastCheckpoint int64             // bytes
		checkpointed   uint64            // the segment of the last checkpoint: the log has none before it
		line           line              // zero when there is none
		gone           []keys.Part       // off the list, not yet off the disk
		waits          map[int64]dayWait // by the day's start
		dropped        dropped           // replaced as a whole, never written to
		reclaimAt      time.Time         // when space of dropped shards is looked for next
	}
}

// Open opens the data directory dir, creating it where it is missing, and reads the log. Damage is
// told by Options.Events and metrics and is no error; an error means that dir can't be used.
func Open(dir string, opts Options) (_ *DB, err error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	db := &DB{opts: opts, dir: dir, metrics: newMetrics(opts.Registerer), encoder: frame.NewEncoder(), changes: changes.New()}
	db.keptFrom.Store(math.MinInt64)
	defer func() {
		if err != nil {
			_ = db.release()
		}
	}()
	if err := db.makeDirs(); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	if db.lock, err = opts.FS.Lock(db.path(lockFile)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, dir, err)
	}
	if err := db.openStore(); err != nil {
		return nil, err
	}
	if err := db.emptyBuildDir(); err != nil {
		return nil, err
	}
	if err := db.openHead(); err != nil {
		return nil, err
	}
	db.metrics.observe(db)
	return db, nil
}

func (db *DB) path(elem ...string) string {
	return db.opts.FS.PathJoin(append([]string{db.dir}, elem...)...)
}

// makeDirs creates the folders and makes their entries durable.
func (db *DB) makeDirs() error {
	fs := db.opts.FS
	for _, d := range []string{db.path(buildDir), db.path(storeDir), db.path(walDir)} {
		if err := fs.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(fs, db.dir), syncDir(fs, fs.PathDir(db.dir)))
}

func (db *DB) emptyBuildDir() error {
	names, err := db.opts.FS.List(db.path(buildDir))
	if err != nil {
		return fmt.Errorf("list tables left behind: %w", err)
	}
	for _, name := range names {
		if err := db.opts.FS.RemoveAll(db.path(buildDir, filepath.Base(name))); err != nil {
			return fmt.Errorf("remove table left behind: %w", err)
		}
	}
	return nil
}

// storeFS is what Pebble gets: on it, a full disk makes it wait.
func (db *DB) storeFS() vfs.FS {
	db.disk = patience.New(db.opts.FS, func(waiting bool, err error) {
		if waiting {
			db.metrics.waiting.Set(1)
		} else {
			db.metrics.waiting.Set(0)
		}
		if f := db.opts.Events.Waiting; f != nil {
			f(waiting, err)
		}
	})
	return markerFS{db.disk}
}

func (db *DB) openStore() error {
	torn, err := checkManifest(db.opts.FS, db.path(storeDir))
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	if torn > 0 {
		db.metrics.corruptions.Inc()
		db.background("open store", fmt.Errorf("the list of tables ends in %d bytes that are not whole", torn))
	}
	db.cache = block.NewCache(db.opts.CacheBytes, db.opts.Registerer)
	store, err := pebble.Open(db.path(storeDir), block.PebbleOptions(db.storeFS(), db.opts.CacheBytes))
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	db.store = store
	if err := db.checkFormat(); err != nil {
		return err
	}
	if err := db.tolerate(block.DropOrphans(context.Background(), store)); err != nil {
		return fmt.Errorf("drop half-dropped parts: %w", err)
	}
	metas, err := block.List(store)
	damaged := err != nil
	db.unreadable(err)
	if err := db.tolerate(err); err != nil {
		return fmt.Errorf("list parts: %w", err)
	}
	for _, m := range metas {
		db.maintenance.nextSeq = max(db.maintenance.nextSeq, m.Part.Seq+1)
	}
	metas, err = db.dropReplaced(context.Background(), metas)
	if err := db.tolerate(err); err != nil {
		return fmt.Errorf("drop replaced parts: %w", err)
	}
	if err := db.loadDropped(); err != nil {
		return err
	}
	for _, m := range metas {
		if damaged {
			if err := block.Probe(store, m.Part); errors.Is(err, block.ErrCorrupt) {
				db.damaged(m, err)
			}
		}
		p := db.newPart(m)
		p.Hide(db.maintenance.dropped.hides(m.Part.Seq, db.opts.ShardBits))
		db.parts.add(p)
		if m.FlushedBefore < maxTime {
			db.maintenance.flushedBefore = max(db.maintenance.flushedBefore, m.FlushedBefore)
		}
	}
	if err := db.deletes.load(store); err != nil {
		return err
	}
	// The parts that a tombstone was made for, or that had shards which were dropped, may be gone. A
	// sequence of which something is hidden must not come again all the same.
	db.maintenance.nextSeq = max(db.maintenance.nextSeq, db.deletes.nextSeq(), db.maintenance.dropped.nextSeq())
	if damaged {
		db.maintenance.nextSeq += hiddenSeqs
	}
	return nil
}

// hiddenSeqs is left free when parts can't be read, since theirs may be the highest: each flush
// takes one, so that they would have to be as many to meet.
const hiddenSeqs = 1 << 16

// tolerate tells of damage and takes it: a part that can't be read costs its own samples, and must
// not cost those of all others.
func (db *DB) tolerate(err error) error {
	if !errors.Is(err, block.ErrCorrupt) {
		return err
	}
	db.metrics.corruptions.Inc()
	db.background("read parts", err)
	return nil
}

func (db *DB) openHead() error {
	begin := time.Now()
	db.head = head.New(head.Options{
		OutOfOrderWindow: milliseconds(db.opts.OutOfOrderWindow),
		SlotMillis:       db.opts.Slot.Milliseconds(),
		MaxExemplars:     db.opts.MaxExemplars,
		Changes:          db.changes,
		Registerer:       db.opts.Registerer,
	})
	marks := db.parts.marks()
	w, err := wal.Open(db.opts.FS, db.path(walDir), wal.Options{
		Sync:         db.opts.WALSync,
		SegmentBytes: db.opts.WALSegmentBytes,
		FirstSegment: marks.nextSegment(),
		Events:       db.opts.Events.WAL,
		Registerer:   db.opts.Registerer,
	})
	if err != nil {
		return fmt.Errorf("open write-ahead log: %w", err)
	}
	db.wal = w
	info, err := db.replay(marks)
	if err != nil {
		return fmt.Errorf("read write-ahead log: %w", err)
	}
	info.Duration = time.Since(begin)
	if f := db.opts.Events.Replayed; f != nil {
		f(info)
	}
	return nil
}

// milliseconds of d, which stays below zero when it is, however little.
func milliseconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

// Run does what storage does by itself (commit, flush, checkpoint, retain, watch the disk) until
// ctx ends, and returns when all of it has stopped and what was appended is on disk.
func (db *DB) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return db.wal.Run(ctx) })
	g.Go(func() error { db.head.Shrink(ctx); return nil })
	g.Go(func() error { return db.every(ctx, spaceInterval, db.checkSpace) })
	g.Go(func() error { return db.every(ctx, maintainInterval, func() { db.Maintain(ctx, time.Now()) }) })
	return g.Wait()
}

// How often the disk's free space and the need for maintenance are looked at. Both looks are
// cheap; the first bounds what can be written beyond the reserve.
const (
	spaceInterval    = 500 * time.Millisecond
	maintainInterval = 5 * time.Second
)

func (db *DB) every(ctx context.Context, d time.Duration, f func()) error {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Close waits for the calls that are under way and releases the data directory. Run must have
// returned.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return ErrClosed
	}
	db.maintenance.Lock()
	defer db.maintenance.Unlock()
	db.reading.Lock()
	defer db.reading.Unlock()
	return db.release()
}

// beginRead keeps the parts open until db.reading is unlocked for reading.
func (db *DB) beginRead() error {
	db.reading.RLock()
	if db.closed.Load() {
		db.reading.RUnlock()
		return ErrClosed
	}
	return nil
}

// beginMaintenance keeps all others from maintenance, and everything open, until db.maintenance
// is unlocked.
func (db *DB) beginMaintenance() error {
	db.maintenance.Lock()
	if db.closed.Load() {
		db.maintenance.Unlock()
		return ErrClosed
	}
	return nil
}

func (db *DB) release() error {
	var errs []error
	if db.wal != nil {
		errs = append(errs, db.wal.Close())
	}
	if db.store != nil {
		db.disk.GiveUp()
		errs = append(errs, db.store.Close())
	}
	if db.cache != nil {
		db.cache.Close()
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}
