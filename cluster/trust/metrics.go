package trust

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics has nil for what there is not.
type metrics struct {
	own, authority prometheus.Gauge
	keys           prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, tls bool) *metrics {
	f := promauto.With(reg)
	expiry := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "barograph_trust_certificate_expiry_timestamp_seconds",
		Help: "When the certificate that the node shows other nodes expires, and the last of the authority's; without TLS there are none.",
	}, []string{"certificate"})
	m := &metrics{keys: f.NewGauge(prometheus.GaugeOpts{
		Name: "barograph_trust_gossip_keys",
		Help: "Keys of gossip that are in force; 0 is plain gossip.",
	})}
	if tls {
		m.own, m.authority = expiry.WithLabelValues("own"), expiry.WithLabelValues("authority")
	}
	return m
}

func (m *metrics) set(to *material) {
	m.keys.Set(float64(len(to.keys)))
	if m.own != nil {
		own, authority := to.ends()
		m.own.Set(float64(own.Unix()))
		m.authority.Set(float64(authority.Unix()))
	}
}
