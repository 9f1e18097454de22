package storagetest

import (
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/barograph-db/barograph/storage/series"
)

const hour = int64(3_600_000)

var (
	labelNames  = []string{"__name__", "instance", "job", "luft.druck", "zone", "ü"}
	labelValues = []string{"a", "b", "ab", "abc", "1", "10", "a b", "\u00e9", "x\ny"}
)

// randomLabels is a label set from a small world, so that selections have more and less in them.
func randomLabels(r *rand.Rand) series.Labels {
	ss := []string{"__name__", "metric_" + strconv.Itoa(r.IntN(5))}
	for _, name := range labelNames[1:] {
		if r.IntN(2) == 0 {
			ss = append(ss, name, labelValues[r.IntN(len(labelValues))])
		}
	}
	return series.FromStrings(ss...)
}

// randomMatchers are one to three matchers of all kinds, also ones that match an absent label.
func randomMatchers(r *rand.Rand) []*labels.Matcher {
	var ms []*labels.Matcher
	for range 1 + r.IntN(3) {
		name := labelNames[r.IntN(len(labelNames))]
		if r.IntN(8) == 0 {
			name = "nobody_has_this"
		}
		typ := []labels.MatchType{
			labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp,
		}[r.IntN(4)]
		v := labelValues[r.IntN(len(labelValues))]
		if name == "__name__" {
			v = "metric_" + strconv.Itoa(r.IntN(6))
		}
		if typ == labels.MatchRegexp || typ == labels.MatchNotRegexp {
			v = []string{v, v + "|b", ".*", ".+", "", "a.*", "[^a]*", "metric_[0-2]", ".*_3|", "(?i:A|B)"}[r.IntN(10)]
		} else if r.IntN(5) == 0 {
			v = ""
		}
		ms = append(ms, labels.MustNewMatcher(typ, name, v))
	}
	return ms
}

// sampler makes the samples of one series, one after the other.
type sampler struct {
	kind   int
	t      int64
	step   int64
	jitter int64
	v      float64
	st     int64
	counts map[int]int64
	zeros  uint64
}

func newSampler(r *rand.Rand) sampler {
	return sampler{
		kind: r.IntN(10), t: Base + r.Int64N(2*hour), step: []int64{1000, 15000, 60000}[r.IntN(3)],
		jitter: []int64{0, 0, 20, 900}[r.IntN(4)], counts: map[int]int64{},
	}
}

var oddValues = []float64{
	0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64, math.MaxFloat64,
	math.Float64frombits(value.NormalNaN), math.Float64frombits(value.StaleNaN),
	math.Float64frombits(0x7ff8_dead_beef_0001), math.Float64frombits(math.MaxUint64),
}

func (g *sampler) next(r *rand.Rand) series.Sample {
	g.t += g.step
	if r.IntN(200) == 0 {
		g.t += r.Int64N(2 * hour)
	}
	if r.IntN(100) == 0 {
		g.kind = r.IntN(10)
	}
	s := series.Sample{T: g.t}
	if g.jitter > 0 {
		s.T += r.Int64N(g.jitter)
	}
	switch g.kind {
	case 0, 1: // Constant.
		s.V = g.v
	case 2:
		g.v += float64(r.IntN(1000))
		s.V = g.v
	case 3:
		s.V = math.Round(r.NormFloat64()*1e4) / 100
	case 4:
		s.V = oddValues[r.IntN(len(oddValues))]
	case 5: // With a start timestamp, anew now and then.
		if g.v++; g.st == 0 || r.IntN(30) == 0 {
			g.st, g.v = s.T-1, 0
		}
		s.V, s.ST = g.v, g.st
	default:
		g.histogram(r, &s)
		if g.kind == 9 {
			s.ST = Base
		}
		return s
	}
	if r.IntN(50) == 0 {
		s.V = math.Float64frombits(value.StaleNaN)
	}
	return s
}

func (g *sampler) histogram(r *rand.Rand, s *series.Sample) {
	gauge, custom := g.kind == 7, g.kind == 8
	if gauge || r.IntN(50) == 0 {
		clear(g.counts)
		g.zeros = 0
	}
	for range r.IntN(6) {
		if i := r.IntN(14) - 4; !custom {
			g.counts[i] += int64(r.IntN(5))
			g.zeros += uint64(r.IntN(2))
		} else {
			g.counts[min(max(i, 0), 2)]++
		}
	}
	h := Histogram(g.counts, g.zeros, float64(r.IntN(1000))/8)
	if gauge {
		h.CounterResetHint = histogram.GaugeType
	}
	if custom {
		h.Schema, h.ZeroThreshold, h.ZeroCount = histogram.CustomBucketsSchema, 0, 0
		h.Count -= g.zeros
		h.CustomValues = []float64{0.1, 2.5}
		if r.IntN(20) == 0 {
			h.CustomValues = []float64{0.1, 5}
		}
	}
	switch r.IntN(40) {
	case 0:
		h = &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}
	case 1:
		h.Sum = math.Float64frombits(value.NormalNaN)
	}
	if s.H = h; r.IntN(60) == 0 || g.step == 1000 {
		s.H, s.FH = nil, h.ToFloat(nil)
	}
}
