package querier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/barograph-db/barograph/querier/cache"
	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/querier/fanout"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Engine answers queries over what the nodes hold.
type Engine struct {
	opts    Options
	promql  *promql.Engine
	parser  parser.Parser
	view    func() plan.View
	fanout  *fanout.Fanout
	local   leaf.Node
	memory  pool
	gate    *gate // of queries
	lookups *gate // of all else that reads
	served  *gate // of what other nodes ask
	watch   *watch
	active  *activeFile
	metrics *metrics
	results *cache.Cache // nil is none
	silence silence      // of nodes that were asked what was changed
}

var _ promql.QueryEngine = (*Engine)(nil)

// New returns an Engine over the node's own store and, if Options.Cluster is set, those of others. It reads and rewrites Options.ActiveQueries and
// logs what it finds there.
func New(store leaf.Store, opts Options) (*Engine, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		opts:   opts,
		view:   opts.view(),
		local:  leaf.New(store),
		parser: NewParser(opts.Features),
	}
	e.metrics = newMetrics(opts.Registerer, e)
	if opts.CacheBytes > 0 {
		e.results = cache.New(opts.CacheBytes, opts.Registerer)
	}
	e.memory = pool{max: opts.MaxBytes, metrics: e.metrics}
	e.watch = newWatch(opts.MaxMemory, e.metrics)
	e.gate = newGate(opts.MaxConcurrency, opts.MaxQueued, e.metrics)
	e.lookups = newGate(opts.MaxConcurrency, opts.MaxQueued, e.metrics)
	e.served = newGate(opts.MaxConcurrency, opts.MaxQueued, e.metrics)
	if holds := opts.Cluster.Holds; holds != nil {
		e.local = leaf.Holding(e.local, holds)
	}
	e.fanout = fanout.New(fanout.Options{Reach: e.reach, CatchUp: opts.Cluster.CatchUp, Registerer: opts.Registerer})
	e.promql = promql.NewEngine(promql.EngineOpts{
		Logger:                   opts.Logger,
		MaxSamples:               opts.MaxSamples,
		Timeout:                  opts.Timeout,
		LookbackDelta:            opts.LookbackDelta,
		NoStepSubqueryIntervalFn: func(int64) int64 { return e.subqueryStep().Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		EnablePerStepStats:       opts.has(featurePerStepStats),
		EnableDelayedNameRemoval: opts.has(featureDelayedNames),
		EnableTypeAndUnitLabels:  opts.has(featureTypeUnitLabels),
		UseStartTimestamps:       opts.has(featureStartTimes),
		Parser:                   e.parser,
	})
	active, err := openActiveFile(opts.ActiveQueries, opts.MaxConcurrency, time.Now())
	if err != nil {
		return nil, err
	}
	e.active = active
	for _, s := range active.suspects {
		opts.Logger.Warn("query was running when the node went down",
			"query", s.text, "started", s.started, "crashes", s.crashes)
	}
	return e, nil
}

// NewParser returns the parser of an Engine with these features.
func NewParser(features []string) parser.Parser {
	opts := Options{Features: features}
	return parser.NewParser(parser.Options{
		EnableExperimentalFunctions: opts.has(featureFunctions),
		EnableBinopFillModifiers:    opts.has(featureFill),
		EnableUnquotedUTF8Names:     opts.has(featureUTF8Names),
	})
}

// reach returns the way to a node: this one is a call away.
func (e *Engine) reach(n plan.Node) (leaf.Node, error) {
	if e.opts.Cluster.Reach == nil || n.ID == e.opts.Cluster.Self {
		return e.local, nil
	}
	return e.opts.Cluster.Reach(n)
}

// Close forgets the queries that are running; there should be none.
func (e *Engine) Close() error {
	e.watch.close()
	return errors.Join(e.active.close(), e.promql.Close())
}

// QueryOptions of one query. The zero value is the engine's own options.
type QueryOptions struct {
	// LookbackDelta in place of the engine's; 0 is the engine's.
	LookbackDelta time.Duration
	// Timeout where it is shorter than the engine's; 0 is the engine's.
	Timeout time.Duration
	// PerStepStats asks for statistics of each step, as stats=all does.
	PerStepStats bool
	// Explain asks for an explanation.
	Explain bool
	// UseStartTimestamps in place of the engine's feature; nil is the engine's.
	UseStartTimestamps *bool
	// NoCache neither takes from the results that are kept nor keeps any.
	NoCache bool
}

// Window is the times of a range query.
type Window struct {
	Start, End time.Time
	Step       time.Duration
}

// Result of a query. The value stays valid until Close.
type Result struct {
	Value    parser.Value
	Warnings annotations.Annotations
	Stats    *stats.Statistics
	// Explanation is nil unless it was asked for.
	Explanation *explain.Explanation

	close func()
}

// Close gives back the memory of the value and what it counted for in the node's budget.
func (r *Result) Close() { r.close() }

// Instant evaluates expr at t. An error has a kind, see KindOf. The caller closes the result.
func (e *Engine) Instant(ctx context.Context, expr string, t time.Time, opts QueryOptions) (*Result, error) {
	begin := time.Now()
	res, err := e.run(ctx, opts, func(q promstorage.Queryable, qo promql.QueryOpts) (promql.Query, error) {
		return e.NewInstantQuery(ctx, q, qo, expr, t)
	})
	e.metrics.observe(instant, err, begin)
	return res, err
}

// Range evaluates expr at each step of the window. An error has a kind, see KindOf. The caller
// closes the result.
func (e *Engine) Range(ctx context.Context, expr string, w Window, opts QueryOptions) (res *Result, err error) {
	begin := time.Now()
	if a := e.cacheable(ctx, expr, w, opts); a != nil {
		res, err = a.run(ctx)
	} else {
		res, err = e.compute(ctx, expr, w, opts)
	}
	e.metrics.observe(ranged, err, begin)
	return res, err
}

// compute evaluates all steps of the window.
func (e *Engine) compute(ctx context.Context, expr string, w Window, opts QueryOptions) (*Result, error) {
	return e.run(ctx, opts, func(q promstorage.Queryable, qo promql.QueryOpts) (promql.Query, error) {
		return e.NewRangeQuery(ctx, q, qo, expr, w.Start, w.End, w.Step)
	})
}

func (e *Engine) run(ctx context.Context, opts QueryOptions,
	build func(promstorage.Queryable, promql.QueryOpts) (promql.Query, error),
) (*Result, error) {
	own := &queryable{engine: e, account: e.memory.account(e.opts.MaxQueryBytes), lookback: opts.LookbackDelta}
	if own.lookback <= 0 {
		own.lookback = e.opts.LookbackDelta
	}
	if opts.Explain {
		own.trace = explain.New()
	}
	built, err := build(own, promql.NewPrometheusQueryOpts(opts.PerStepStats, opts.LookbackDelta, opts.UseStartTimestamps))
	if err != nil {
		own.account.Close()
		return nil, err
	}
	q := built.(*query)
	if opts.Timeout > 0 {
		q.timeout = min(q.timeout, opts.Timeout)
	}
	if err := own.account.Take(q.steps*stepBytes, "the steps of its subqueries"); err != nil {
		q.Close()
		return nil, err
	}
	res := q.Exec(ctx)
	explanation := own.trace.Finish()
	if res.Err == nil {
		res.Err = own.account.settle(resultBytes(res.Value), "its result")
	}
	if res.Err != nil {
		q.Close()
		return nil, res.Err
	}
	return &Result{Value: res.Value, Warnings: res.Warnings, Stats: q.Stats(), Explanation: explanation, close: q.Close}, nil
}

// NewInstantQuery prepares a query over any Queryable, under the engine's limits. It makes Engine a
// promql.QueryEngine, for rules and test scripts; Instant is the way to ask the nodes.
func (e *Engine) NewInstantQuery(ctx context.Context, q promstorage.Queryable, opts promql.QueryOpts,
	expr string, t time.Time,
) (promql.Query, error) {
	return e.prepare(expr, q, opts, func(q promstorage.Queryable) (promql.Query, error) {
		return e.promql.NewInstantQuery(ctx, q, opts, expr, t)
	})
}

// NewRangeQuery is NewInstantQuery for a range of times.
func (e *Engine) NewRangeQuery(ctx context.Context, q promstorage.Queryable, opts promql.QueryOpts,
	expr string, start, end time.Time, step time.Duration,
) (promql.Query, error) {
	if err := e.checkWindow(Window{start, end, step}); err != nil {
		return nil, err
	}
	return e.prepare(expr, q, opts, func(q promstorage.Queryable) (promql.Query, error) {
		return e.promql.NewRangeQuery(ctx, q, opts, expr, start, end, step)
	})
}

func (e *Engine) prepare(expr string, source promstorage.Queryable, opts promql.QueryOpts,
	build func(promstorage.Queryable) (promql.Query, error),
) (promql.Query, error) {
	cost, err := e.scan(expr)
	if err != nil {
		return nil, err
	}
	if err := e.active.refuse(expr, time.Now()); err != nil {
		return nil, err
	}
	q := &query{engine: e, text: expr, timeout: e.opts.Timeout}
	if shared, ok := source.(*queryable); ok {
		own := *shared
		if own.account == nil {
			own.account, q.owner = e.memory.account(e.opts.MaxQueryBytes), true
		}
		q.source, source = &own, &own
		q.columns = e.columnar(&own, opts)
		if err := own.account.Take(cost, textName); err != nil {
			own.account.Close()
			return nil, err
		}
	}
	if q.Query, err = build(source); err != nil {
		q.giveBack()
		return nil, &Error{Kind: BadData, Err: err}
	}
	if q.columns != nil {
		q.columns.query = q.Query
	}
	if q.steps, err = e.checkTree(q.Statement()); err != nil {
		q.Close()
		return nil, err
	}
	return q, nil
}

// checkWindow refuses a range query that asks for too many points, with Prometheus' words.
func (e *Engine) checkWindow(w Window) error {
	switch {
	case w.Step <= 0:
		return badData("zero or negative query resolution step widths are not accepted. Try a positive integer")
	case w.End.Before(w.Start):
		return badData("end timestamp must not be before start time")
	}
	if points := int64(w.End.Sub(w.Start) / w.Step); points > int64(e.opts.MaxPoints) {
		return e.metrics.limited(BadData, limitPoints, int64(e.opts.MaxPoints), "exceeded maximum resolution of %d points per timeseries."+
			" Try decreasing the query resolution (?step=XX)", e.opts.MaxPoints)
	}
	return nil
}

func (e *Engine) subqueryStep() time.Duration { return max(e.opts.SubqueryStep(), time.Millisecond) }

// ParseExpr parses an expression within the limits on its text.
func (e *Engine) ParseExpr(ctx context.Context, text string) (parser.Expr, error) {
	return parse(ctx, e, text, e.parser.ParseExpr)
}

// ParseSelector parses a selector such as up{job="x"} within the limits on its text.
func (e *Engine) ParseSelector(ctx context.Context, text string) ([]*labels.Matcher, error) {
	return parse(ctx, e, text, e.parser.ParseMetricSelector)
}

// textName is what a query's text is called where it takes too many bytes.
const textName = "its text"

func parse[T any](ctx context.Context, e *Engine, text string, do func(string) (T, error)) (parsed T, err error) {
	cost, err := e.scan(text)
	if err == nil {
		err = AccountOf(ctx).Take(cost, textName)
	}
	if err != nil {
		return parsed, err
	}
	if parsed, err = do(text); err != nil {
		err = &Error{Kind: BadData, Err: err}
	}
	return parsed, err
}

// NewMatcher makes a matcher within the limits on regular expressions.
func (e *Engine) NewMatcher(ctx context.Context, t labels.MatchType, name, value string) (*labels.Matcher, error) {
	budget := e.newRegexBudget()
	if t == labels.MatchRegexp || t == labels.MatchNotRegexp {
		if err := budget.spend(value); err != nil {
			return nil, err
		}
	}
	if err := AccountOf(ctx).Take(budget.bytes(len(value)), textName); err != nil {
		return nil, err
	}
	m, err := labels.NewMatcher(t, name, value)
	if err != nil {
		return nil, &Error{Kind: BadData, Err: err}
	}
	return m, nil
}

// Queryable gives the series of all nodes to Prometheus' libraries. What a querier reads counts
// towards the limits on bytes and series until it is closed; its errors have kinds, see KindOf.
func (e *Engine) Queryable() promstorage.SampleAndChunkQueryable { return &queryable{engine: e} }

// Exemplars returns the exemplars of series that match all matchers of any of the sets.
func (e *Engine) Exemplars(ctx context.Context, mint, maxt int64, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	found, err := e.fanout.Exemplars(ctx, plan.Make(plan.Query{Mint: mint, Maxt: maxt}, e.view()), ms...)
	if err != nil {
		return nil, e.storageError(fmt.Errorf("select exemplars: %w", err))
	}
	const exemplarBytes = 64
	bytes := int64(0)
	for _, s := range found { // The store keeps so few of them that they may be counted now.
		bytes += seriesBytes + 2*int64(len(s.Labels))
		for _, x := range s.Exemplars {
			bytes += exemplarBytes + int64(len(x.Labels))
		}
	}
	return found, AccountOf(ctx).Take(bytes, "exemplars")
}

// Cardinality counts what the newest series of all nodes have, for a ranking of so many.
func (e *Engine) Cardinality(ctx context.Context, ranking int) (*cardinality.Counts, error) {
	account := AccountOf(ctx)
	now := time.Now().UnixMilli()
	p := plan.Make(plan.Query{Mint: now, Maxt: now}, e.view())
	found, err := e.fanout.Cardinality(ctx, p, series.Selector{
		Mint: now, Maxt: now, Limit: ranking,
		Take: func(n int64) error { return account.Take(n, "how many series have what") },
	})
	return found, e.storageError(err)
}

// Metadata returns what is known of each metric family.
func (e *Engine) Metadata(ctx context.Context) ([]frame.Metadata, error) {
	found, err := e.fanout.Metadata(ctx, e.view())
	return found, e.storageError(err)
}
