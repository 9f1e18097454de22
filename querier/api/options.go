package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	promstorage "github.com/prometheus/prometheus/storage"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/storage/frame"
)

// Engine is what the handlers need of *querier.Engine. It refuses texts that are too long or too
// deep before it parses them.
type Engine interface {
	Instant(ctx context.Context, expr string, t time.Time, opts querier.QueryOptions) (*querier.Result, error)
	Range(ctx context.Context, expr string, w querier.Window, opts querier.QueryOptions) (*querier.Result, error)

	ParseExpr(ctx context.Context, text string) (parser.Expr, error)
	ParseSelector(ctx context.Context, text string) ([]*labels.Matcher, error)
	NewMatcher(ctx context.Context, t labels.MatchType, name, value string) (*labels.Matcher, error)

	Account(ctx context.Context) (context.Context, *querier.Account)
	Turn(ctx context.Context) (_ context.Context, done func(), err error)

	Queryable() promstorage.SampleAndChunkQueryable
	Exemplars(ctx context.Context, mint, maxt int64, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error)
	Metadata(ctx context.Context) ([]frame.Metadata, error)
}

// Options of an API. Engine is needed; all else may be left out.
type Options struct {
	Engine Engine

	Store         Store
	Admin         Admin
	Status        Status
	Targets       Targets
	Rules         Rules
	Alertmanagers func() (active, dropped []string)

	// ExternalLabels are added to federated and remotely read series; nil is none.
	ExternalLabels func() labels.Labels
	// Ready says whether queries can be answered yet; nil is always.
	Ready func() bool

	// LookbackDelta is how far back federation looks for a series' last sample; default 5 min. It
	// should be the engine's.
	LookbackDelta time.Duration

	// MaxFormBytes bounds the body of a form; default 4 MiB: more than the longest query.
	MaxFormBytes int64
	// MaxSelectors bounds the match[] parameters of one request, and the selectors of one exemplar
	// query; default 1000.
	MaxSelectors int
	// MaxReadBytes bounds a remote-read request, before and after decompression; default 32 MiB, as
	// Prometheus.
	MaxReadBytes int
	// MaxReadSelectors bounds the queries and their matchers in one remote-read request; default
	// 10,000.
	MaxReadSelectors int
	// MaxReadSamples bounds an unstreamed remote-read answer, which is built in memory; default 50
	// million, as Prometheus.
	MaxReadSamples int
	// MaxReadFrameBytes is where a streamed series is cut into frames; default 1 MiB, as Prometheus.
	MaxReadFrameBytes int
	// MaxReads run at once, the others wait; default 10, as Prometheus.
	MaxReads int

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Store is what the storage tells about itself. Each function may be nil.
type Store struct {
	// Stats of the head, or of the heads of all nodes, with the limit largest of each ranking.
	Stats     func(ctx context.Context, limit int) (TSDBStats, error)
	Blocks    func(ctx context.Context) ([]Block, error)
	WALReplay func() (WALReplay, error)
}

// Admin is what the admin API does. While Enabled is false every call of it is refused; a
// function that is nil is not there.
type Admin struct {
	Enabled         bool
	Delete          func(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error
	CleanTombstones func(ctx context.Context) error
	// Snapshot returns the name of the directory it made.
	Snapshot func(ctx context.Context, skipHead bool) (string, error)
	Flush    func(ctx context.Context) error
	Seal     func(ctx context.Context) error
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	setDefault(&o.LookbackDelta, 5*time.Minute)
	setDefault(&o.MaxFormBytes, 4<<20)
	setDefault(&o.MaxSelectors, 1000)
	setDefault(&o.MaxReadBytes, 32<<20)
	setDefault(&o.MaxReadSelectors, 10_000)
	setDefault(&o.MaxReadSamples, 50_000_000)
	setDefault(&o.MaxReadFrameBytes, 1<<20)
	setDefault(&o.MaxReads, 10)
	if o.ExternalLabels == nil {
		o.ExternalLabels = labels.EmptyLabels
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
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
	case o.Engine == nil:
		return errors.New("no engine is given")
	case o.LookbackDelta < 0, o.MaxFormBytes < 0, o.MaxSelectors < 0, o.MaxReadBytes < 0, o.MaxReadSelectors < 0,
		o.MaxReadSamples < 0, o.MaxReadFrameBytes < 0, o.MaxReads < 0:
		return errors.New("a limit of the query API is negative")
	}
	return nil
}
