package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the handlers. The label handler is a name of the table in routes.go and code one of
// the few statuses they send, so both are bounded.
type metrics struct {
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	panics   prometheus.Counter
	readWait prometheus.Histogram
	readBusy prometheus.Gauge
	dropped  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "barograph_http_request_duration_seconds",
			Help:    "Time from a request's first handler to the last byte of its answer.",
			Buckets: []float64{.001, .005, .02, .1, .4, 1, 3, 10, 30, 120},
		}, []string{"handler", "code"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "barograph_http_requests_in_flight",
			Help: "Requests being answered.",
		}, []string{"handler"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "barograph_http_panics_total",
			Help: "Panics of handlers that were answered with status 500.",
		}),
		readWait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "barograph_http_remote_read_wait_seconds",
			Help:    "Time remote-read requests waited for their turn.",
			Buckets: []float64{.001, .01, .1, 1, 10, 60},
		}),
		readBusy: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_http_remote_reads_running",
			Help: "Remote-read requests whose turn it is.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "barograph_http_aborted_answers_total",
			Help: "Answers cut off after their header was sent: the client went away or reading failed.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.duration, m.inFlight, m.panics, m.readWait, m.readBusy, m.dropped)
	}
	return m
}

func (m *metrics) observe(handler string, code int, since time.Time) {
	m.duration.WithLabelValues(handler, strconv.Itoa(code)).Observe(time.Since(since).Seconds())
}
