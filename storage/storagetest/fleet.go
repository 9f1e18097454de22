package storagetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/storage/series"
)

// FleetOptions says how large a fleet is and how regular.
type FleetOptions struct {
	Seed  uint64
	Hosts int // Each has about 500 series; default 1.
	// NativeHistograms adds a few series of each kind of native histogram to each host.
	NativeHistograms bool
	// Jitter moves each host's timestamps by up to this many milliseconds.
	Jitter int64
}

// Fleet is a number of hosts with series shaped like those of node_exporter: most are constant,
// the others count, waver or measure in the way such series do. The same options give the same
// series and samples. It is a walk: each Scrape goes one step on.
type Fleet struct {
	series []Series
	hosts  []host
	jitter int64
}

type host struct {
	r        *rand.Rand
	from, to int // Its series.
}

// Series is one series of a fleet.
type Series struct {
	Labels series.Labels
	next   func(*series.Sample)
}

// Point is a sample of the series with that number.
type Point struct {
	Series int
	series.Sample
}

// NewFleet makes a fleet before its first scrape.
func NewFleet(o FleetOptions) *Fleet {
	f := &Fleet{jitter: o.Jitter}
	for i := range max(o.Hosts, 1) {
		r := rand.New(rand.NewPCG(o.Seed, uint64(i)))
		h := host{r: r, from: len(f.series)}
		b := hostBuilder{fleet: f, r: r, instance: fmt.Sprintf("10.%d.%d.%d:9100", i>>16, i>>8&255, i&255)}
		b.build()
		if o.NativeHistograms {
			b.natives()
		}
		h.to = len(f.series)
		f.hosts = append(f.hosts, h)
	}
	return f
}

// Series are the fleet's series; a Point's number is an index into them.
func (f *Fleet) Series() []Series { return f.series }

// Scrape appends the samples of every series at t, host by host, to dst.
func (f *Fleet) Scrape(dst []Point, t int64) []Point {
	for _, h := range f.hosts {
		at := t
		if f.jitter > 0 {
			at += h.r.Int64N(2*f.jitter+1) - f.jitter
		}
		for i := h.from; i < h.to; i++ {
			p := Point{Series: i, Sample: series.Sample{T: at}}
			f.series[i].next(&p.Sample)
			dst = append(dst, p)
		}
	}
	return dst
}

// hostBuilder adds one host's series.
type hostBuilder struct {
	fleet    *Fleet
	r        *rand.Rand
	instance string
}

func (b *hostBuilder) add(name string, next func(*series.Sample), labels ...string) {
	ss := append([]string{"__name__", name, "instance", b.instance, "job", "node"}, labels...)
	b.fleet.series = append(b.fleet.series, Series{Labels: series.FromStrings(ss...), next: next})
}

func (b *hostBuilder) build() {
	for cpu := range 4 {
		for i, mode := range []string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"} {
			next := b.counter(0.01, []float64{1400, 8, 0, 0, 3, 0, 30, 60}[i])
			b.add("node_cpu_seconds_total", next, "cpu", strconv.Itoa(cpu), "mode", mode)
		}
	}
	for i := range 50 {
		b.add(fmt.Sprintf("node_memory_%c%c_bytes", 'A'+i%26, 'a'+i/26), b.mostly(0.35, b.gauge(4096, 1e6)))
	}
	for dev := range 6 {
		device := fmt.Sprintf("sd%c", 'a'+dev)
		for i := range 17 {
			rate := 0.0
			if dev < 2 && i < 11 {
				rate = math.Pow(10, 5*b.r.Float64())
			}
			unit := 1.0
			if i%4 == 3 {
				unit = 0.001
			}
			b.add(fmt.Sprintf("node_disk_%c_total", 'a'+i), b.counter(unit, rate), "device", device)
		}
		for i := range 7 {
			b.add(fmt.Sprintf("node_filesystem_%c", 'a'+i), b.mostly(0.1, b.gauge(4096, 1e7)),
				"device", device, "fstype", "ext4", "mountpoint", "/mnt/"+device)
		}
	}
	for dev := range 5 {
		for i := range 24 {
			rate := 0.0
			if dev < 2 && i%6 < 2 {
				rate = math.Pow(10, 1+5*b.r.Float64())
			}
			b.add(fmt.Sprintf("node_network_%c_total", 'a'+i), b.counter(1, rate), "device", fmt.Sprintf("eth%d", dev))
		}
	}
	for i := range 120 {
		b.add(fmt.Sprintf("node_sockstat_%d", i), b.mostly(0.2, b.gauge(1, 500)))
	}
	for i := range 12 {
		b.add(fmt.Sprintf("node_load_%d", i), b.gauge(0.01, 200))
	}
	b.classic("http_request_duration_seconds")
	for i := range 5 {
		b.add(fmt.Sprintf("node_time_%d_seconds", i), b.noise)
	}
}

// mostly is next for the given share of series, and a constant for the others.
func (b *hostBuilder) mostly(share float64, next func(*series.Sample)) func(*series.Sample) {
	if b.r.Float64() < share {
		return next
	}
	v := []float64{
		0, 0, 0, 0, 1, 1, -1, float64(b.r.IntN(100)), float64(b.r.IntN(1<<20)) * 4096, 65536, 0.25,
		float64(b.r.IntN(1e9)),
	}[b.r.IntN(12)]
	return func(s *series.Sample) { s.V = v }
}

// counter counts in steps of unit, noisily, and begins anew now and then. Without a rate it stays.
func (b *hostBuilder) counter(unit, rate float64) func(*series.Sample) {
	n := math.Floor(rate * b.r.Float64() * 1e5)
	return func(s *series.Sample) {
		if rate > 0 {
			n += math.Floor(rate * (0.5 + b.r.Float64()))
			if b.r.IntN(2000) == 0 {
				n = 0
			}
		}
		switch unit {
		case 1:
			s.V = n
		case 0.001: // As exporters do that multiply, with digits to spare.
			s.V = n * 0.001
		default:
			s.V = n / math.Round(1/unit)
		}
	}
}

// gauge wavers in steps of unit.
func (b *hostBuilder) gauge(unit, swing float64) func(*series.Sample) {
	n := math.Floor(swing * (1 + b.r.Float64()))
	return func(s *series.Sample) {
		if b.r.IntN(3) > 0 {
			n = math.Max(0, n+math.Round(b.r.NormFloat64()*swing/50))
		}
		if s.V = n * unit; unit < 1 {
			s.V = n / math.Round(1/unit)
		}
	}
}

// noise has all digits.
func (b *hostBuilder) noise(s *series.Sample) { s.V = float64(s.T)/1000 + b.r.Float64() }

// classic is a classic histogram: buckets, sum and count, each a series.
func (b *hostBuilder) classic(name string) {
	bounds := []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, math.Inf(1)}
	counts := make([]float64, len(bounds))
	for i, le := range bounds {
		b.add(name+"_bucket", func(s *series.Sample) {
			if i == 0 { // The first one to be asked observes for all.
				for range b.r.IntN(40) {
					v := math.Exp(b.r.NormFloat64() - 3)
					for j, le := range bounds {
						if v <= le {
							counts[j]++
						}
					}
				}
			}
			s.V = counts[i]
		}, "le", strconv.FormatFloat(le, 'g', -1, 64))
	}
	sum := 0.0
	b.add(name+"_sum", func(s *series.Sample) { sum += b.r.Float64(); s.V = sum })
	b.add(name+"_count", func(s *series.Sample) { s.V = counts[len(counts)-1] })
}

// natives adds native histograms: integer and float counts, counters and gauges, custom buckets.
func (b *hostBuilder) natives() {
	for i := range 2 {
		id := strconv.Itoa(i)
		b.add("rpc_seconds", b.native(false, false, false), "id", id)
		b.add("rpc_rate", b.native(true, false, false), "id", id)
		b.add("queue_depth", b.native(false, true, false), "id", id)
		b.add("rpc_custom", b.native(i == 1, false, true), "id", id)
	}
}

func (b *hostBuilder) native(float, gauge, custom bool) func(*series.Sample) {
	counts := map[int]int64{}
	var sum float64
	var zeros int64
	return func(s *series.Sample) {
		if gauge || b.r.IntN(300) == 0 {
			clear(counts)
			zeros, sum = 0, 0
		}
		for range b.r.IntN(30) {
			i := int(b.r.NormFloat64() * 4)
			if custom {
				i = min(max(i, 0), 4)
			} else if b.r.IntN(10) == 0 {
				zeros++
			}
			counts[i]++
			sum += b.r.Float64()
		}
		h := Histogram(counts, uint64(zeros), sum)
		if gauge {
			h.CounterResetHint = histogram.GaugeType
		}
		if custom {
			h.Schema, h.CustomValues, h.ZeroThreshold = histogram.CustomBucketsSchema, []float64{0.1, 1, 2.5, 10}, 0
		}
		if s.H = h; float {
			s.H, s.FH = nil, h.ToFloat(nil)
		}
	}
}

// Histogram is the integer histogram of schema 1 with the given counts by bucket index.
func Histogram(counts map[int]int64, zeros uint64, sum float64) *histogram.Histogram {
	h := &histogram.Histogram{Schema: 1, ZeroThreshold: 0x1p-128, ZeroCount: zeros, Count: zeros, Sum: sum}
	lo, hi := math.MaxInt, math.MinInt
	for i := range counts {
		lo, hi = min(lo, i), max(hi, i)
	}
	last, before := lo, int64(0)
	for i := lo; i <= hi; i++ {
		n, ok := counts[i]
		if !ok {
			continue
		}
		if len(h.PositiveSpans) == 0 || i > last+1 {
			offset := i - last - 1
			if len(h.PositiveSpans) == 0 {
				offset = i
			}
			h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: int32(offset)})
		}
		h.PositiveSpans[len(h.PositiveSpans)-1].Length++
		h.PositiveBuckets = append(h.PositiveBuckets, n-before)
		h.Count += uint64(n)
		last, before = i, n
	}
	return h
}
