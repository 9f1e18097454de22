package notify

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Notifier.
type Options struct {
	// QueueSize is how many alerts wait for an Alertmanager; default 10,000. Beyond it the oldest are
	// dropped.
	QueueSize int
	// BatchSize is how many alerts are sent in a request; default 256, as Prometheus'.
	BatchSize int
	// MaxAlertmanagers bounds those that are sent to; default 1,000. What discovery finds beyond is
	// counted and left alone.
	MaxAlertmanagers int
	// UserAgent of requests; default Barograph.
	UserAgent string
	// Dial connects to Alertmanagers; default a net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Logger defaults to one that discards.
	Logger *slog.Logger
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
}

const (
	// firstDelay is waited after a request that failed, and doubled after each further one up to
	// longestDelay.
	firstDelay   = 500 * time.Millisecond
	longestDelay = 15 * time.Second
	// lastTry is how long a sender goes on when it is told to stop.
	lastTry = 2 * time.Second
	// linger is how long an Alertmanager that is found no more keeps its queue.
	linger = 10 * time.Second
)

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	for _, d := range []struct {
		v   *int
		def int
	}{{&o.QueueSize, 10_000}, {&o.BatchSize, 256}, {&o.MaxAlertmanagers, 1000}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.UserAgent == "" {
		o.UserAgent = "Barograph"
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate returns what is wrong.
func (o *Options) Validate() error {
	if o.QueueSize < 0 || o.BatchSize < 0 || o.MaxAlertmanagers < 0 {
		return errors.New("sizes of the notifier must not be negative")
	}
	return nil
}
