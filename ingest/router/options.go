package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Sender takes frames for one other node.
type Sender interface {
	// Send takes f, of the Router's references, whose labels Router.Labels tells at any time. It does not
	// block. It may set Sender, Seq and Series of f, and may neither keep f or its columns nor
	// change them.
	//
	// An error says that f was not taken. Else done is called exactly once, from any goroutine, also
	// before Send returns: with what the node refused, which the callee keeps, or with an error if
	// it is not known to have f. done does not block.
	Send(f *frame.Frame, done func([]frame.Rejected, error)) error
}

// Options of a Router. Self, Local and Reach must be given.
type Options struct {
	// Self is this node.
	Self placement.NodeID
	// Local is what this node holds.
	Local ingest.Store
	// Reach returns how another node gets frames, false if it can't be reached at all.
	Reach func(placement.NodeID) (Sender, bool)
	// Missed is told of each frame that was acknowledged by others and that the node, which may be this
	// one, lacks or may lack. f is the caller's again when it returns, and only then Append says that
	// the write is done; an error is the write's. nil is told nothing; missed frames are counted all
	// the same.
	Missed func(node placement.NodeID, f *frame.Frame, labels func(series.Ref) series.Labels) error
	// Stale reports whether an error of a Sender says that its node takes no more writes by a placement as old
	// as the one in force here; nil: none does.
	Stale func(error) bool
	// CatchUp asks a node for a newer placement, which is handed to SetPlacement by and by; nil leaves that
	// to whoever does so anyway.
	CatchUp func(ctx context.Context, node placement.NodeID)
	// Patience is how long a write that enough replicas have waits for the others, before they are told
	// to Missed; default 1 s.
	Patience time.Duration
	// Idle is how long a series must have been unused to be forgotten; default 1 h, as the cache of
	// raw labels above. It may take a quarter more. It is counted in whole minutes.
	Idle time.Duration
	// MaxSeries bounds the series that are known; default 16 Mi. More are refused with
	// ingest.TooManySeries until others are forgotten.
	MaxSeries int
	// Registerer takes the metrics; nil keeps none.
	Registerer prometheus.Registerer
}

// maxSeries bounds MaxSeries.
const maxSeries = 1 << 28

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.Patience == 0 {
		o.Patience = time.Second
	}
	if o.Idle == 0 {
		o.Idle = time.Hour
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = 16 << 20
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.Self == placement.NodeID{}:
		return errors.New("router without the ID of its own node")
	case o.Local == nil:
		return errors.New("router without a local store")
	case o.Reach == nil:
		return errors.New("router without a way to reach other nodes")
	case o.Patience < 0:
		return fmt.Errorf("patience %s is negative", o.Patience)
	case o.Idle < time.Minute:
		return fmt.Errorf("idle time %s is below a minute", o.Idle)
	case o.MaxSeries < 0 || o.MaxSeries > maxSeries:
		return fmt.Errorf("max series %d is not in 0 to %d", o.MaxSeries, maxSeries)
	}
	return nil
}
