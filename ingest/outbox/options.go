package outbox

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

// Options of an Outbox. Dir has no default.
type Options struct {
	// Dir is the outbox's own folder; FS is what it is on, the disk by default.
	Dir string
	FS  vfs.FS
	// MaxBytes are kept for one peer; default 8 GiB.
	MaxBytes int64
	// SegmentBytes is about how large a segment gets, and what is delivered again after a break;
	// default 16 MiB.
	SegmentBytes int64
	// Reserve is how many bytes of the disk are left to others; default 512 MiB.
	Reserve int64

	Logger     *slog.Logger          // nil drops it
	Registerer prometheus.Registerer // nil drops it
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	for _, d := range []struct {
		n *int64
		v int64
	}{{&o.MaxBytes, 8 << 30}, {&o.SegmentBytes, 16 << 20}, {&o.Reserve, 512 << 20}} {
		if *d.n == 0 {
			*d.n = d.v
		}
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.Dir == "":
		return errors.New("the outbox has no folder")
	case o.SegmentBytes < 0 || o.MaxBytes < o.SegmentBytes:
		return fmt.Errorf("an outbox of %d bytes has no room for a segment of %d", o.MaxBytes, o.SegmentBytes)
	case o.Reserve < 0:
		return errors.New("the reserve of the outbox's disk is negative")
	}
	return nil
}
