package storage

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	reg         prometheus.Registerer
	refused     prometheus.Counter
	undecodable prometheus.Counter
	lost        prometheus.Counter
	corruptions prometheus.Counter
	retained    prometheus.Counter
	imported    prometheus.Counter
	full        prometheus.Gauge
	free        prometheus.Gauge
	waiting     prometheus.Gauge
	flushes     prometheus.Histogram
	seals       prometheus.Counter
	sealTime    prometheus.Histogram
	sealedBytes *prometheus.CounterVec
	failures    *prometheus.CounterVec

	dropped, droppedBytes, rewrittenBytes prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		reg: reg,
		refused: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_refused_writes_total",
			Help: "Frames and new series refused because the disk is nearly full.",
		}),
		undecodable: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_undecodable_records_total",
			Help: "Log records whose checksum held but which made no sense, at start.",
		}),
		lost: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_lost_records_total",
			Help: "Whole log records that could not be read at start because they build on damaged ones.",
		}),
		corruptions: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_corruptions_total",
			Help: "Reads of a part that failed because it is damaged.",
		}),
		retained: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_retained_parts_total",
			Help: "Parts dropped because of the retention.",
		}),
		imported: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_imported_samples_total",
			Help: "Samples taken in from other nodes, as parts.",
		}),
		full: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_storage_full",
			Help: "1 while writes are refused because the disk is nearly full.",
		}),
		free: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_storage_free_bytes",
			Help: "Free space of the disk with the data directory.",
		}),
		waiting: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_storage_waiting",
			Help: "1 while Pebble waits since the disk is full to the brim.",
		}),
		flushes: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "barograph_storage_flush_seconds",
			Help:    "Time a flush of the head took.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 8),
		}),
		seals: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_seals_total",
			Help: "Days sealed, each time that late samples were folded in counted.",
		}),
		sealTime: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "barograph_storage_seal_seconds",
			Help:    "Time that sealing a day took.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 10),
		}),
		sealedBytes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_storage_sealed_bytes_total",
			Help: "Size of the parts that sealing read (in) and wrote (out).",
		}, []string{"direction"}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_dropped_shards_total",
			Help: "Shards dropped since other nodes hold them, as often as they were.",
		}),
		droppedBytes: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_dropped_bytes_total",
			Help: "Space on disk that came back from dropped shards, but for days that were sealed without them.",
		}),
		rewrittenBytes: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_storage_dropped_rewritten_bytes_total",
			Help: "Size of the parts that were written so that space of dropped shards came back.",
		}),
		failures: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_storage_background_failures_total",
			Help: "Flushes, checkpoints, seals, drops and reclaims that failed and will be tried again.",
		}, []string{"what"}),
	}
}

func (m *metrics) sealed(i SealInfo) {
	m.seals.Inc()
	m.sealTime.Observe(i.Duration.Seconds())
	m.sealedBytes.WithLabelValues("in").Add(float64(i.BytesIn))
	m.sealedBytes.WithLabelValues("out").Add(float64(i.BytesOut))
}

func (m *metrics) reclaimed(i DropInfo) {
	m.droppedBytes.Add(float64(i.Freed))
	m.rewrittenBytes.Add(float64(i.Written))
}

// observe adds the figures that are read from db when they are asked for.
func (m *metrics) observe(db *DB) {
	f := promauto.With(m.reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_storage_parts",
		Help: "Parts on disk.",
	}, func() float64 { return float64(len(db.parts.snapshot())) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_storage_parts_bytes",
		Help: "Size of the parts on disk.",
	}, func() float64 {
		total := int64(0)
		for _, p := range db.parts.snapshot() {
			total += p.Meta().Bytes
		}
		return float64(total)
	})
}
