package limit

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Key names a limit as the config file does.
type Key string

// The limits that are counted here. Those on labels and single samples are counted by reason, in
// barograph_ingest_rejected_samples_total.
const (
	Body         Key = "body_bytes"
	Decoded      Key = "decoded_bytes"
	Import       Key = "import_bytes"
	InFlight     Key = "in_flight_bytes"
	ActiveSeries Key = "active_series"
	NewSeries    Key = "new_series_per_second"
	Exemplars    Key = "exemplars_per_request"
	Metadata     Key = "metadata_per_request"
	MetadataSize Key = "metadata_bytes"
)

type metrics struct {
	refused map[Key]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, l *Limiter) *metrics {
	f := promauto.With(reg)
	refused := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_limit_refused_total",
		Help: "Requests, series, exemplars or metadata that a limit kept out, by its config key.",
	}, []string{"limit"})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_limit_in_flight_bytes",
		Help: "Bytes of write requests being worked on.",
	}, func() float64 { return float64(l.inFlight.Load()) })
	m := &metrics{refused: make(map[Key]prometheus.Counter)}
	for _, k := range []Key{Body, Decoded, Import, InFlight, ActiveSeries, NewSeries, Exemplars, Metadata, MetadataSize} {
		m.refused[k] = refused.WithLabelValues(string(k))
	}
	return m
}
