package storage

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/storage/wal"
)

// Options of a DB. The zero value works.
type Options struct {
	// FS is the disk; default the operating system's.
	FS vfs.FS
	// Registerer takes the metrics; nil keeps none.
	Registerer prometheus.Registerer
	// Events are told what happens; each may be nil.
	Events Events

	// WALSync says what an acknowledgement means; default wal.Batch: on disk.
	WALSync wal.Mode
	// WALSegmentBytes begins a new segment of the log; default wal's own.
	WALSegmentBytes int64

	// Retention of raw samples; default 30 days.
	Retention time.Duration
	// RetentionBytes bounds the parts on disk, oldest dropped first; 0 is no bound.
	RetentionBytes int64
	// OutOfOrderWindow is how far a sample may lie behind the newest of its series; default, and
	// negative: as far as the retention.
	OutOfOrderWindow time.Duration

	// Slot is the time span of a flushed part, a divisor of a day; default 2 h.
	Slot time.Duration
	// Grace is how long after its end a slot is flushed: late samples that come within it cost
	// nothing extra. Default 10 min.
	Grace time.Duration
	// LateBytes of chunks for slots already flushed start a flush of their own, so that a backfill
	// does not fill the memory; default 96 MiB.
	LateBytes int64
	// SealAfter is how long after its end a day (UTC) is sealed: its parts are merged into one. It is
	// not below Grace; default 3 h.
	SealAfter time.Duration
	// CheckpointBytes of log since the last checkpoint are the least that start another; default
	// 64 MiB, some 60 million samples. After a larger checkpoint it takes as much log as that has
	// bytes, so that checkpoints cost about as much as the log at most.
	CheckpointBytes int64

	// ReserveBytes of free space are kept: below it writes are refused with ErrFull. Default 256 MiB.
	ReserveBytes int64
	// CacheBytes for blocks of Pebble; default 64 MiB.
	CacheBytes int64
	// MaxExemplars kept; default 100,000. Negative keeps none.
	MaxExemplars int
	// ShardBits: there are 1<<ShardBits shards; default 8. Fixed for ever when a directory is made.
	ShardBits uint8
}

// Events tell what the operator should know. They may be called from any goroutine and must not
// call back.
type Events struct {
	// WAL events: a torn tail that was cut, damage that was skipped, a full disk, a failed sync.
	WAL wal.Events
	// Replayed is called once, when the log was read.
	Replayed func(ReplayInfo)
	// Flushed is called after each flush that wrote something.
	Flushed func(FlushInfo)
	// Sealed is called after each day sealed.
	Sealed func(SealInfo)
	// Background is called with the error of a flush, checkpoint, seal or drop. It will be tried again.
	Background func(what string, err error)
	// Full is called when writes begin to be refused for lack of space, and when they end to be.
	Full func(full bool, free uint64)
	// Dropped is called for each part of which dropped shards gave space back.
	Dropped func(DropInfo)
	// Waiting is called when Pebble begins to wait, with the error, since the disk is full to the brim, and
	// when it goes on.
	Waiting func(waiting bool, err error)
	// Retained is called for each part dropped by retention.
	Retained func(part string)
	// Damaged is called each time that a part can't be read as it was written.
	Damaged func(DamageInfo)
}

// DamageInfo says what is damaged.
type DamageInfo struct {
	// Part is its name, for SetAside.
	Part string
	// Mint and Maxt are the times that it may have samples of, inclusive, in milliseconds.
	Mint, Maxt int64
	Err        error
}

// ReplayInfo says what was read at start.
type ReplayInfo struct {
	Series   int
	Segments int
	Records  int
	Damaged  int
	Lost     int    // whole records that can't be read because they build on damaged ones
	LostFrom uint64 // the segment of the first of them
	Duration time.Duration
}

// FlushInfo says what a flush wrote.
type FlushInfo struct {
	Parts    int
	Series   int64
	Samples  int64
	Bytes    int64
	Duration time.Duration
}

// SealInfo says what sealing a day did.
type SealInfo struct {
	Day               string // as 2006-01-02
	Parts             int    // merged
	Series            int64
	Samples           int64
	BytesIn, BytesOut int64
	Duration          time.Duration
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	setDefault(&o.Retention, 30*24*time.Hour)
	setDefault(&o.OutOfOrderWindow, -1)
	setDefault(&o.Slot, 2*time.Hour)
	setDefault(&o.Grace, 10*time.Minute)
	setDefault(&o.LateBytes, 96<<20)
	setDefault(&o.SealAfter, 3*time.Hour)
	setDefault(&o.CheckpointBytes, 64<<20)
	setDefault(&o.ReserveBytes, 256<<20)
	setDefault(&o.CacheBytes, 64<<20)
	setDefault(&o.MaxExemplars, 100_000)
	setDefault(&o.ShardBits, 8)
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
	case o.Retention < 0:
		return fmt.Errorf("retention %s is negative", o.Retention)
	case o.Slot < time.Minute || (24*time.Hour)%o.Slot != 0:
		return fmt.Errorf("slot %s does not divide a day into minutes or more", o.Slot)
	case o.SealAfter < o.Grace:
		return fmt.Errorf("a day is sealed %s after its end, before the grace of %s is over", o.SealAfter, o.Grace)
	case o.ShardBits > 16:
		return fmt.Errorf("shard bits %d are above 16", o.ShardBits)
	}
	return nil
}
