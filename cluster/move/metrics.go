package move

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	bytes, samples, shards prometheus.Counter
	failures, anew         prometheus.Counter
	filling, left          prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "barograph_move_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "barograph_move_" + name, Help: help})
	}
	return &metrics{
		bytes:    counter("bytes_total", "Bytes of samples copied here from other nodes, as they are encoded."),
		samples:  counter("samples_total", "Samples copied here from other nodes."),
		shards:   counter("shards_total", "Shards of which this node's replica has become whole by copying."),
		failures: counter("failures_total", "Stretches that could not be copied, and ends that were not agreed upon; both are tried again."),
		anew:     counter("restarts_total", "Copies that began anew since they may have missed a write."),
		filling:  gauge("filling_shards", "Shards that are being copied here."),
		left:     gauge("left_days", "Days of these shards that are still to be copied."),
	}
}
