package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/trust"
	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/dedup"
	"github.com/barograph-db/barograph/ingest/intake"
	"github.com/barograph-db/barograph/ingest/limit"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/api"
	"github.com/barograph-db/barograph/ruler/notify"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/wal"
)

// Node is one running process with one data directory.
type Node struct {
	cfg       Config
	options   Barograph // in force since the start: the file's, the command line's over them
	logger    *slog.Logger
	registry  registry
	metrics   *metrics
	memory    memory
	limits    *limit.Limiter
	trust     *trust.Store // nil for a node by itself
	external  *url.URL     // where the node is reached
	listeners []net.Listener
	started   time.Time

	// What a reload changes.
	reload       sync.Mutex // one at a time
	collector    collector
	file         atomic.Pointer[File]
	loaded       atomic.Pointer[time.Time]
	reloadFailed atomic.Bool
	ruling       atomic.Pointer[ruling] // nil before the storage is open
	notifier     *notify.Notifier
	pairs        atomic.Pointer[dedup.Elections] // nil where none are looked for, and before the storage is open
	cluster      atomic.Pointer[cluster.Cluster] // nil for a node by itself, and before the storage is open

	phase       atomic.Int32
	handler     atomic.Pointer[http.ServeMux]
	corruptions atomic.Int64
	replayed    atomic.Int64 // segments
	logDamaged  atomic.Bool  // it was found to be so at the start
	damages     chan storage.DamageInfo

	quitting context.Context
	quit     context.CancelFunc
}

// registry takes metrics and gives them back.
type registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// New reads the configuration, takes the listen addresses and prepares a node. It starts nothing;
// Run has to follow, since it gives the addresses back.
func New(cfg Config) (*Node, error) { return newNode(cfg, prometheus.NewRegistry()) }

func newNode(cfg Config, reg registry) (*Node, error) {
	if err := cfg.EnsureDefaults(); err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	notifier, err := notify.New(notify.Options{
		UserAgent: "Barograph/" + version.Version, Logger: cfg.Logger, Registerer: reg,
	})
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, logger: cfg.Logger, registry: reg, started: time.Now().UTC(), memory: ownMemory(), notifier: notifier,
		damages: make(chan storage.DamageInfo, maxDamages),
	}
	file, err := n.loadFile()
	if err != nil {
		return nil, err
	}
	n.options = cfg.override(file.Barograph)
	if err := n.options.validate(); err != nil {
		return nil, err
	}
	if err := web.Validate(cfg.Web.ConfigFile); err != nil {
		return nil, fmt.Errorf("--web.config.file=%s: %w", cfg.Web.ConfigFile, err)
	}
	n.metrics = newMetrics(n.registry)
	registerProcess(n.registry)
	if n.limits, err = limit.New(n.limitOptions(file), n.registry); err != nil {
		return nil, err
	}
	if err = n.openTrust(); err != nil {
		return nil, err
	}
	if n.listeners, err = listen(cfg.network, cfg.Web.ListenAddresses); err != nil {
		return nil, err
	}
	n.external = n.externalURL()
	n.quitting, n.quit = context.WithCancel(context.Background())
	n.warnFeatures()
	n.apply(file)
	n.handler.Store(n.mux(n.waitingRoutes()))
	return n, nil
}

// Addresses that the node listens on.
func (n *Node) Addresses() []net.Addr {
	addrs := make([]net.Addr, len(n.listeners))
	for i, l := range n.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Ready reports whether the node takes writes and queries.
func (n *Node) Ready() bool { return phase(n.phase.Load()) == serving }

// Run starts the parts, and stops them in the reverse order when ctx ends or one of them fails.
// The order of stopping is the promise: a request that was let in finds all that it needs.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer n.quit()
	defer context.AfterFunc(n.quitting, func() { cancel(nil) })()

	// HTTP comes first and goes before the storage: health and metrics are to be seen while the log
	// is read, which may take seconds.
	srv := n.newServer()
	var serving sync.WaitGroup
	serving.Go(func() { srv.run(cancel) })
	n.logger.Info("Starting", "version", version.Info(), "build", version.BuildContext(), "node", n.cfg.Name, "data", n.cfg.Storage.Path)

	adapting, stopAdapting := context.WithCancel(ctx)
	defer stopAdapting()
	serving.Go(func() { n.collector.run(adapting) })
	if n.trust != nil {
		serving.Go(func() { n.trust.Run(adapting) })
	}

	err := n.runStorage(ctx, srv)
	stopAdapting()
	srv.shutdown() // Again, for the case that the storage did not open.
	serving.Wait()
	if err == nil {
		err = context.Cause(ctx)
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
	}
	n.logger.Info("Stopped")
	return err
}

// runStorage opens the storage, builds what stands on it, and serves until ctx ends.
func (n *Node) runStorage(ctx context.Context, srv *server) (err error) {
	db, err := storage.Open(n.cfg.Storage.Path, n.storageOptions())
	if err != nil {
		return fmt.Errorf("--storage.path=%s: %w", n.cfg.Storage.Path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	// Writes wait for the log, so it must be running before the first one is let in, and after the
	// last one has its answer.
	ctx, cancel := context.WithCancelCause(ctx)
	dbCtx, stopDB := context.WithCancel(context.WithoutCancel(ctx))
	var dbErr error
	var dbDone sync.WaitGroup
	dbDone.Go(func() {
		dbErr = db.Run(dbCtx)
		cancel(dbErr) // It ends by itself only when it fails.
	})
	defer func() {
		stopDB()
		dbDone.Wait()
		err = errors.Join(err, dbErr)
	}()

	var others *region
	if n.cfg.Cluster.Name != "" {
		if others, err = n.openRegion(db); err != nil {
			return err
		}
	}
	stack, err := n.build(db, others)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.engine.Close()) }()
	ruling, err := n.openRules(others, stack)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ruling.close()) }()
	if others != nil {
		if err := others.newMover(stack.engine); err != nil {
			return err
		}
		stopCluster := n.join(ctx, cancel, others, stack)
		defer func() { err = errors.Join(err, stopCluster()) }()
		if ctx.Err() != nil {
			return nil
		}
	}

	// Elections are told and kept until the last write has its answer.
	electing, stopElecting := context.WithCancel(context.WithoutCancel(ctx))
	var elections sync.WaitGroup
	for _, part := range stack.parts {
		elections.Go(func() {
			if err := part(electing); err != nil {
				cancel(err)
			}
		})
	}
	defer elections.Wait()
	defer stopElecting()

	// Rules write too, and end before writes do.
	var evaluating sync.WaitGroup
	evaluating.Go(func() {
		if err := ruling.run(ctx); err != nil {
			cancel(err)
		}
	})
	defer evaluating.Wait()

	// The node's own metrics first, so that whoever sees it ready finds an answer.
	var scraping sync.WaitGroup
	if *n.options.SelfScrape.Enabled {
		s := newSelfScraper(n.registry, stack.appender, n.instance())
		n.selfScrape(ctx, s)
		scraping.Go(func() { n.selfScrapeLoop(ctx, s) })
	}

	n.handler.Store(n.mux(append(n.earlyRoutes(), stack.routes...)))
	n.setPhase(serving)
	n.logger.Info("Ready", "after", time.Since(n.started).Round(time.Millisecond))

	<-ctx.Done()

	// New writes are refused while the connections still stand, so that senders learn that they
	// should come back, and those let in are given time; then the listeners close.
	n.logger.Info("Stopping")
	n.setPhase(stopping)
	if !stack.writes.close(time.Duration(n.options.Web.DrainTimeout)) {
		n.logger.Warn("Writes did not end in time and are cut off")
	}
	scraping.Wait()
	evaluating.Wait()
	srv.shutdown()
	return nil
}

// join takes part in the cluster, and returns when the node has its place there, or ctx has ended.
func (n *Node) join(ctx context.Context, fail context.CancelCauseFunc, others *region, s *stack) (stop func() error) {
	others.serve(s.engine)
	early := n.waitingRoutes()
	for _, r := range others.cluster.Routes(n.cfg.Web.EnableAdminAPI) {
		early = append(early, route{r.Pattern, r.Handler})
		s.routes = append(s.routes, route{r.Pattern, r.Handler})
	}
	n.handler.Store(n.mux(early))
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		err := others.run(running, func() { close(ready) })
		if running.Err() == nil {
			fail(errors.Join(err, errors.New("the node's part in the cluster has ended")))
		}
		done <- err
	}()
	select {
	case <-ready:
	case <-ctx.Done():
	}
	return func() error {
		end()
		return <-done
	}
}

func (n *Node) setPhase(p phase) {
	n.phase.Store(int32(p))
	ready := 0.0
	if p == serving {
		ready = 1
	}
	n.metrics.ready.Set(ready)
}

func (n *Node) newServer() *server {
	limit := n.options.Web.MaxConnections
	if files := openFiles(); files > 0 {
		if most := maxConnections(limit, files); most < limit {
			n.logger.Warn("The process may open few files, so fewer connections are allowed; raise the limit (ulimit -n, LimitNOFILE=)",
				"files", files, "connections", most)
			limit = most
		}
	}
	return newServer(n.listeners, newConnLimit(limit, n.metrics), n.root(), n.options.Web, n.cfg.Web.ConfigFile, n.logger)
}

func (n *Node) storageOptions() storage.Options {
	mode, _ := wal.ParseMode(n.cfg.Storage.WALSync) // Config.Validate has parsed it before.
	o := storage.Options{
		FS:               n.cfg.disk,
		Registerer:       n.registry,
		Events:           n.storageEvents(),
		WALSync:          mode,
		Retention:        time.Duration(n.options.Retention.Time),
		RetentionBytes:   int64(n.options.Retention.Size),
		OutOfOrderWindow: time.Duration(n.cfg.Storage.OutOfOrderWindow),
	}
	n.memory.storage(&o)
	return o
}

func (n *Node) limitOptions(f *File) limit.Options {
	o := f.Barograph.Limits.options()
	n.memory.writes(&o)
	return o
}

// stack is what stands on an open storage.
type stack struct {
	appender ingest.Appender
	engine   *querier.Engine
	writes   *gate
	routes   []route
	parts    []func(context.Context) error // what runs as long as writes are taken
}

// build puts the write path and the query path together.
func (n *Node) build(db *storage.DB, others *region) (*stack, error) {
	s := &stack{writes: &gate{}}
	var store ingest.Store = db
	if others != nil {
		store = others.store()
	}
	elector, err := n.openElections(others, s)
	if err != nil {
		return nil, err
	}
	writer, err := ingest.NewWriter(store, ingest.Options{
		MaxFuture:          time.Duration(n.options.Limits.FutureTolerance),
		Retention:          time.Duration(n.options.Retention.Time),
		StartTimestampZero: n.feature("created-timestamp-zero-ingestion"),
		Elector:            elector,
		Guard:              n.limits,
		Registerer:         n.registry,
	})
	if err != nil {
		return nil, err
	}
	s.appender = n.limits.Over(writer)

	opts := n.options.Query.options()
	n.memory.queries(&opts)
	opts.Features = n.cfg.features()
	opts.SubqueryStep = func() time.Duration { return time.Duration(n.file.Load().Global.EvaluationInterval) }
	opts.ActiveQueries = filepath.Join(n.cfg.Storage.Path, "active-queries")
	opts.Logger, opts.Registerer = n.logger, n.registry
	if others != nil {
		opts.Cluster = others.querier()
	}
	if s.engine, err = querier.New(db, opts); err != nil {
		return nil, err
	}
	queries, err := api.New(n.apiOptions(s.engine, db, others != nil))
	if err != nil {
		return nil, errors.Join(err, s.engine.Close())
	}
	s.routes = append(n.writeRoutes(intake.New(n.limits, n.registry), s.appender, s.writes), n.queryRoutes(queries)...)
	return s, nil
}

// nodeFeatures are the features that the node itself acts upon; the rest are the querier's.
var nodeFeatures = []string{"created-timestamp-zero-ingestion"}

func (n *Node) feature(name string) bool { return slices.Contains(n.cfg.features(), name) }

// alwaysOn are features of Prometheus that need no switch here.
var alwaysOn = []string{
	"exemplar-storage", "native-histograms", "ooo-native-histograms", "metadata-wal-records",
	"promql-duration-expr", "promql-extended-range-selectors", "remote-write-receiver", "st-storage",
}

func (n *Node) warnFeatures() {
	for _, name := range n.cfg.features() {
		switch {
		case slices.Contains(alwaysOn, name):
			n.logger.Info("This feature is always on", "feature", name)
		case !slices.Contains(querier.Features(), name) && !slices.Contains(nodeFeatures, name):
			n.logger.Warn("This feature has no effect in this version", "feature", name)
		}
	}
}

// externalURL is where the node is reached.
func (n *Node) externalURL() *url.URL {
	if text := n.cfg.Web.ExternalURL; text != "" {
		u, _ := url.Parse(text) // Config.Validate has parsed it before.
		return u
	}
	return &url.URL{Scheme: "http", Host: n.instance(), Path: "/"}
}

// instance is the instance label of the node's own series.
func (n *Node) instance() string {
	_, port, err := net.SplitHostPort(n.listeners[0].Addr().String())
	if err != nil {
		return n.cfg.Name
	}
	return net.JoinHostPort(n.cfg.Name, port)
}

// selfScrapeLoop stores the node's own metrics once per interval until ctx ends.
func (n *Node) selfScrapeLoop(ctx context.Context, s *selfScraper) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(n.file.Load().Barograph.SelfScrape.Interval)):
			n.selfScrape(ctx, s)
		}
	}
}

func (n *Node) selfScrape(ctx context.Context, s *selfScraper) {
	err := s.scrape(ctx, time.Now())
	if ctx.Err() != nil {
		return
	}
	n.metrics.selfScrapes.Inc()
	if err != nil {
		n.metrics.selfScrapeFailures.Inc()
		n.logger.Warn("The node could not store its own metrics", "err", err)
	}
}
