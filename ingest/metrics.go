package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	written   [4]prometheus.Counter // in the order of Counts
	left      [4]prometheus.Counter // deduplicated, in the order of Counts
	rejected  [numReasons]prometheus.Counter
	hits      prometheus.Counter
	misses    prometheus.Counter
	evictions prometheus.Counter
	unknown   prometheus.Counter
	entries   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	written := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_ingest_written_total",
		Help: "What was handed to the storage and taken, by kind.",
	}, []string{"kind"})
	rejected := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_ingest_rejected_samples_total",
		Help: "Samples, histograms, exemplars and metadata (and series without any) that were refused, by reason.",
	}, []string{"reason"})
	left := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_ingest_deduplicated_total",
		Help: "What was left out because it came from a replica of an HA pair that is not the elected one, by kind.",
	}, []string{"kind"})
	m := &metrics{
		hits: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_ingest_cache_hits_total",
			Help: "Runs of samples whose series was known by its raw labels.",
		}),
		misses: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_ingest_cache_misses_total",
			Help: "Runs of samples whose labels had to be read.",
		}),
		evictions: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_ingest_cache_evictions_total",
			Help: "Series forgotten by the cache of raw labels because they were not used for long or room was needed.",
		}),
		unknown: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_ingest_lost_references_total",
			Help: "Samples whose series the storage had forgotten since its reference was cached; they are looked up anew.",
		}),
		entries: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_ingest_cache_entries",
			Help: "Series in the cache of raw labels.",
		}),
	}
	for i, kind := range []string{"sample", "histogram", "exemplar", "metadata"} {
		m.written[i], m.left[i] = written.WithLabelValues(kind), left.WithLabelValues(kind)
	}
	for r := range Reasons {
		m.rejected[r] = rejected.WithLabelValues(r.Name())
	}
	return m
}

func (m *metrics) observe(res *Result) {
	addKinds(&m.written, res.Written)
	addKinds(&m.left, res.Deduplicated)
	for _, r := range res.Rejections {
		m.rejected[r.Reason].Add(float64(r.Counts.Total() + r.Series))
	}
}

func addKinds(to *[4]prometheus.Counter, c Counts) {
	for i, n := range [...]int{c.Samples, c.Histograms, c.Exemplars, c.Metadata} {
		if n > 0 {
			to[i].Add(float64(n))
		}
	}
}
