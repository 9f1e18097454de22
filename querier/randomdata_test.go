package querier_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

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
		if matches && len(c.Chunks) > 0 && sel.Shards.Has(c.Fingerprint) {
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
