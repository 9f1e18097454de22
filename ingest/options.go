package ingest

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Writer. The zero value works.
type Options struct {
	// MaxFuture is how far a timestamp may lie ahead of the clock; default 10 min, as in Prometheus:
	// clocks differ, yet one sample of next year would poison the head.
	MaxFuture time.Duration
	// Retention is how far back a timestamp may lie: that of the raw samples. Zero sets no bound.
	Retention time.Duration
	// CacheEntries bounds the series whose keys are remembered; default 8 Mi, some 400 MiB when
	// full.
	CacheEntries int
	// CacheIdle is how long a key must have been unused to be forgotten; default 1 h. It may take a
	// quarter more.
	CacheIdle time.Duration
	// StartTimestampZero writes a sample of value zero at each new start timestamp rather than
	// keep start timestamps beside the samples.
	StartTimestampZero bool
	// Elector chooses between senders of the same series; nil takes all of them.
	Elector Elector
	// Guard admits labels and new series; nil admits all.
	Guard Guard
	// Registerer takes the metrics; nil keeps none.
	Registerer prometheus.Registerer
}

// Guard limits what is new to the node. It may change its mind between calls.
type Guard interface {
	// LabelLimits are those a new series must keep.
	LabelLimits() LabelLimits
	// NewSeries says how many of n new series may be created while there are active ones, and why
	// not all.
	NewSeries(active, n int) (admitted int, why Reason)
}

// LabelLimits bound the label set of a series; zero sets no bound.
type LabelLimits struct{ Labels, NameBytes, ValueBytes int }

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.MaxFuture == 0 {
		o.MaxFuture = 10 * time.Minute
	}
	if o.CacheEntries == 0 {
		o.CacheEntries = 8 << 20
	}
	if o.CacheIdle == 0 {
		o.CacheIdle = time.Hour
	}
	if o.Guard == nil {
		o.Guard = admitAll{}
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.MaxFuture < 0:
		return fmt.Errorf("max future %s is negative", o.MaxFuture)
	case o.Retention < 0:
		return fmt.Errorf("retention %s is negative", o.Retention)
	case o.CacheEntries < 0:
		return fmt.Errorf("cache entries %d are negative", o.CacheEntries)
	case o.CacheIdle < 0:
		return fmt.Errorf("cache idle time %s is negative", o.CacheIdle)
	}
	return nil
}

type admitAll struct{}

func (admitAll) LabelLimits() LabelLimits         { return LabelLimits{} }
func (admitAll) NewSeries(_, n int) (int, Reason) { return n, 0 }
