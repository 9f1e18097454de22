package querier

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
)

// Options of an Engine. The zero value works. A limit of 0 is the default, a negative one is none.
type Options struct {
	// Features are the names of Prometheus' --enable-feature that queries know (see Features).
	// Other names are ignored, since one list serves the whole node.
	Features []string
	// Plain leaves all evaluation to Prometheus' engine, in place of computing what package eval
	// knows over columns. The answers are the same.
	Plain bool
	// LookbackDelta is how old a sample may be and still count as current. Default 5m.
	LookbackDelta time.Duration
	// SubqueryStep is the step of a subquery that names none, as Prometheus' evaluation_interval.
	// It is asked for each query, so that a reload may change it. Default 1m.
	SubqueryStep func() time.Duration

	// Cluster is how other nodes are asked. The zero value is a node that is alone.
	Cluster Cluster

	// Timeout of a query, the wait for its turn included. Default 2m.
	Timeout time.Duration
	// MaxConcurrency is how many queries run at a time. Default twice the cores, at least 4 and at
	// most 20: more would not be faster, and writes would wait for them.
	MaxConcurrency int
	// MaxQueued is how many queries wait for their turn; more are refused. Default 200.
	MaxQueued int

	// MaxSamples is how many samples a query may hold at a time. Default 50,000,000, or as many as
	// MaxQueryBytes have room for.
	MaxSamples int
	// MaxSeries is how many series the selectors of a query may match together. Default 1,000,000.
	MaxSeries int
	// MaxQueryBytes is how many bytes a query may hold, or another request that reads: its text,
	// labels and chunks, and all that they are going to be evaluated to. Default 1 GiB.
	MaxQueryBytes int64
	// MaxBytes is the same for all requests of the node together. Default 2 GiB.
	MaxBytes int64
	// MaxMemory is how much memory may be in use in the whole process before the query that holds
	// most is ended. Default: no limit.
	MaxMemory int64

	// MaxLength is the length of a query's text in bytes. Default 1 MiB.
	MaxLength int
	// MaxDepth is how deep an expression's tree may be. Brackets, unary operators and operators
	// chained on one level all make it deeper. Evaluation recurses. Default 1000.
	MaxDepth int
	// MaxRegexLength is the length of all regular expressions of a query together, in bytes.
	// Default 256 KiB.
	MaxRegexLength int
	// MaxRegexSize is how many instructions the regular expressions of a query may compile to;
	// a run of plain text counts as one. Matching a value takes at most this times the value's
	// length. Default 10,000.
	MaxRegexSize int
	// MaxPoints is the number of steps of a range query. Default 11,000, as Prometheus has it.
	MaxPoints int
	// MaxSubquerySteps is how many steps the subqueries of a query may be evaluated at, together.
	// Default 1,000,000.
	MaxSubquerySteps int
	// MaxSubqueryPoints is how many points of a subquery may be visited for one series: the steps
	// within its range times the times it is asked for. Default 1,000,000,000.
	MaxSubqueryPoints int

	// CacheBytes is how many bytes results of range queries may take that are kept for the next time
	// they are asked for, see package cache. Default, and negative: none.
	CacheBytes int64

	// ActiveQueries is a file that names the queries that are running, so that the next start
	// knows which may have taken the node down. Empty is none.
	ActiveQueries string

	Logger     *slog.Logger          // Default: discards.
	Registerer prometheus.Registerer // May be nil.
}

// Cluster is what an Engine must know of other nodes.
type Cluster struct {
	Self placement.NodeID
	// View is asked for each selection. It has this node as Self.
	View func() plan.View
	// Reach returns the way to another node; an error when there is none.
	Reach func(plan.Node) (leaf.Node, error)
	// CatchUp learns the placement of an epoch, or a later one, from a node that knows it, and returns the view
	// of it, within a bounded time; nil learns none.
	CatchUp func(ctx context.Context, from plan.Node, epoch uint64) (plan.View, error)
	// Holds is what this node answers for; nil is everything.
	Holds leaf.Holds
}

// view returns where a selection learns who reads what.
func (o *Options) view() func() plan.View {
	if o.Cluster.View != nil {
		return o.Cluster.View
	}
	alone := plan.Single(plan.Node{Name: "this node"})
	return func() plan.View { return alone }
}

// The names of Prometheus' features that change how queries are parsed or evaluated.
const (
	featureFunctions      = "promql-experimental-functions"
	featureFill           = "promql-binop-fill-modifiers"
	featureUTF8Names      = "promql-unquoted-utf8-names"
	featurePerStepStats   = "promql-per-step-stats"
	featureDelayedNames   = "promql-delayed-name-removal"
	featureStartTimes     = "use-start-timestamps"
	featureTypeUnitLabels = "type-and-unit-labels"
)

// Features returns the names of the features that an Engine knows. Duration expressions and
// extended range selectors need no name: they are always on, as in Prometheus.
func Features() []string {
	return []string{
		featureFunctions, featureFill, featureUTF8Names, featurePerStepStats, featureDelayedNames,
		featureStartTimes, featureTypeUnitLabels,
	}
}

// has reports whether the feature is on. An entry may hold several names, as the flag may.
func (o *Options) has(feature string) bool {
	return slices.ContainsFunc(o.Features, func(list string) bool {
		return slices.Contains(strings.Split(list, ","), feature)
	})
}

// unlimited is what a negative limit becomes.
const unlimited = 1 << 62

func limitDefault[T int | int64](v *T, def T) {
	switch {
	case *v == 0:
		*v = def
	case *v < 0:
		*v = unlimited
	}
}

// EnsureDefaults sets what is not set.
func (o *Options) EnsureDefaults() {
	limitDefault(&o.MaxQueryBytes, 1<<30)
	limitDefault(&o.MaxBytes, 2<<30)
	limitDefault(&o.MaxSamples, int(min(o.MaxQueryBytes/pointBytes, 50_000_000)))
	limitDefault(&o.MaxSeries, 1_000_000)
	limitDefault(&o.MaxLength, 1<<20)
	limitDefault(&o.MaxDepth, 1000)
	limitDefault(&o.MaxRegexLength, 256<<10)
	limitDefault(&o.MaxRegexSize, 10_000)
	limitDefault(&o.MaxPoints, 11_000)
	limitDefault(&o.MaxSubquerySteps, 1_000_000)
	limitDefault(&o.MaxSubqueryPoints, 1_000_000_000)
	if o.MaxConcurrency == 0 {
		o.MaxConcurrency = min(max(2*runtime.GOMAXPROCS(0), 4), 20)
	}
	if o.MaxQueued == 0 {
		o.MaxQueued = 200
	}
	if o.LookbackDelta == 0 {
		o.LookbackDelta = 5 * time.Minute
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.SubqueryStep == nil {
		o.SubqueryStep = func() time.Duration { return time.Minute }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate returns an error that names what is wrong.
func (o *Options) Validate() error {
	var errs []error
	check := func(ok bool, text string) {
		if !ok {
			errs = append(errs, errors.New(text))
		}
	}
	check(o.LookbackDelta > 0, "query.lookback_delta must be positive")
	check(o.Timeout > 0, "query.timeout must be positive")
	check(o.MaxConcurrency > 0, "query.max_concurrency must be positive")
	check(o.MaxConcurrency <= maxSlots, "query.max_concurrency must be at most 4096")
	check((o.Cluster.View == nil) == (o.Cluster.Reach == nil), "the engine's cluster must have a view and a way to reach nodes")
	check(o.MaxQueued >= 0, "query.max_queued must not be negative")
	return errors.Join(errs...)
}

// limitName is the name of a limit, as in configuration and error ids.
type limitName string

const (
	limitLength      limitName = "max_length"
	limitDepth       limitName = "max_depth"
	limitRegexLength limitName = "max_regex_length"
	limitRegexSize   limitName = "max_regex_size"
	limitPoints      limitName = "max_points"
	limitSteps       limitName = "max_subquery_steps"
	limitVisits      limitName = "max_subquery_points"
	limitQueued      limitName = "max_queued"
	limitSamples     limitName = "max_samples"
	limitSeries      limitName = "max_series"
	limitQueryBytes  limitName = "max_query_bytes"
	limitBytes       limitName = "max_bytes"
	limitMemory      limitName = "max_memory"
	limitTimeout     limitName = "timeout"
)

func (l limitName) key() string { return "query." + string(l) }

func (l limitName) id() string {
	return "err-barograph-query-" + strings.ReplaceAll(string(l), "_", "-")
}
