package repair

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	compared, differing prometheus.Counter
	samples, bytes      prometheus.Counter
	failures, closed    prometheus.Counter
	answered, digesting prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, passed, gaps func() float64) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "barograph_repair_" + name, Help: help})
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_repair_last_pass_seconds",
		Help: "Time within which all that the node holds was compared with the other replicas; infinite while some of it never was.",
	}, passed)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_repair_gaps",
		Help: "Gaps of this node that are to be repaired: its own, and nodes that gave up what they kept for it.",
	}, gaps)
	return &metrics{
		compared:  counter("compared_total", "Slots of shards that were compared with another replica."),
		differing: counter("differing_total", "Slots of shards in which another replica had other samples."),
		samples:   counter("samples_total", "Samples fetched from other replicas because they were missing here."),
		bytes:     counter("bytes_total", "Bytes fetched for that, as they are encoded."),
		failures:  counter("failures_total", "Comparisons and fetches that failed, and are tried again."),
		closed:    counter("closed_gaps_total", "Gaps of this node that were closed by repair."),
		answered:  counter("answered_total", "Slots of shards of which this node told another one digests."),
		digesting: counter("digest_seconds_total", "Time spent making digests, for this node and for others."),
	}
}
