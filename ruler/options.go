package ruler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/assign"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

// Sample is one that a rule writes.
type Sample struct {
	Labels    labels.Labels
	At        int64 // milliseconds since 1970
	Value     float64
	Histogram *histogram.FloatHistogram // nil if it is a float
}

// Notice is an alert for Alertmanager. Its labels are without the external ones.
type Notice struct {
	Labels, Annotations labels.Labels
	StartsAt, EndsAt    int64 // milliseconds since 1970
	Expr                string
}

// Options of a Ruler. Self, Query, Append, Ledger, Propose, Members and Notify have no default.
type Options struct {
	// Self is this node's name among Members.
	Self string
	// Query evaluates an expression at a time, in milliseconds since 1970. What it returns is complete:
	// if anything is missing it is an error.
	Query func(ctx context.Context, expr string, at int64) (promql.Vector, error)
	// Append writes samples, which is an error too when some of them are refused.
	Append func(ctx context.Context, samples []Sample) error
	// Ledger is what Propose changes.
	Ledger *ledger.State
	// Propose has all nodes apply a command to their ledgers, and returns what came of it. With an
	// error it may have come to pass or not.
	Propose func(ctx context.Context, command []byte) (result []byte, err error)
	// Members are the nodes that there are.
	Members func() []assign.Member
	// Notify queues alerts for the Alertmanagers. It does not wait for them.
	Notify func([]Notice)

	// ExternalURL is for templates.
	ExternalURL *url.URL

	// Resend is after what time what Alertmanager knows is sent again; default 1 minute.
	Resend time.Duration
	// CatchUp bounds how late a timestamp is still evaluated; default 1 hour.
	CatchUp time.Duration
	// Grace is how long alerts that are not found are held after an outage; default 5 minutes, the
	// time for which a series is found after its last sample.
	Grace time.Duration
	// Timeout of the evaluation of a rule; default 2 minutes, as that of queries.
	Timeout time.Duration
	// Patience is how long an evaluation that fails for a while is tried again; default 1 minute.
	Patience time.Duration
	// Concurrency is how many groups are evaluated at once; default 16.
	Concurrency int
	// MaxSeries bounds what a rule may come to, beside its group's own limit; default 100,000.
	MaxSeries int
	// Templates bounds what labels and annotations may take.
	Templates alert.TemplateLimits

	Logger     *slog.Logger          // nil drops it
	Registerer prometheus.Registerer // nil drops it
}

// Passing is an error of Query or Append that may pass: what failed is tried again.
type Passing struct{ Err error }

func (e *Passing) Error() string { return e.Err.Error() }

// Unwrap returns what is inside.
func (e *Passing) Unwrap() error { return e.Err }

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&o.Resend, time.Minute},
		{&o.CatchUp, time.Hour},
		{&o.Grace, 5 * time.Minute},
		{&o.Timeout, 2 * time.Minute},
		{&o.Patience, time.Minute},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.Concurrency == 0 {
		o.Concurrency = 16
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = 100_000
	}
	if o.ExternalURL == nil {
		o.ExternalURL = &url.URL{}
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
	case o.Self == "":
		return errors.New("the node has no name")
	case o.Query == nil || o.Append == nil || o.Propose == nil || o.Members == nil || o.Notify == nil || o.Ledger == nil:
		return errors.New("a function is missing")
	case o.Resend < 0 || o.CatchUp < 0 || o.Grace < 0 || o.Timeout < 0 || o.Patience < 0:
		return errors.New("times must not be negative")
	case o.Concurrency < 1 || o.MaxSeries < 1:
		return errors.New("limits must be positive")
	}
	return nil
}

// Settings are what a reload may change.
type Settings struct {
	// Rules says how rules are read, and what groups have that do not say.
	Rules rules.Options
	// Files are this node's rule files.
	Files []rules.Source
	// ExternalLabels are for templates.
	ExternalLabels labels.Labels
}

// Validate returns an error if the files together are too large to be agreed upon.
func (s Settings) Validate() error {
	named := settings{Settings: s, digest: digest(s.Files)}
	if n := len(filesCommand(strings.Repeat("-", maxNamespace), &named).Encode()); n > MaxCommand {
		return fmt.Errorf("all files together have %d bytes as they are agreed upon, and %d are allowed", n, MaxCommand)
	}
	return nil
}
