package move

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/throttle"
	"github.com/barograph-db/barograph/storage/series"
)

// Options of a Mover. The functions, Self and Dir have no default.
type Options struct {
	Self placement.NodeID
	// Placement is the one in force, nil before there is one; Changed returns a channel that is closed
	// when it, or what is known of the nodes, is another than at the call.
	Placement func() *placement.Placement
	Changed   func() <-chan struct{}
	// ShutOut reports whether no write to any of the shards can be acknowledged any more by a placement from
	// before the epoch, in which this node was nobody that it had to be sent to. It stays so.
	ShutOut func(epoch uint64, shards []series.Shard) bool
	// Gaps are the stretches of time for which this node lacks samples, as others tell that are going to
	// bring them or have given them up. What the node may have missed without anybody knowing is no
	// matter here, as long as it goes on telling so when it is whole.
	Gaps func() []Gap
	// Copy has this node take in what others have of a stretch, and returns when it is on disk. It asks
	// take before it takes more.
	Copy func(ctx context.Context, s Stretch, take Take) error
	// Filled has it agreed upon that the node's replicas of the shards are whole.
	Filled func(ctx context.Context, shards []series.Shard) error
	// Report is told how far the node is, whenever that changes.
	Report func(Progress)

	// Retention is how far back is copied; default, and least, a day.
	Retention time.Duration
	// Throttle bounds the bytes that are taken in; by default one of its own.
	Throttle *throttle.Throttle
	// Settle is how long after that copying begins; default 12 seconds, which is longer than a writer waits
	// for a replica to take a frame, and until all have heard who lacks one: they have what was acknowledged before, or
	// are known to lack it.
	Settle time.Duration

	// Dir is the node's data directory; FS is what it is on, the disk by default.
	Dir string
	FS  vfs.FS

	Logger     *slog.Logger          // nil drops it
	Registerer prometheus.Registerer // nil drops it
}

// Take accounts for what is taken in, and waits until it may be.
type Take func(bytes, samples int) error

// Gap is a stretch of time for which this node lacks samples. It ends at math.MaxInt64 while they may
// still be delivered.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Stretch is what is copied at once. Mint and Maxt are inclusive, in milliseconds.
type Stretch struct {
	Shards     *series.ShardSet
	Mint, Maxt int64
}

// Progress is how far a batch is. The zero value is no batch.
type Progress struct {
	Shards int
	// Days that are copied, and that are left.
	DaysDone, DaysLeft int
	// Bytes and Samples that were copied since the node started or the batch began.
	Bytes, Samples int64
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	o.Retention = max(o.Retention, 24*time.Hour)
	if o.Throttle == nil {
		o.Throttle = throttle.New(0)
	}
	if o.Settle == 0 {
		o.Settle = 12 * time.Second
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.Self == placement.NodeID{}:
		return errors.New("the node has no ID")
	case o.Dir == "":
		return errors.New("there is no data directory")
	case o.Placement == nil || o.Changed == nil || o.ShutOut == nil || o.Gaps == nil || o.Copy == nil || o.Filled == nil || o.Report == nil:
		return errors.New("a function is missing")
	case o.Settle < 0:
		return errors.New("the time to settle must not be negative")
	}
	return nil
}
