package querier_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

var (
	differentialTime = flag.Duration("differential.time", 4*time.Second, "how long random queries are compared with promql")
	differentialSeed = flag.Uint64("differential.seed", 0, "of the first data set; 0 is a random one")
)

// TestDifferential compares what is evaluated over columns with Prometheus' engine: random
// expressions over random data at random times.
func TestDifferential(t *testing.T) {
	seed := *differentialSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("first seed: %d", seed)
	cases, ours, left := 0, 0, 0
	for begin := time.Now(); time.Since(begin) < *differentialTime && !t.Failed(); seed++ {
		d := newDifferential(t, seed)
		for range 200 {
			d.compare()
			cases++
		}
		ours += d.parts("computed")
		left += d.parts("left")
	}
	t.Logf("%d queries: %d parts computed over columns, %d left to promql", cases, ours, left)
	require.Greater(t, ours, cases/4)
	require.Greater(t, left, cases/100)
}

type differential struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	store   *fixedStore
	columns *querier.Engine
	plain   *querier.Engine
	metrics *prometheus.Registry // of columns
}

func newDifferential(t *testing.T, seed uint64) *differential {
	d := &differential{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1))}
	d.store = &fixedStore{}
	d.store.fill(d.rng)
	features := []string{"promql-experimental-functions"}
	for _, f := range []string{"promql-delayed-name-removal", "use-start-timestamps", "type-and-unit-labels"} {
		if d.rng.IntN(4) == 0 {
			features = append(features, f)
		}
	}
	opts := querier.Options{Features: features, LookbackDelta: time.Duration(1+d.rng.IntN(300)) * time.Second}
	open := func(plain bool) *querier.Engine {
		opts.Plain = plain
		e, err := querier.New(d.store, opts)
		require.NoError(t, err)
		return e
	}
	d.plain = open(true)
	d.metrics = prometheus.NewRegistry()
	opts.Registerer = d.metrics
	d.columns = open(false)
	return d
}

// parts returns how many parts of queries had that result.
func (d *differential) parts(result string) int {
	families, err := d.metrics.Gather()
	require.NoError(d.t, err)
	for _, f := range families {
		if f.GetName() != "barograph_querier_columnar_parts_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == result {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

// errorText is what an error says, without the series of a match group: of several groups that are
// doubled, promql names the first in the order of a map.
func errorText(err error) string {
	text, _, _ := strings.Cut(fmt.Sprint(err), " for the match group ")
	return text
}

func (d *differential) compare() {
	expr := d.expr(3)
	switch d.rng.IntN(40) {
	case 0:
		expr = d.selector()
	case 1, 2, 3:
		expr = d.join(2)
	case 4:
		expr = d.aggregation(d.join(2))
	}
	align := d.pickGrid()
	start := (d.rng.Int64N(4_000_000) - 200_000) / align * align
	ask := func(e *querier.Engine) (*querier.Result, error) {
		return e.Instant(context.Background(), expr, time.UnixMilli(start), querier.QueryOptions{})
	}
	times := fmt.Sprintf("at %d", start)
	if d.rng.IntN(3) > 0 {
		step := (1 + d.rng.Int64N(200_000/align)) * align
		end := start + d.rng.Int64N(30)*step + d.rng.Int64N(step)
		times = fmt.Sprintf("from %d to %d step %d", start, end, step)
		ask = func(e *querier.Engine) (*querier.Result, error) {
			return e.Range(context.Background(), expr, querier.Window{
				Start: time.UnixMilli(start), End: time.UnixMilli(end), Step: time.Duration(step) * time.Millisecond,
			}, querier.QueryOptions{})
		}
	}
	want, wantErr := ask(d.plain)
	got, err := ask(d.columns)
	where := fmt.Sprintf("seed %d: %s %s", d.seed, expr, times)
	for again := 0; errorText(wantErr) != errorText(err) && again < 50; again++ {
		if want != nil {
			want.Close()
		}
		want, wantErr = ask(d.plain) // What has the order of a map may fail with some of them.
	}
	if wantErr != nil || err != nil {
		require.Equal(d.t, errorText(wantErr), errorText(err), where)
		require.Equal(d.t, querier.KindOf(wantErr), querier.KindOf(err), where)
		return
	}
	defer want.Close()
	defer got.Close()
	difference := func(a, b parser.Value) string {
		if strings.HasPrefix(expr, "topk") || strings.HasPrefix(expr, "bottomk") {
			if x, y := order(a), order(b); !slices.Equal(x, y) {
				return fmt.Sprintf("in the order %s instead of %s", y, x)
			}
		}
		return difference(a, b)
	}
	diff := difference(want.Value, got.Value)
	for again := 0; diff != "" && again < 50; again++ {
		// In promql, too, the order of some results is that of a map, and ties and sums depend on it.
		other, err := ask(d.plain)
		require.NoError(d.t, err)
		if difference(want.Value, other.Value) != "" {
			diff = ""
		}
		other.Close()
	}
	if diff != "" {
		require.Fail(d.t, diff, "%s\npromql:  %s\ncolumns: %s", where, want.Value, got.Value)
	}
	require.Equal(d.t, notes(want, expr), notes(got, expr), where)
	require.Equal(d.t, want.Stats.Samples.TotalSamples, got.Stats.Samples.TotalSamples, where)
	require.Equal(d.t, want.Stats.Samples.SamplesRead, got.Stats.Samples.SamplesRead, where)
	// promql reads to the end of the query, which may lie beyond the last step.
	require.LessOrEqual(d.t, got.Stats.Samples.TotalSeries, want.Stats.Samples.TotalSeries, where)
}

func notes(r *querier.Result, expr string) []string {
	warnings, infos := r.Warnings.AsStrings(expr, 0, 0)
	all := slices.Concat(warnings, infos)
	slices.Sort(all)
	return all
}

// difference says what is different in two values, apart from the order of vectors.
func difference(a, b parser.Value) string {
	ma, mb := matrix(a), matrix(b)
	if len(ma) != len(mb) {
		return fmt.Sprintf("%d series, not %d", len(mb), len(ma))
	}
	for i := range ma {
		x, y := ma[i], mb[i]
		if !labels.Equal(x.Metric, y.Metric) || len(x.Floats) != len(y.Floats) || len(x.Histograms) != len(y.Histograms) {
			return fmt.Sprintf("series %s instead of %s", y, x)
		}
		for j := range x.Floats {
			p, q := x.Floats[j], y.Floats[j]
			if p.T != q.T || !close(p.F, q.F) {
				return fmt.Sprintf("%s: %v instead of %v at %d", x.Metric, q.F, p.F, p.T)
			}
		}
		for j := range x.Histograms {
			if p, q := x.Histograms[j], y.Histograms[j]; p.T != q.T || !closeHistograms(p.H, q.H) {
				return fmt.Sprintf("%s: histogram %s instead of %s at %d", x.Metric, q.H, p.H, p.T)
			}
		}
	}
	return ""
}

func close(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-12*max(math.Abs(a), math.Abs(b))
}

// order is the series of a vector as they come.
func order(v parser.Value) []string {
	var list []string
	if v, ok := v.(promql.Vector); ok {
		for _, s := range v {
			list = append(list, s.Metric.String())
		}
	}
	return list
}

// closeHistograms compares all but the layout exactly that says nothing: empty buckets.
func closeHistograms(a, b *histogram.FloatHistogram) bool {
	a, b = a.Copy().Compact(0), b.Copy().Compact(0)
	if a.Schema != b.Schema || a.ZeroThreshold != b.ZeroThreshold || a.CounterResetHint != b.CounterResetHint ||
		!slices.Equal(a.CustomValues, b.CustomValues) || !slices.Equal(a.PositiveSpans, b.PositiveSpans) || !slices.Equal(a.NegativeSpans, b.NegativeSpans) {
		return false
	}
	return close(a.Count, b.Count) && close(a.Sum, b.Sum) && close(a.ZeroCount, b.ZeroCount) &&
		slices.EqualFunc(a.PositiveBuckets, b.PositiveBuckets, close) && slices.EqualFunc(a.NegativeBuckets, b.NegativeBuckets, close)
}

func matrix(v parser.Value) promql.Matrix {
	var m promql.Matrix
	switch v := v.(type) {
	case promql.Matrix:
		m = v
	case promql.Vector:
		for _, s := range v {
			x := promql.Series{Metric: s.Metric}
			if s.H != nil {
				x.Histograms = []promql.HPoint{{T: s.T, H: s.H}}
			} else {
				x.Floats = []promql.FPoint{{T: s.T, F: s.F}}
			}
			m = append(m, x)
		}
	case promql.Scalar:
		m = promql.Matrix{{Floats: []promql.FPoint{{T: v.T, F: v.V}}}}
	}
	slices.SortStableFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	return m
}

// pickGrid returns what times are a multiple of: aligned ones meet the borders of windows.
func (d *differential) pickGrid() int64 { return []int64{1, 1_000, 5_000, 15_000}[d.rng.IntN(4)] }

func (d *differential) pick(list ...string) string { return list[d.rng.IntN(len(list))] }

// expr returns a random expression.
func (d *differential) expr(depth int) string {
	if depth == 0 {
		return d.function()
	}
	switch d.rng.IntN(12) {
	case 0, 1, 2, 3, 4:
		return d.aggregation(d.function())
	case 5:
		return d.aggregation(d.selector())
	case 11:
		inner := d.pick(d.function(), d.selector())
		for range 1 + d.rng.IntN(3) {
			inner = d.values(inner)
		}
		return d.aggregation(inner)
	case 6:
		return d.aggregation(d.expr(depth - 1))
	case 7:
		return fmt.Sprintf("%s %s %s", d.expr(depth-1), d.pick("+", "-", "*", "/", ">", "== bool", "or", "and on (g)", "unless"), d.expr(depth-1))
	case 8:
		if d.rng.IntN(2) == 0 {
			return d.values(d.pick(d.function(), d.selector()))
		}
		return fmt.Sprintf("%s %s %s", d.expr(depth-1), d.pick("+", "/", "> bool", "<=", "%", "^"), d.pick("2", "0", "-1.5", "scalar(gauge{g=\"a\"})"))
	case 9:
		inner := d.expr(depth - 1)
		if d.rng.IntN(12) == 0 && !strings.Contains(inner, "natives") && !strings.Contains(inner, "many") { // The last bits of their sums would show.
			return fmt.Sprintf(`count_values("x", %s)`, inner)
		}
		return fmt.Sprintf(d.pick("-%s", "(%s)", "abs(%s)", "absent(%s)", "topk(3, %s)", "quantile by (g) (0.5, %s)",
			"histogram_quantile(0.9, %s)", "scalar(%s)", "timestamp(%s)", "sort_desc(%s)",
			`label_replace(%s, "__name__", "n", "g", "(.*)")`, `label_replace(%s, "y", "$1", "__name__", "(.*)")`,
			"max_over_time((%s)[2m:20s])", "stddev(%s)", "histogram_count(%s)", "histogram_avg(%s)", "histogram_fraction(0, 1, %s)"), inner)
	case 10:
		if d.rng.IntN(2) == 0 {
			inner := d.pick("native", "natives", "custom", "rate(native["+d.window()+"])", "increase(natives["+d.window()+"])", "rate(custom["+d.window()+"])")
			return fmt.Sprintf(d.pick("histogram_quantile(0.9, %s)", "histogram_count(%s)", "%s", "%s"), d.pick("sum", "avg", "count")+d.pick("", " by (g)", " without (i)")+" ("+inner+")")
		}
		return "histogram_quantile(0.5, sum by (le" + d.pick("", ", g") + ") (rate(lat_bucket[" + d.window() + "])))"
	}
	return d.function()
}

func (d *differential) aggregation(inner string) string {
	grouping := d.pick("", "", " by (g)", " by (g, i)", " without (i)", " without (g, le)", " by (__name__)", " by (none)", " without ()")
	switch d.rng.IntN(8) {
	case 0, 1:
		k := d.pick("1", "2", "3", "5", "100", "0", "-1", "2.9", "NaN", "1e300", "1 + time() % 4", "3 - pi()", "scalar(gauge)")
		return d.pick("topk", "bottomk") + grouping + " (" + k + ", " + inner + ")"
	case 2:
		phi := d.pick("0", "0.5", "0.9", "0.99", "1", "-0.1", "1.5", "NaN", "(time() % 60) / 50", "scalar(gauge)")
		return "quantile" + grouping + " (" + phi + ", " + inner + ")"
	case 3:
		return d.pick("stddev", "stdvar") + grouping + " (" + inner + ")"
	}
	return d.pick("sum", "sum", "avg", "min", "max", "count", "group") + grouping + " (" + inner + ")"
}

// scalar returns operations with numbers.
func (d *differential) scalar(inner string) string {
	op := d.pick("+", "-", "*", "/", "%", "^", ">", "<", ">=", "<=", "==", "!=", "> bool", "< bool", "== bool", "!= bool", "atan2")
	number := d.pick("0", "1", "2.5", "-3", "Inf", "NaN", "(8)", "1e308", "(2 ^ 10 * pi())", "time()", "(time() % 60)")
	if inner = "(" + inner + ")"; d.rng.IntN(3) == 0 {
		inner = d.scalar(inner)
	}
	if d.rng.IntN(2) == 0 {
		return number + " " + op + " (" + inner + ")"
	}
	return "(" + inner + ") " + op + " " + number
}

func (d *differential) function() string {
	window := d.metric() + "[" + d.window() + "]" + d.modifier()
	if d.rng.IntN(12) == 0 {
		window = d.subquery()
	}
	switch d.rng.IntN(10) {
	case 0:
		return fmt.Sprintf("quantile_over_time(%s, %s)", d.pick("0.5", "0", "1", "0.9", "2", "time() / 5000"), window)
	case 1:
		return fmt.Sprintf("predict_linear(%s, %s)", window, d.pick("60", "-3600", "1e9"))
	case 2:
		return fmt.Sprintf("double_exponential_smoothing(%s, %s)", window, d.pick("0.5, 0.1", "0.9, 0.9", "0.1, 1"))
	case 3:
		return "timestamp(" + d.selector() + ")"
	}
	return d.pick("rate", "rate", "rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time", "min_over_time",
		"max_over_time", "count_over_time", "last_over_time", "first_over_time", "present_over_time", "changes", "resets",
		"deriv", "stddev_over_time", "stdvar_over_time", "mad_over_time") + "(" + window + ")"
}

// subquery is a range, over what may have one in it.
func (d *differential) subquery() string {
	inner := d.pick(d.selector(), d.function(), "rate(req_total[5m])")
	switch d.rng.IntN(5) {
	case 0:
		inner = d.aggregation(inner)
	case 1:
		inner = d.values(inner)
	case 2:
		inner = d.join(0)
	}
	return "(" + inner + ")" + d.pick("[5m:1m]", "[3m:17s]", "[20m:]", "[10m:90s]", "[1m:2m]", "[30s:30s]") + d.pick("", "", "", " offset 1m", " offset -13s", " @ 1500")
}

// join is an operation between series.
func (d *differential) join(depth int) string {
	op := d.pick("+", "-", "*", "/", "/", "%", "^", ">", "<=", "==", "!=", "> bool", "!= bool", "atan2")
	matching := d.pick("", "", "", " on (i)", " on (i, g)", " ignoring (g)", " ignoring (le)", " on ()", " on (g) group_left ()",
		" on (g) group_right (le)", " on (i) group_left (g, le)", " ignoring (i) group_right (i)", " on (__name__, i)", " on (i) group_left (__name__)")
	return fmt.Sprintf("(%s) %s%s (%s)", d.side(depth), op, matching, d.side(depth))
}

func (d *differential) side(depth int) string {
	inner := d.pick(d.function(), d.selector(), d.selector())
	switch {
	case depth > 0 && d.rng.IntN(4) == 0:
		inner = d.join(depth - 1)
	case d.rng.IntN(4) == 0:
		inner = d.aggregation(inner)
	}
	if d.rng.IntN(4) == 0 {
		inner = d.values(inner)
	}
	return inner
}

// values are operations on each value of an expression.
func (d *differential) values(inner string) string {
	switch d.rng.IntN(4) {
	case 0:
		return d.pick("abs", "ceil", "floor", "round", "sqrt", "exp", "ln", "log2", "log10", "sgn", "sin", "cosh", "atan", "deg", "rad", "-", "+") +
			"(" + inner + ")"
	case 1:
		return fmt.Sprintf(d.pick("clamp(%s, -10, 40)", "clamp(%s, 2, 1)", "clamp_min(%s, 3)", "clamp_max(%s, 2 * 3)", "round(%s, 0.3)",
			"clamp_max(%s, time())", "round(%s, -0)"), inner)
	}
	return d.scalar(inner)
}

func (d *differential) window() string {
	return d.pick("15s", "1m", "5m", "61s", "90s", "1h", "7m3s4ms", "1ms")
}

func (d *differential) selector() string { return d.metric() + d.modifier() }

func (d *differential) metric() string {
	return d.pick("req_total", "req_total", "gauge", "gauge", "lat_bucket", "many", `{__name__=~"gauge|req_total"}`,
		`{__name__=~".+_total"}`, `req_total{g="a"}`, `gauge{i!="1"}`, "mixed", "nothing", `mixed{i="1"}`,
		"native", "native", "natives", "custom", `{__name__=~"native|custom"}`)
}

func (d *differential) modifier() string {
	return d.pick("", "", "", "", " offset 1m", " offset -90s", " @ 1000", " @ start()", " @ end() offset 10s", " offset 7ms")
}

// fixedStore has the chunks that it was filled with.
type fixedStore struct {
	leaf.Store // Never asked.
	series     []chunk.Series
}

func (s *fixedStore) Select(_ context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	var found []chunk.Series
	for _, c := range s.series {
		matches := !slices.ContainsFunc(sel.Matchers, func(m *labels.Matcher) bool {
			return !m.Matches(string(c.Labels.Get(m.Name)))
		})
		c.Chunks = slices.DeleteFunc(slices.Clone(c.Chunks), func(c chunk.Chunk) bool { return c.MaxT < sel.Mint || c.MinT > sel.Maxt })
		if matches && len(c.Chunks) > 0 {
			found = append(found, c)
		}
	}
	return queriertest.NewSeriesSet(found...), nil
}

func (s *fixedStore) fill(rng *rand.Rand) {
	for _, metric := range []string{"req_total", "other_total", "gauge", "lat_bucket", "mixed", "many", "native", "natives", "custom"} {
		n := 1 + rng.IntN(12)
		switch metric {
		case "many":
			n = 150
		case "natives":
			n = 70
		}
		for i := range n {
			ls := []string{"__name__", metric, "i", fmt.Sprint(i), "g", string(rune('a' + rng.IntN(3)))}
			if metric == "lat_bucket" {
				ls = append(ls, "le", []string{"0.1", "1", "+Inf"}[i%3])
			}
			if rng.IntN(8) == 0 {
				ls = append(ls, "__type__", []string{"counter", "gauge"}[rng.IntN(2)])
			}
			samples := randomSamples(rng, metric)
			if len(samples) == 0 {
				continue
			}
			l := series.FromStrings(ls...)
			s.series = append(s.series, chunk.Series{Labels: l, Fingerprint: l.Fingerprint(), Chunks: randomChunks(rng, samples)})
		}
	}
	slices.SortFunc(s.series, func(a, b chunk.Series) int {
		return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
	})
}

// randomSamples are of one series, within the first hour.
func randomSamples(rng *rand.Rand, metric string) []series.Sample {
	var out []series.Sample
	interval, jitter := 5_000+rng.Int64N(60_000), rng.Int64N(5_000)
	if metric == "many" || metric == "natives" {
		interval = 60_000
	}
	native := newNative(rng, metric)
	grid := int64(1)
	if rng.IntN(2) == 0 {
		grid, jitter = 5_000, 0
	}
	even := rng.IntN(3) == 0 // A sample at each interval, which steps may be multiples of.
	if even {
		interval, grid, jitter = []int64{5_000, 10_000, 15_000, 60_000}[rng.IntN(4)], 1, 0
	}
	counter := strings.HasSuffix(metric, "_total") || metric == "lat_bucket" || rng.IntN(3) == 0
	resets := []int{40, 1000}[rng.IntN(2)]
	stale := rng.IntN(2) == 0
	odd, starts, v, st := rng.IntN(4) == 0, rng.IntN(5) == 0, 0.0, int64(0)
	for t := rng.Int64N(interval); t < 3_600_000; t += interval + rng.Int64N(jitter+1) {
		switch {
		case !even && rng.IntN(30) == 0:
			t += rng.Int64N(900_000)
		case rng.IntN(resets) == 0:
			v, st = 0, t/grid*grid
		}
		s := series.Sample{T: t / grid * grid}
		if len(out) > 0 && s.T == out[len(out)-1].T {
			continue
		}
		if v += float64(rng.IntN(100)) / 10; !counter {
			v = float64(rng.IntN(1000)-500) / 7
		}
		s.V = v
		if starts {
			s.ST = st
		}
		if odd && rng.IntN(10) == 0 {
			s.V = []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.MaxFloat64, 1e-300, 0}[rng.IntN(7)]
		}
		if stale && rng.IntN(25) == 0 {
			s.V = math.Float64frombits(value.StaleNaN)
		}
		switch {
		case metric == "mixed" && rng.IntN(3) == 0, native.always:
			s.FH = native.next(rng)
		}
		out = append(out, s)
	}
	return out
}

// native makes the histograms of one series.
type native struct {
	always, gauge bool
	h             *histogram.FloatHistogram
}

func newNative(rng *rand.Rand, metric string) *native {
	n := &native{always: metric == "native" || metric == "natives" || metric == "custom", gauge: rng.IntN(5) == 0}
	h := &histogram.FloatHistogram{Schema: int32(rng.IntN(3)), ZeroThreshold: 0.001}
	switch {
	case metric == "custom":
		*h = histogram.FloatHistogram{Schema: histogram.CustomBucketsSchema, CustomValues: []float64{0.1, 1, 2.5, 10}}
		if rng.IntN(6) == 0 {
			h.CustomValues = []float64{0.1, 1, 5, 10}
		}
	case metric == "native" && rng.IntN(8) == 0:
		h.ZeroThreshold = 0.5
	case rng.IntN(4) == 0:
		h.NegativeSpans, h.NegativeBuckets = []histogram.Span{{Offset: 2, Length: 2}}, make([]float64, 2)
	}
	if metric == "natives" {
		h.Schema = 1
	}
	h.PositiveSpans, h.PositiveBuckets = []histogram.Span{{Length: 2}, {Offset: 1, Length: 2}}, make([]float64, 4)
	if metric == "custom" {
		h.PositiveSpans = []histogram.Span{{Length: 4}}
	}
	if n.gauge {
		h.CounterResetHint = histogram.GaugeType
	}
	n.h = h
	return n
}

// next is the next sample: counts grow, and are reset now and then.
func (n *native) next(rng *rand.Rand) *histogram.FloatHistogram {
	reset := rng.IntN(25) == 0
	n.h.Count = 0
	for _, buckets := range [][]float64{n.h.PositiveBuckets, n.h.NegativeBuckets} {
		for i := range buckets {
			if reset {
				buckets[i] = 0
			}
			buckets[i] += float64(rng.IntN(5)) * 1.25
			n.h.Count += buckets[i]
		}
	}
	if !n.h.UsesCustomBuckets() {
		n.h.ZeroCount = n.h.PositiveBuckets[0] / 2
		n.h.Count += n.h.ZeroCount
	}
	n.h.Sum = n.h.Count * (1 + rng.Float64())
	h := n.h.Copy()
	if rng.IntN(30) == 0 {
		h.Sum = math.Float64frombits(value.StaleNaN)
	}
	return h
}

// randomChunks encodes the samples, in chunks that may overlap or be packed.
func randomChunks(rng *rand.Rand, samples []series.Sample) []chunk.Chunk {
	encode := func(samples []series.Sample) []chunk.Chunk {
		var b chunk.Builder
		for _, s := range samples {
			if err := b.Append(s); err != nil {
				panic(err)
			}
		}
		return b.Close(nil)
	}
	// What is known of counter resets where chunks of histograms overlap depends on which are read.
	native := slices.ContainsFunc(samples, func(s series.Sample) bool { return s.FH != nil })
	if rng.IntN(4) == 0 && len(samples) > 4 && !native { // Two that overlap.
		a, b := len(samples)/4, len(samples)*3/4
		return chunk.JoinSorted(encode(samples[:b]), encode(samples[a:]))
	}
	chunks := encode(samples)
	if rng.IntN(2) == 0 {
		packed, err := chunk.Recode(nil, chunks)
		if err != nil {
			panic(err)
		}
		return packed
	}
	return chunks
}
