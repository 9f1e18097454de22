package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/storage/series"
)

// Labels are the label bytes behind a reference of the sender's; nil if the reference is no longer
// known. They are not written to, and not kept beyond the encoding of a frame.
type Labels func(series.Ref) series.Labels

// OutConn is a Conn that this end opened.
type OutConn interface {
	Conn
	// Close breaks the stream; calls under way fail. It may be called more than once.
	Close()
}

// Open opens a stream to the peer. ctx ends the stream, not only the opening of it.
type Open func(ctx context.Context) (OutConn, error)

// maxRefs bounds MaxRefs: beyond it the coding of values keeps no state.
const maxRefs = 1 << 28

// Options of Senders. All but Labels may be zero.
type Options struct {
	// Labels gives the labels of a reference; it is asked from several goroutines.
	Labels Labels
	// Epoch is that of the placement that frames are sent by, which only grows; nil is 0. The peer is told of
	// it with whatever is sent to it.
	Epoch func() uint64
	// ID tells the senders of this process from those of the one before; default random.
	ID uint64
	// MaxRefs bounds the indexes of references; default 16 Mi. The peer may have room for fewer.
	MaxRefs int
	// MaxFrames and MaxBytes bound what is pending at a peer; default 4096 frames and 64 MiB of them.
	// One frame is taken however large it is when nothing else is pending.
	MaxFrames, MaxBytes int
	// Timeout is how long a frame may be pending; default 10 s. It may take a second more, and as long
	// as OpenTimeout while a stream is opened.
	Timeout time.Duration
	// OpenTimeout bounds the opening of a stream until the peer's first message; default 3 s.
	OpenTimeout time.Duration
	// Logger is told when streams begin and break; nil is silent.
	Logger *slog.Logger
	// Registerer takes the metrics; nil keeps none.
	Registerer prometheus.Registerer
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.Epoch == nil {
		o.Epoch = func() uint64 { return 0 }
	}
	for o.ID == 0 {
		o.ID = rand.Uint64()
	}
	setDefault(&o.MaxRefs, 16<<20)
	setDefault(&o.MaxFrames, 4096)
	setDefault(&o.MaxBytes, 64<<20)
	setDefault(&o.Timeout, 10*time.Second)
	setDefault(&o.OpenTimeout, 3*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.Labels == nil:
		return errors.New("labels are missing")
	case o.MaxRefs < 0 || o.MaxRefs > maxRefs:
		return fmt.Errorf("max refs %d are not between 1 and %d", o.MaxRefs, maxRefs)
	case o.MaxFrames < 0:
		return fmt.Errorf("max frames %d are negative", o.MaxFrames)
	case o.MaxBytes < 0:
		return fmt.Errorf("max bytes %d are negative", o.MaxBytes)
	case o.Timeout < 0:
		return fmt.Errorf("timeout %s is negative", o.Timeout)
	case o.OpenTimeout < 0:
		return fmt.Errorf("open timeout %s is negative", o.OpenTimeout)
	}
	return nil
}

// ReceiverOptions are those of a Receiver. The zero value works.
type ReceiverOptions struct {
	// MaxRefs bounds the indexes of references of each stream; default 16 Mi.
	MaxRefs int
	// MaxStreams bounds the streams of each peer; default 16: one or two in use, and some that broke
	// and were not noticed yet.
	MaxStreams int
	// InFlightBytes bounds the frames of a stream that are being appended; default 32 MiB. Each counts
	// for at least a 64th of it, so that it bounds their number too. When it is reached, nothing more is read
	// from the stream.
	InFlightBytes int
	// MaxSenders bounds the senders that are remembered; default 4096. The one silent for longest goes.
	MaxSenders int
	// Remember is how long a sender is remembered whose streams broke; default 1 h.
	Remember time.Duration
	// Silence is how long nothing must have been heard of a sender for it to be silent; default 1 s.
	Silence time.Duration
	// Stale says whether writes by the placement of an epoch are not to be taken any more; nil takes all.
	// Once it has said so of an epoch, none by it is acknowledged.
	Stale func(epoch uint64) bool
	// Code says which code an error of the store has for the sender; nil makes all Unavailable.
	Code func(error) Code
	// Registerer takes the metrics; nil keeps none.
	Registerer prometheus.Registerer
}

// EnsureDefaults replaces zero values.
func (o *ReceiverOptions) EnsureDefaults() {
	setDefault(&o.MaxRefs, 16<<20)
	setDefault(&o.MaxStreams, 16)
	setDefault(&o.InFlightBytes, 32<<20)
	setDefault(&o.MaxSenders, 4096)
	setDefault(&o.Remember, time.Hour)
	setDefault(&o.Silence, time.Second)
	if o.Stale == nil {
		o.Stale = func(uint64) bool { return false }
	}
	if o.Code == nil {
		o.Code = func(error) Code { return Unavailable }
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *ReceiverOptions) Validate() error {
	switch {
	case o.MaxRefs < 0 || o.MaxRefs > maxRefs:
		return fmt.Errorf("max refs %d are not between 1 and %d", o.MaxRefs, maxRefs)
	case o.MaxStreams < 0:
		return fmt.Errorf("max streams %d are negative", o.MaxStreams)
	case o.InFlightBytes < 0:
		return fmt.Errorf("in-flight bytes %d are negative", o.InFlightBytes)
	case o.MaxSenders < 0:
		return fmt.Errorf("max senders %d are negative", o.MaxSenders)
	case o.Remember < 0:
		return fmt.Errorf("remember %s is negative", o.Remember)
	case o.Silence < 0:
		return fmt.Errorf("silence %s is negative", o.Silence)
	}
	return nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
