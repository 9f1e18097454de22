package querier_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/fanout"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

func openDB(t testing.TB) *storage.DB {
	db, err := storage.Open("data", storage.Options{FS: vfs.NewMem(), WALSync: wal.Off, Retention: 200 * 365 * 24 * time.Hour})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- db.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-stopped)
		require.NoError(t, db.Close())
	})
	return db
}

type sample struct {
	labels series.Labels
	series.Sample
}

func write(t testing.TB, db *storage.DB, samples []sample) {
	if len(samples) == 0 {
		return
	}
	var sets []series.Labels
	for _, s := range samples {
		sets = append(sets, s.labels)
	}
	refs, err := db.Refs(context.Background(), nil, sets)
	require.NoError(t, err)
	f := &frame.Frame{}
	for i, s := range samples {
		if s.FH != nil {
			f.Histograms = append(f.Histograms, frame.Histogram{Ref: refs[i], T: s.T, ST: s.ST, FH: s.FH})
			continue
		}
		f.Refs, f.Times, f.Values, f.Starts = append(f.Refs, refs[i]), append(f.Times, s.T), append(f.Values, s.V), append(f.Starts, s.ST)
	}
	_, err = db.Append(context.Background(), f)
	require.NoError(t, err)
}

// TestCached asks random queries again and again, as dashboards do, while samples come in order, come late
// and are deleted, and compares the answers with those that are computed as a whole.
func TestCached(t *testing.T) { testCached(t, false) }

// TestCachedInCluster is TestCached on three nodes, whose replicas may lack some samples.
func TestCachedInCluster(t *testing.T) { testCached(t, true) }

func testCached(t *testing.T, clustered bool) {
	seed := *differentialSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("first seed: %d", seed)
	cached, computed, queries := 0.0, 0.0, 0
	for begin := time.Now(); time.Since(begin) < *differentialTime && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newRefreshing(t, seed, clustered)
			for range 50 {
				r.advance()
				r.refresh()
				queries++
			}
			cached += r.steps("cached")
			computed += r.steps("computed")
		})
	}
	t.Logf("%d queries: %.0f steps cached, %.0f computed", queries, cached, computed)
	require.Greater(t, 4*cached, computed)
}

// refreshing is a dashboard over stores that are written to.
type refreshing struct {
	*differential
	dbs     []*storage.DB
	cluster *queriertest.Cluster // nil is one node
	engines []*querier.Engine
	samples []sample // by time
	late    []sample // held back
	now     int64
	panels  []panel
	notes   map[string]bool // all that were ever remarked on the queries
}

type panel struct {
	expr              string
	step, span, phase int64
}

func newRefreshing(t *testing.T, seed uint64, clustered bool) *refreshing {
	r := &refreshing{
		differential: &differential{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), metrics: prometheus.NewRegistry()},
		notes:        map[string]bool{},
	}
	opts := querier.Options{
		Features: []string{"promql-experimental-functions"}, Registerer: r.metrics, CacheBytes: 64 << 20, Plain: r.rng.IntN(5) == 0,
		LookbackDelta: time.Duration(1+r.rng.IntN(300)) * time.Second,
	}
	for _, f := range []string{"promql-delayed-name-removal", "use-start-timestamps"} {
		if r.rng.IntN(4) == 0 {
			opts.Features = append(opts.Features, f)
		}
	}
	if clustered {
		var stores []leaf.Store
		for range 3 {
			r.dbs = append(r.dbs, openDB(t))
			stores = append(stores, r.dbs[len(r.dbs)-1])
		}
		r.cluster = queriertest.NewCluster(t, stores, 1+r.rng.IntN(3), opts)
		r.engines = r.cluster.Engines[:1] // Its metrics are those that are looked at.
	} else {
		r.dbs = []*storage.DB{openDB(t)}
		e, err := querier.New(r.dbs[0], opts)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, e.Close()) })
		r.engines = []*querier.Engine{e}
	}
	r.generate()
	r.now = 600_000
	r.deliver(r.until(r.now))
	for range 6 {
		r.panels = append(r.panels, panel{r.query(), (1 + r.rng.Int64N(12)) * 5000, (10 + r.rng.Int64N(60)), r.rng.Int64N(2) * r.rng.Int64N(5000)})
	}
	return r
}

// query is one that has no order of a map in it, which two answers may have differently.
func (r *refreshing) query() string {
	for {
		expr := r.expr(3)
		if strings.Contains(expr, "topk") || strings.Contains(expr, "bottomk") || strings.Contains(expr, "count_values") {
			continue
		}
		return expr
	}
}

func (r *refreshing) generate() {
	var all fixedStore
	all.fill(r.rng)
	for _, s := range all.series {
		if strings.HasPrefix(string(s.Labels.Get("__name__")), "many") || strings.HasPrefix(string(s.Labels.Get("__name__")), "natives") {
			if r.rng.IntN(8) > 0 {
				continue
			}
		}
		it := chunk.NewIterator(s.Chunks)
		for it.Next() != chunkenc.ValNone {
			smp := it.Sample()
			if smp.FH != nil {
				smp.FH = smp.FH.Copy()
			}
			r.samples = append(r.samples, sample{s.Labels, smp})
		}
		require.NoError(r.t, it.Err())
	}
	slices.SortStableFunc(r.samples, func(a, b sample) int { return cmp.Compare(a.T, b.T) })
}

// until takes the samples up to a time.
func (r *refreshing) until(t int64) []sample {
	n := 0
	for n < len(r.samples) && r.samples[n].T <= t {
		n++
	}
	due := r.samples[:n]
	r.samples = r.samples[n:]
	return due
}

// deliver brings samples to all that hold them.
func (r *refreshing) deliver(samples []sample) {
	lacks := -1
	if r.cluster != nil && len(samples) > 0 && r.rng.IntN(60) == 0 {
		lacks = r.rng.IntN(len(r.dbs))
		mint, maxt := samples[0].T, samples[0].T
		for _, s := range samples {
			mint, maxt = min(mint, s.T), max(maxt, s.T)
		}
		if r.rng.IntN(2) == 0 { // Known before it is asked, or after.
			defer r.cluster.AddGap(lacks, mint, maxt)
		} else {
			defer func() {
				r.refresh()
				r.cluster.AddGap(lacks, mint, maxt)
			}()
		}
	}
	for i, db := range r.dbs {
		if i == lacks {
			continue
		}
		var own []sample
		for _, s := range samples {
			if r.cluster == nil || r.cluster.Holds(i, s.labels) {
				own = append(own, s)
			}
		}
		write(r.t, db, own)
	}
}

// advance lets time pass.
func (r *refreshing) advance() {
	due := []sample{}
	r.now += r.rng.Int64N(30_000)
	for _, s := range r.until(r.now) {
		// Where histograms come late, what promql takes for a reset depends on how much is read before.
		if metric := string(s.labels.Get("__name__")); r.rng.IntN(50) == 0 && s.FH == nil && metric != "mixed" {
			r.late = append(r.late, s)
		} else {
			due = append(due, s)
		}
	}
	r.deliver(due)
	if len(r.late) > 0 && r.rng.IntN(10) == 0 {
		n := 1 + r.rng.IntN(min(len(r.late), 20))
		r.deliver(r.late[:n])
		r.late = r.late[n:]
	}
	switch r.rng.IntN(40) {
	case 0:
		mint := r.rng.Int64N(r.now)
		maxt := mint + r.rng.Int64N(300_000)
		m := labels.MustNewMatcher(labels.MatchEqual, "__name__", r.pick("req_total", "gauge", "lat_bucket"))
		for _, db := range r.dbs {
			require.NoError(r.t, db.Delete(context.Background(), mint, maxt, m))
		}
	case 1:
		for _, db := range r.dbs {
			require.NoError(r.t, db.Flush(context.Background()))
		}
	}
}

// refresh compares the answer to a query with what is computed as a whole.
func (r *refreshing) refresh() {
	p := r.panels[r.rng.IntN(len(r.panels))]
	end := r.now/p.step*p.step + p.phase
	if r.rng.IntN(8) == 0 {
		end -= r.rng.Int64N(50) * p.step // Somebody scrolls.
	}
	start := end - p.span*p.step
	if r.rng.IntN(8) == 0 {
		start -= r.rng.Int64N(30) * p.step
	}
	last := end + r.rng.Int64N(p.step)
	askFrom := func(start int64, whole bool) (*querier.Result, error) {
		return r.engines[0].Range(context.Background(), p.expr, querier.Window{
			Start: time.UnixMilli(start), End: time.UnixMilli(last), Step: time.Duration(p.step) * time.Millisecond,
		}, querier.QueryOptions{NoCache: whole})
	}
	ask := func(whole bool) (*querier.Result, error) { return askFrom(start, whole) }
	where := fmt.Sprintf("seed %d: %s from %d to %d step %d", r.seed, p.expr, start, end, p.step)
	got, err := ask(false)
	want, wantErr := ask(true)
	for again := 0; errorText(wantErr) != errorText(err) && again < 50; again++ {
		if want != nil {
			want.Close()
		}
		want, wantErr = ask(true)
	}
	require.Equal(r.t, errorText(wantErr), errorText(err), where)
	if err != nil {
		return
	}
	defer got.Close()
	defer want.Close()
	unhint(got.Value, want.Value)
	diff := difference(want.Value, got.Value)
	for i := int64(1); diff != "" && i <= 16; i++ {
		// What rounding makes of a tiny difference may depend on what else is computed, also in a whole.
		first := start + i*(end-start)/p.step/17*p.step
		other, err := askFrom(first, true)
		require.NoError(r.t, err, where)
		unhint(other.Value)
		if difference(from(want.Value, first), other.Value) != "" {
			diff = ""
		}
		other.Close()
	}
	if diff != "" {
		require.Fail(r.t, diff, "%s\nwhole:  %s\ncached: %s", where, want.Value, got.Value)
	}
	if m, ok := got.Value.(promql.Matrix); ok {
		require.True(r.t, slices.IsSortedFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) }), where)
	}
	have := map[string]bool{}
	for _, n := range notes(got, p.expr) {
		have[withoutValue(n)] = true
	}
	const monotone = "PromQL info: input to histogram_quantile"
	have[monotone] = true // The last bits of buckets decide.
	for _, n := range notes(want, p.expr) {
		n = withoutValue(n)
		require.Contains(r.t, have, n, where)
		r.notes[p.expr+n] = true
	}
	delete(have, monotone)
	for n := range have { // It may be of a step that was computed together with those that are asked for.
		require.Contains(r.t, r.notes, p.expr+n, where)
	}
}

// from is a matrix from some time on.
func from(v parser.Value, first int64) promql.Matrix {
	var out promql.Matrix
	for _, s := range v.(promql.Matrix) {
		s.Floats = slices.DeleteFunc(slices.Clone(s.Floats), func(p promql.FPoint) bool { return p.T < first })
		s.Histograms = slices.DeleteFunc(slices.Clone(s.Histograms), func(p promql.HPoint) bool { return p.T < first })
		if len(s.Floats)+len(s.Histograms) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// unhint makes histograms of values the same that differ by a hint alone. Hints tell of the histogram before,
// if that was read, and are not part of an answer.
func unhint(values ...parser.Value) {
	for _, v := range values {
		for _, s := range matrix(v) {
			for i := range s.Histograms {
				h := s.Histograms[i].H.Copy()
				h.CounterResetHint = histogram.UnknownCounterReset
				s.Histograms[i].H = h
			}
		}
	}
}

// withoutValue is a note without the value of the first step that it is of, or of all steps.
func withoutValue(note string) string {
	for _, before := range []string{", got ", " needed to be fixed for monotonicity"} {
		note, _, _ = strings.Cut(note, before)
	}
	return note
}

func (r *refreshing) steps(source string) float64 {
	return float64(r.counted("barograph_result_cache_steps_total", source))
}

// counter is a counter of a registry, the one with that label if there are several.
func counter(t testing.TB, reg prometheus.Gatherer, name, label string) float64 {
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// bits are values exactly.
func bits(v parser.Value) string {
	var b []byte
	for _, s := range v.(promql.Matrix) {
		b = append(b, s.Metric.String()...)
		for _, p := range s.Floats {
			b = strconv.AppendInt(append(b, ' '), p.T, 10)
			b = strconv.AppendUint(append(b, ':'), math.Float64bits(p.F), 16)
		}
	}
	return string(b)
}

// dashboard is a node with a store of its own.
type dashboard struct {
	t       testing.TB
	db      *storage.DB
	engine  *querier.Engine
	metrics *prometheus.Registry
	now     int64
}

func newDashboard(t testing.TB, opts querier.Options) *dashboard {
	d := &dashboard{t: t, db: openDB(t), metrics: prometheus.NewRegistry(), now: 1_700_000_000_000 / 60_000 * 60_000}
	opts.Registerer = d.metrics
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 64 << 20
	}
	var err error
	d.engine, err = querier.New(d.db, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.engine.Close()) })
	return d
}

// scrape writes samples until some time later.
func (d *dashboard) scrape(n int, later time.Duration) {
	rng := rand.New(rand.NewPCG(uint64(d.now), 1))
	for end := d.now + later.Milliseconds(); d.now < end; {
		d.now += 15_000
		var samples []sample
		for i := range n {
			ls := series.FromStrings("__name__", "m_total", "instance", fmt.Sprintf("%04d", i), "job", fmt.Sprint(i%7))
			samples = append(samples, sample{ls, series.Sample{T: d.now, V: float64(d.now/100) * (1 + rng.Float64())}})
		}
		write(d.t, d.db, samples)
	}
}

func (d *dashboard) ask(expr string, opts querier.QueryOptions, windows ...querier.Window) *querier.Result {
	w := querier.Window{Start: time.UnixMilli(d.now - 3_600_000), End: time.UnixMilli(d.now), Step: time.Minute}
	if len(windows) > 0 {
		w = windows[0]
	}
	r, err := d.engine.Range(context.Background(), expr, w, opts)
	require.NoError(d.t, err)
	d.t.Cleanup(r.Close)
	return r
}

func (d *dashboard) requests(result string) float64 {
	return counter(d.t, d.metrics, "barograph_result_cache_requests_total", result)
}

// TestCachedIsExact compares bits, where the order in which series are added does not show.
func TestCachedIsExact(t *testing.T) {
	d := newDashboard(t, querier.Options{})
	exprs := []string{
		"m_total", "rate(m_total[5m])", "max by (job) (rate(m_total[5m]))", "max_over_time(m_total[7m])", "m_total / 3",
		"topk(3, m_total)", "quantile by (job) (0.9, irate(m_total[1m]))", "m_total - m_total offset 10m", "deriv(m_total[5m])",
		"max_over_time(rate(m_total[1m])[5m:30s])", "label_replace(m_total, \"x\", \"$1\", \"job\", \"(.*)\")", "sort(m_total)",
	}
	d.scrape(20, 2*time.Hour)
	const rounds = 5
	for range rounds {
		for _, expr := range exprs {
			got, want := d.ask(expr, querier.QueryOptions{}), d.ask(expr, querier.QueryOptions{NoCache: true})
			require.Equal(t, bits(want.Value), bits(got.Value), expr)
			require.Equal(t, notes(want, expr), notes(got, expr), expr)
		}
		d.scrape(20, time.Minute)
	}
	require.EqualValues(t, (rounds-1)*len(exprs), d.requests("partial"))
	cached := counter(t, d.metrics, "barograph_result_cache_steps_total", "cached")
	computed := counter(t, d.metrics, "barograph_result_cache_steps_total", "computed")
	require.Less(t, computed-float64(61*len(exprs)), cached/15, "a step or two for each refresh")
	lint, err := testutil.GatherAndLint(d.metrics)
	require.NoError(t, err)
	require.Empty(t, lint)
}

func TestLateSamplesShowAtOnce(t *testing.T) {
	d := newDashboard(t, querier.Options{})
	d.scrape(3, 2*time.Hour)
	const expr = "max(m_total)"
	ask := func() string { return bits(d.ask(expr, querier.QueryOptions{}).Value) }
	before := ask()
	require.Equal(t, before, ask())
	require.EqualValues(t, 1, d.requests("hit"))
	late := series.FromStrings("__name__", "m_total", "instance", "late")
	write(t, d.db, []sample{{late, series.Sample{T: d.now - 1_800_000, V: 1e18}}})
	after := ask()
	require.NotEqual(t, before, after)
	require.Equal(t, bits(d.ask(expr, querier.QueryOptions{NoCache: true}).Value), after)
	require.EqualValues(t, 1, d.requests("partial"))
	require.LessOrEqual(t, counter(t, d.metrics, "barograph_result_cache_invalidated_steps_total", ""), 6.0)

	m := labels.MustNewMatcher(labels.MatchEqual, "instance", "late")
	require.NoError(t, d.db.Delete(context.Background(), 0, d.now, m))
	require.Equal(t, before, ask())
}

func TestWhatIsNotCached(t *testing.T) {
	d := newDashboard(t, querier.Options{Features: []string{"promql-per-step-stats"}})
	d.scrape(3, time.Hour)
	for range 2 {
		d.ask("m_total", querier.QueryOptions{NoCache: true})
		d.ask("m_total", querier.QueryOptions{PerStepStats: true})
		d.ask("m_total @ end()", querier.QueryOptions{})
		d.ask("vector(1)", querier.QueryOptions{})
		d.ask("m_total", querier.QueryOptions{}, querier.Window{Start: time.UnixMilli(d.now), End: time.UnixMilli(d.now), Step: time.Minute})
		_, err := d.engine.Range(context.Background(), "m_total{", querier.Window{Start: time.UnixMilli(0), End: time.UnixMilli(10_000), Step: time.Second}, querier.QueryOptions{})
		require.Equal(t, querier.BadData, querier.KindOf(err))
	}
	require.EqualValues(t, 12, d.requests("uncacheable"))
	require.Zero(t, counter(t, d.metrics, "barograph_result_cache_entries", ""))

	d.ask("m_total", querier.QueryOptions{})
	d.ask("m_total", querier.QueryOptions{LookbackDelta: time.Minute})
	on := true
	d.ask("m_total", querier.QueryOptions{UseStartTimestamps: &on})
	d.ask("m_total", querier.QueryOptions{}, querier.Window{Start: time.UnixMilli(d.now - 600_001), End: time.UnixMilli(d.now), Step: time.Minute})
	require.EqualValues(t, 4, d.requests("miss"))
	require.EqualValues(t, 4, counter(t, d.metrics, "barograph_result_cache_entries", ""))
}

// TestCacheWithoutANode asks while a node does not say what was changed.
func TestCacheWithoutANode(t *testing.T) {
	var stores []leaf.Store
	for range 2 {
		stores = append(stores, openDB(t))
	}
	reg := prometheus.NewRegistry()
	c := queriertest.NewCluster(t, stores, 1, querier.Options{CacheBytes: 1 << 20, Registerer: reg})
	for i := range 40 {
		ls := series.FromStrings("__name__", "m", "i", fmt.Sprint(i))
		for n, store := range stores {
			if c.Holds(n, ls) {
				write(t, store.(*storage.DB), []sample{{ls, series.Sample{T: 60_000, V: 1}}})
			}
		}
	}
	ask := func(ctx context.Context) (parser.Value, error) {
		w := querier.Window{Start: time.UnixMilli(0), End: time.UnixMilli(120_000), Step: time.Second}
		r, err := c.Engines[0].Range(ctx, "count(m)", w, querier.QueryOptions{})
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return r.Value, nil
	}
	ctx := context.Background()
	whole, err := ask(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 40, whole.(promql.Matrix)[0].Floats[0].F)
	_, err = ask(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, counter(t, reg, "barograph_result_cache_requests_total", "hit"))

	c.Kill(1)
	_, err = ask(ctx)
	require.Equal(t, querier.Unavailable, querier.KindOf(err), "what is kept can't be known to be true")
	allowed, missing := fanout.Allow(ctx)
	part, err := ask(allowed)
	require.NoError(t, err)
	require.Less(t, part.(promql.Matrix)[0].Floats[0].F, 40.0)
	require.NotEmpty(t, missing.Warnings())
	require.EqualValues(t, 2, counter(t, reg, "barograph_result_cache_requests_total", "unknown"))
}
