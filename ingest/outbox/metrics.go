package outbox

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	bytes     prometheus.Gauge
	kept      prometheus.Counter
	delivered prometheus.Counter
	givenUp   prometheus.Counter
	refused   prometheus.Counter
	damaged   prometheus.Counter
	waiting   prometheus.Gauge
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "barograph_outbox_" + name, Help: help})
	}
	return &metrics{
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_outbox_bytes", Help: "Bytes kept for peers that could not take them.",
		}),
		kept:      counter("samples_total", "Samples kept for a peer that could not take them."),
		delivered: counter("delivered_samples_total", "Samples kept that their peer has taken since."),
		givenUp:   counter("given_up_bytes_total", "Bytes given up because there were too many for one peer."),
		refused:   counter("refused_samples_total", "Samples that could not be kept, for lack of room or for an error of the disk."),
		damaged:   counter("damaged_segments_total", "Segments of which not all could be read back."),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_outbox_waiting", Help: "1 while the outbox waits since the disk is full to the brim.",
		}),
	}
}

// register shows the metrics, and how many peers there are.
func (m *metrics) register(reg prometheus.Registerer, peers func() float64) {
	reg.MustRegister(m.bytes, m.kept, m.delivered, m.givenUp, m.refused, m.damaged, m.waiting, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_outbox_peers", Help: "Peers that lack samples which are kept for them, or were given up.",
	}, peers))
}
