package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/barograph-db/barograph/ingest/dedup"
	"github.com/barograph-db/barograph/ingest/limit"
	"github.com/barograph-db/barograph/querier"
)

// Barograph is everything of our own in the configuration file. Zero values stand for the defaults
// named at each field; those of limits and query are set by the packages that keep to them. Where a
// flag sets the same thing, the flag wins if it is given.
type Barograph struct {
	Limits     Limits     `yaml:"limits,omitempty"`
	HA         HA         `yaml:"ha,omitempty"`
	Retention  Retention  `yaml:"retention"`
	Query      Query      `yaml:"query,omitempty"`
	SelfScrape SelfScrape `yaml:"self_scrape"`
	Web        Web        `yaml:"web"`
}

// Limits are what writers are held to. Each refusal names its limit in an err-barograph-... id and
// is counted. A negative value is no limit, except for bodies and buckets. A reload changes them.
type Limits struct {
	// BodyBytes of one request as it is sent, compressed; default 32MiB, or less of little memory.
	BodyBytes Bytes `yaml:"body_bytes,omitempty"`
	// DecodedBytes of one request when decompressed; default 128MiB, or less of little memory.
	DecodedBytes Bytes `yaml:"decoded_bytes,omitempty"`
	// ImportBytes of one import when decompressed; default 16GiB.
	ImportBytes Bytes `yaml:"import_bytes,omitempty"`
	// InFlightBytes of all requests being worked on at once; default an eighth of the memory, at most
	// 512MiB.
	InFlightBytes Bytes `yaml:"in_flight_bytes,omitempty"`
	// BodyTime is how long a body may take to arrive, and each piece of an import; default 30s.
	BodyTime Duration `yaml:"body_time,omitempty"`
	// LabelsPerSeries is the most labels of a series; default 128.
	LabelsPerSeries int `yaml:"labels_per_series,omitempty"`
	// LabelNameBytes is the longest name of a label; default 1KiB.
	LabelNameBytes Bytes `yaml:"label_name_bytes,omitempty"`
	// LabelValueBytes is the longest value of a label; default 8KiB.
	LabelValueBytes Bytes `yaml:"label_value_bytes,omitempty"`
	// HistogramBuckets is the most buckets of a native histogram; default 10000.
	HistogramBuckets int `yaml:"histogram_buckets,omitempty"`
	// ActiveSeries is the most series in memory; default 5000000, or as many as fit half the memory.
	ActiveSeries int `yaml:"active_series,omitempty"`
	// NewSeriesPerSecond bounds the rate at which series are created; default 100000.
	NewSeriesPerSecond int `yaml:"new_series_per_second,omitempty"`
	// NewSeriesBurst is how many may come at once after a quiet time; default 2000000.
	NewSeriesBurst int `yaml:"new_series_burst,omitempty"`
	// ExemplarsPerRequest beyond which the rest is dropped; default 20000.
	ExemplarsPerRequest int `yaml:"exemplars_per_request,omitempty"`
	// MetadataPerRequest beyond which the rest is dropped; default 20000.
	MetadataPerRequest int `yaml:"metadata_per_request,omitempty"`
	// MetadataBytes of one metadata beyond which it is dropped; default 8KiB.
	MetadataBytes Bytes `yaml:"metadata_bytes,omitempty"`
	// FutureTolerance is how far ahead of this node's clock a sample may be; default 10m. Read at start.
	FutureTolerance Duration `yaml:"future_tolerance,omitempty"`
}

// options are the limits in the words of the package that keeps to them.
func (l Limits) options() limit.Options {
	return limit.Options{
		BodyBytes: int64(l.BodyBytes), DecodedBytes: int64(l.DecodedBytes), ImportBytes: int64(l.ImportBytes),
		InFlightBytes: int64(l.InFlightBytes), BodyTime: time.Duration(l.BodyTime),
		LabelsPerSeries: l.LabelsPerSeries, LabelNameBytes: int(l.LabelNameBytes), LabelValueBytes: int(l.LabelValueBytes),
		HistogramBuckets: l.HistogramBuckets, ActiveSeries: l.ActiveSeries,
		NewSeriesPerSecond: l.NewSeriesPerSecond, NewSeriesBurst: l.NewSeriesBurst,
		ExemplarsPerRequest: l.ExemplarsPerRequest, MetadataPerRequest: l.MetadataPerRequest,
		MetadataBytes: int(l.MetadataBytes),
	}
}

// HA stores one of the replicas of each HA pair of Prometheus servers. A reload changes the times and
// the number of pairs.
type HA struct {
	// Enabled looks for pairs; default false. In a cluster all nodes should have the same. Read at start.
	Enabled bool `yaml:"enabled,omitempty"`
	// ClusterLabel names the pair; default cluster. Read at start.
	ClusterLabel string `yaml:"cluster_label,omitempty"`
	// ReplicaLabel names the replica and is not stored; default __replica__. Read at start.
	ReplicaLabel string `yaml:"replica_label,omitempty"`
	// Failover is how long the elected replica may be silent before another is elected; default 30s.
	Failover Duration `yaml:"failover,omitempty"`
	// Update is how old what nodes agree on about its last sign of life may get; default 10s.
	Update Duration `yaml:"update,omitempty"`
	// MaxClusters is the most pairs; default 1000.
	MaxClusters int `yaml:"max_clusters,omitempty"`
}

// fixed is what a reload does not change.
func (h HA) fixed() HA {
	h.Failover, h.Update, h.MaxClusters = 0, 0, 0
	return h
}

func (h HA) settings() dedup.Settings {
	return dedup.Settings{Failover: time.Duration(h.Failover), Update: time.Duration(h.Update), MaxClusters: h.MaxClusters}
}

// options are those of the package, but for who agrees.
func (h HA) options() dedup.Options {
	return dedup.Options{ClusterLabel: h.ClusterLabel, ReplicaLabel: h.ReplicaLabel, Settings: h.settings()}
}

// Retention says how long samples are kept.
type Retention struct {
	// Time is the age at which raw samples are dropped; default 30d. --storage.retention wins.
	Time Duration `yaml:"time"`
	// Size of the data on disk above which the oldest is dropped; 0, the default, is no limit.
	// --storage.retention-size wins.
	Size Bytes `yaml:"size"`
}

// Query is what queries are held to. For a limit, a negative value is none. They are read at start.
type Query struct {
	// Timeout ends a query, the wait for its turn included; default 2m. --query.timeout wins.
	Timeout Duration `yaml:"timeout,omitempty"`
	// MaxSamples is the most samples a query may hold at a time; default 50000000, or as many as fit max_query_bytes.
	// --query.max-samples wins.
	MaxSamples int `yaml:"max_samples,omitempty"`
	// MaxConcurrency is the most queries that run at one time; default twice the cores, between 4 and
	// 20. --query.max-concurrency wins.
	MaxConcurrency int `yaml:"max_concurrency,omitempty"`
	// MaxQueued is the most queries that wait for their turn; more are refused. Default 200.
	MaxQueued int `yaml:"max_queued,omitempty"`
	// LookbackDelta is how far back an instant selector looks for a sample; default 5m.
	// --query.lookback-delta wins.
	LookbackDelta Duration `yaml:"lookback_delta,omitempty"`
	// MaxSeries is the most series a query's selectors may match together; default 1000000.
	MaxSeries int `yaml:"max_series,omitempty"`
	// MaxQueryBytes is the most memory a query may hold, or a request for series or labels; default
	// half of max_bytes.
	MaxQueryBytes Bytes `yaml:"max_query_bytes,omitempty"`
	// MaxBytes is the same for all of them together; default a quarter of the memory.
	MaxBytes Bytes `yaml:"max_bytes,omitempty"`
	// MaxMemory is how much memory may be in use in the whole process before the query that holds most
	// is ended; default four fifths of the memory.
	MaxMemory Bytes `yaml:"max_memory,omitempty"`
	// CacheBytes is how much memory results of range queries may take that are kept for the next time
	// they are asked for, 0 for none; default a thirty-second of the memory, at most 256MiB.
	// --query.cache-bytes wins.
	CacheBytes Room `yaml:"cache_bytes,omitempty"`
	// MaxLength of a query's text in bytes; default 1MiB.
	MaxLength Bytes `yaml:"max_length,omitempty"`
	// MaxDepth of an expression; default 1000.
	MaxDepth int `yaml:"max_depth,omitempty"`
	// MaxRegexLength of all regular expressions of a query together; default 256KiB.
	MaxRegexLength Bytes `yaml:"max_regex_length,omitempty"`
	// MaxRegexSize is the most instructions a query's regular expressions may compile to; default 10000.
	MaxRegexSize int `yaml:"max_regex_size,omitempty"`
	// MaxPoints is the most steps of a range query; default 11000, as in Prometheus.
	MaxPoints int `yaml:"max_points,omitempty"`
	// MaxSubquerySteps is the most steps the subqueries of a query may be evaluated at; default 1000000.
	MaxSubquerySteps int `yaml:"max_subquery_steps,omitempty"`
	// MaxSubqueryPoints is the most points of subqueries visited for one series; default 1000000000.
	MaxSubqueryPoints int `yaml:"max_subquery_points,omitempty"`
}

// options are the limits in the words of the package that keeps to them.
func (q Query) options() querier.Options {
	return querier.Options{
		Timeout: time.Duration(q.Timeout), LookbackDelta: time.Duration(q.LookbackDelta),
		MaxConcurrency: q.MaxConcurrency, MaxQueued: q.MaxQueued, MaxSamples: q.MaxSamples, MaxSeries: q.MaxSeries,
		MaxQueryBytes: int64(q.MaxQueryBytes), MaxBytes: int64(q.MaxBytes), MaxMemory: int64(q.MaxMemory), CacheBytes: q.CacheBytes.limit(), MaxLength: int(q.MaxLength), MaxDepth: q.MaxDepth,
		MaxRegexLength: int(q.MaxRegexLength), MaxRegexSize: q.MaxRegexSize, MaxPoints: q.MaxPoints,
		MaxSubquerySteps: q.MaxSubquerySteps, MaxSubqueryPoints: q.MaxSubqueryPoints,
	}
}

// SelfScrape steers how the node stores its own metrics.
type SelfScrape struct {
	// Enabled stores the node's own metrics; default true.
	Enabled *bool `yaml:"enabled"`
	// Interval between two scrapes; default global.scrape_interval where the file sets it, else 15s.
	Interval Duration `yaml:"interval"`
}

// Web bounds the HTTP server. These are read at start; a reload does not change them.
type Web struct {
	// MaxConnections is the most open connections of all listeners; the ones above it are closed at
	// once. Default 4096, and never more than half of the files the process may open.
	MaxConnections int `yaml:"max_connections"`
	// HeaderTimeout bounds the time to read a request's header; default 10s.
	HeaderTimeout Duration `yaml:"header_timeout"`
	// BodyTimeout bounds the time to read a request's body; default 30s. Writes have their own:
	// limits.body_time.
	BodyTimeout Duration `yaml:"body_timeout"`
	// IdleTimeout closes a connection between two requests; default 5m.
	IdleTimeout Duration `yaml:"idle_timeout"`
	// DrainTimeout bounds the time that requests get to end in when the node stops; default 10s.
	DrainTimeout Duration `yaml:"drain_timeout"`
}

// fileKeys says where in the file a type's keys stand, for messages.
var fileKeys = map[string]string{
	"Global": "global", "Runtime": "runtime", "Barograph": "barograph",
	"Limits": "barograph.limits", "HA": "barograph.ha", "Retention": "barograph.retention", "Query": "barograph.query",
	"SelfScrape": "barograph.self_scrape", "Web": "barograph.web",
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// ensureDefaults replaces the zero values that the node itself acts upon. scrapeInterval is the one that the file sets, or 0.
func (b *Barograph) ensureDefaults(scrapeInterval Duration) {
	setDefault(&b.Retention.Time, Duration(30*24*time.Hour))

	enabled := true
	setDefault(&b.SelfScrape.Enabled, &enabled)
	setDefault(&b.SelfScrape.Interval, scrapeInterval)
	setDefault(&b.SelfScrape.Interval, Duration(15*time.Second))

	w := &b.Web
	setDefault(&w.MaxConnections, 4096)
	setDefault(&w.HeaderTimeout, Duration(10*time.Second))
	setDefault(&w.BodyTimeout, Duration(30*time.Second))
	setDefault(&w.IdleTimeout, Duration(5*time.Minute))
	setDefault(&w.DrainTimeout, Duration(10*time.Second))
}

func (b *Barograph) validate() error {
	limits, queries := b.Limits.options(), b.Query.options()
	limits.EnsureDefaults()
	queries.EnsureDefaults()
	var errs []error
	if err := limits.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("barograph.limits: %w", err))
	}
	if err := queries.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("barograph.%w", err))
	}
	pairs := b.HA.options()
	pairs.EnsureDefaults()
	if err := pairs.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("barograph.ha: %w", err))
	}
	if b.Web.MaxConnections < 0 {
		errs = append(errs, errors.New("barograph.web.max_connections must not be negative"))
	}
	if b.SelfScrape.Interval < Duration(time.Second) {
		errs = append(errs, errors.New("barograph.self_scrape.interval must be at least 1s"))
	}
	return errors.Join(errs...)
}
