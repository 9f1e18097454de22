package head

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/storage/changes"
)

// Options of a head. The zero value works after EnsureDefaults, which New calls.
type Options struct {
	// OutOfOrderWindow is how far behind the head's newest sample a late sample may be, in
	// milliseconds. Negative, the default of the database, is unlimited; 0 takes none that is older
	// than the newest.
	OutOfOrderWindow int64
	// SlotMillis is the length of the slots that chunks do not straddle, at most 24 hours.
	// Default: 2 hours.
	SlotMillis int64
	// MaxExemplars is the number of exemplars kept, the oldest leaving first. Default: 100,000;
	// negative: none.
	MaxExemplars int
	// MaxMetadata is the number of metric families whose metadata is kept; the one that was updated
	// longest ago leaves first. Default: 50,000.
	MaxMetadata int
	// Changes is told of the times of what is put in, once it can be selected; nil is nobody.
	Changes *changes.Log
	// Registerer takes the metrics; nil is none.
	Registerer prometheus.Registerer
}

// EnsureDefaults sets what was left at zero.
func (o *Options) EnsureDefaults() {
	if o.SlotMillis == 0 {
		o.SlotMillis = (2 * time.Hour).Milliseconds()
	}
	if o.MaxExemplars == 0 {
		o.MaxExemplars = 100_000
	}
	if o.MaxMetadata == 0 {
		o.MaxMetadata = 50_000
	}
}

// Validate tells what can't be.
func (o *Options) Validate() error {
	if longest := (24 * time.Hour).Milliseconds(); o.SlotMillis <= 0 || o.SlotMillis > longest {
		return fmt.Errorf("slot of %d ms: must be between 1 and %d", o.SlotMillis, longest)
	}
	if o.MaxExemplars > math.MaxInt32 || o.MaxMetadata <= 0 {
		return fmt.Errorf("room for %d exemplars and %d metadata entries", o.MaxExemplars, o.MaxMetadata)
	}
	return nil
}
