package intake

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/barograph-db/barograph/ingest"
)

type metrics struct {
	requests  *prometheus.CounterVec
	bytes     *prometheus.CounterVec
	durations *prometheus.HistogramVec
	refused   map[ingest.Reason]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_ingest_requests_total",
			Help: "Write requests answered, by protocol and HTTP status.",
		}, []string{"protocol", "code"}),
		bytes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_ingest_body_bytes_total",
			Help: "Bytes of the bodies of write requests, as received and as decoded.",
		}, []string{"protocol", "stage"}),
		durations: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "barograph_ingest_request_duration_seconds",
			Help:    "Time from a write request's first byte to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, []string{"protocol"}),
		refused: make(map[ingest.Reason]prometheus.Counter),
	}
	refused := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_ingest_refused_requests_total",
		Help: "Write requests refused as a whole, by reason.",
	}, []string{"reason"})
	for r := range ingest.Reasons {
		m.refused[r] = refused.WithLabelValues(r.Name())
	}
	return m
}

func (m *metrics) received(protocol string, n int) {
	m.bytes.WithLabelValues(protocol, "received").Add(float64(n))
}

func (m *metrics) decoded(protocol string, n int) {
	m.bytes.WithLabelValues(protocol, "decoded").Add(float64(n))
}

func (m *metrics) observe(q *Request) {
	m.requests.WithLabelValues(q.protocol, strconv.Itoa(q.status)).Inc()
	m.durations.WithLabelValues(q.protocol).Observe(time.Since(q.begin).Seconds())
}
