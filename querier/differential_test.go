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
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
)

var (
	differentialTime = flag.Duration("differential.time", 4*time.Second, "how long random queries are compared with promql")
	differentialSeed = flag.Uint64("differential.seed", 0, "of the first data set; 0 is a random one")
)

// minSets of data are compared however long that takes: in some nearly nothing can be computed over columns.
const minSets = 4

// TestDifferential compares what is evaluated over columns with Prometheus' engine: random
// expressions over random data at random times.
func TestDifferential(t *testing.T) {
	seed := *differentialSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("first seed: %d", seed)
	cases, ours, left := 0, 0, 0
	for begin, sets := time.Now(), 0; (sets < minSets || time.Since(begin) < *differentialTime) && !t.Failed(); seed, sets = seed+1, sets+1 {
		d := newDifferential(t, seed, false)
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

// TestDifferentialInCluster compares three nodes, of which one may be out of reach or have gaps, with one.
func TestDifferentialInCluster(t *testing.T) {
	seed := *differentialSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("first seed: %d", seed)
	pushed, left := 0, 0
	for begin, sets := time.Now(), 0; (sets < minSets || time.Since(begin) < *differentialTime) && !t.Failed(); seed, sets = seed+1, sets+1 {
		d := newDifferential(t, seed, true)
		for range 100 {
			d.compare()
		}
		pushed += d.counted("barograph_querier_pushed_parts_total", "computed")
		left += d.counted("barograph_querier_pushed_parts_total", "left")
	}
	t.Logf("%d parts computed where their series are, %d left", pushed, left)
	require.Greater(t, 10*pushed, left)
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

func newDifferential(t *testing.T, seed uint64, clustered bool) *differential {
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
	if clustered {
		opts.Plain = false
		d.columns = d.openCluster(opts)
	} else {
		d.columns = open(false)
	}
	return d
}

func (d *differential) openCluster(opts querier.Options) *querier.Engine {
	nodes, stores := make([]*fixedStore, 3), make([]leaf.Store, 3)
	for i := range nodes {
		nodes[i] = &fixedStore{}
		stores[i] = nodes[i]
	}
	replicas := 1 + d.rng.IntN(3)
	c := queriertest.NewCluster(d.t, stores, replicas, opts)
	for _, s := range d.store.series {
		for i, n := range nodes {
			if c.Holds(i, s.Labels) {
				n.series = append(n.series, s)
			}
		}
	}
	// With one replica nobody can take the place of a node, with two nobody can if the other has a gap.
	if killed := replicas > 1 && d.rng.IntN(2) == 0; killed {
		c.Kill(1 + d.rng.IntN(2))
		if replicas == 2 {
			return c.Engines[0]
		}
	}
	for i := range replicas { // Where all have gaps, some samples are read here and others there.
		if from := d.rng.Int64N(4_000_000); replicas > 1 && i != 2 && d.rng.IntN(2) == 0 {
			c.AddGap(i, from, from+d.rng.Int64N(300_000))
		}
	}
	return c.Engines[0]
}

// parts returns how many parts of queries had that result.
func (d *differential) parts(result string) int {
	return d.counted("barograph_querier_columnar_parts_total", result)
}

func (d *differential) counted(name, result string) int {
	families, err := d.metrics.Gather()
	require.NoError(d.t, err)
	for _, f := range families {
		if f.GetName() != name {
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
		// So may an error, where which series are taken decides whether two have the same labels.
		other, err := ask(d.plain)
		if err != nil || difference(want.Value, other.Value) != "" {
			diff = ""
		}
		if err == nil {
			other.Close()
		}
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
