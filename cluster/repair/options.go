package repair

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

// Options of a Repairer. The functions, Self and Dir have no default.
type Options struct {
	Self placement.NodeID
	// Placement is the one in force, nil before there is one; Changed returns a channel that is closed
	// when it, or what is known of the nodes, is another than at the call.
	Placement func() *placement.Placement
	Changed   func() <-chan struct{}
	Alive     func(placement.NodeID) bool
	// Tellers are the nodes that say they gave up what they kept for this one; it may be one of them
	// itself.
	Tellers func() []placement.NodeID
	// KeptFrom is the time before which this node keeps nothing.
	KeptFrom func(now time.Time) int64
	// Digests are of the samples of this node.
	Digests func(context.Context, Question) ([]series.Digest, error)
	// Call sends a request to another node, or this one, and returns its answer.
	Call func(ctx context.Context, to placement.NodeID, method string, req []byte) ([]byte, error)
	// Lost is what this node gave up of what it kept for another, if it did; Repaired is called when the
	// other has it.
	Lost     func(placement.NodeID) (Loss, bool)
	Repaired func(placement.NodeID, Loss) error
	// Fetch has this node take in what it lacks of a stretch that another has, and returns how many
	// samples that were when they are on disk. It asks take before it takes more.
	Fetch func(ctx context.Context, from placement.NodeID, s Stretch, take Take) (samples int64, err error)
	// Closed is called when a gap of this node that has a part is no more, before that is kept.
	Closed func(context.Context, Gap) error

	// Throttle bounds the bytes that are taken in; by default one of its own.
	Throttle *throttle.Throttle

	// Dir is the node's data directory; FS is what it is on, the disk by default.
	Dir string
	FS  vfs.FS

	Logger     *slog.Logger          // nil drops it
	Registerer prometheus.Registerer // nil drops it
}

// Take accounts for what is fetched, and waits until it may be.
type Take func(bytes int) error

// Stretch is what is fetched at once. Mint and Maxt are inclusive, in milliseconds.
type Stretch struct {
	Shards     *series.ShardSet
	Mint, Maxt int64
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.Throttle == nil {
		o.Throttle = throttle.New(0)
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
	case o.Placement == nil || o.Changed == nil || o.Alive == nil || o.Tellers == nil || o.KeptFrom == nil:
		return errors.New("a function that tells of the cluster is missing")
	case o.Digests == nil || o.Call == nil || o.Lost == nil || o.Repaired == nil || o.Fetch == nil || o.Closed == nil:
		return errors.New("a function that does something is missing")
	}
	return nil
}
