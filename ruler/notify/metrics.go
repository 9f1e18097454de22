package notify

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// maxLabels bounds the values of the label alertmanager; Alertmanagers beyond share one.
const (
	maxLabels  = 100
	otherLabel = "other"
)

// Reasons why alerts are dropped.
const (
	dropFull    = "full"    // the queue is
	dropExpired = "expired" // it is too late for them
	dropRefused = "refused" // by Alertmanager
	dropRemoved = "removed" // the Alertmanager is found no more, or the node stops
)

type metrics struct {
	sent, errors, dropped *prometheus.CounterVec
	length                *prometheus.GaugeVec
	latency               *prometheus.HistogramVec
	discovered, ignored   prometheus.Gauge
	unaddressed           prometheus.Counter

	mu struct {
		sync.Mutex
		users map[string]int // of each label
	}
}

func newMetrics(reg prometheus.Registerer, capacity int) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"alertmanager"}, more...))
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		sent:   counter("barograph_notifications_sent_total", "Alerts that the Alertmanager took."),
		errors: counter("barograph_notifications_errors_total", "Alerts in requests to the Alertmanager that failed; most are sent again."),
		dropped: counter("barograph_notifications_dropped_total",
			"Alerts that the Alertmanager will not hear of, by reason: the queue was full, they expired while it took none, it refused them, or it was removed.", "reason"),
		length: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "barograph_notifications_queue_length",
			Help: "Alerts that wait for the Alertmanager.",
		}, []string{"alertmanager"}),
		latency: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "barograph_notifications_latency_seconds",
			Help:    "How long the Alertmanager takes to take alerts.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"alertmanager"}),
		discovered: gauge("barograph_notifications_alertmanagers_discovered", "Alertmanagers that alerts are sent to."),
		ignored:    gauge("barograph_notifications_alertmanagers_ignored", "Alertmanagers that discovery finds beyond those that alerts are sent to."),
		unaddressed: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_notifications_unaddressed_total",
			Help: "Alerts that were sent while Alertmanagers were configured and none was found.",
		}),
	}
	gauge("barograph_notifications_queue_capacity", "Alerts that can wait for an Alertmanager.").Set(float64(capacity))
	m.mu.users = map[string]int{}
	return m
}

// senderMetrics are those of one Alertmanager.
type senderMetrics struct {
	all          *metrics
	label        string
	sent, errors prometheus.Counter
	dropped      map[string]prometheus.Counter // by reason
	length       prometheus.Gauge
	latency      prometheus.Observer
}

// of returns the metrics of an Alertmanager until end is called.
func (m *metrics) of(url string) *senderMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	label := url
	if m.mu.users[label] == 0 && len(m.mu.users) >= maxLabels {
		label = otherLabel
	}
	m.mu.users[label]++
	s := &senderMetrics{
		all: m, label: label, sent: m.sent.WithLabelValues(label), errors: m.errors.WithLabelValues(label),
		dropped: map[string]prometheus.Counter{}, length: m.length.WithLabelValues(label), latency: m.latency.WithLabelValues(label),
	}
	for _, reason := range []string{dropFull, dropExpired, dropRefused, dropRemoved} {
		s.dropped[reason] = m.dropped.WithLabelValues(label, reason)
	}
	return s
}

// end removes them, unless another Alertmanager has the same.
func (s *senderMetrics) end() {
	m := s.all
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.users[s.label]--; m.mu.users[s.label] > 0 {
		return
	}
	delete(m.mu.users, s.label)
	m.sent.DeleteLabelValues(s.label)
	m.errors.DeleteLabelValues(s.label)
	m.dropped.DeletePartialMatch(prometheus.Labels{"alertmanager": s.label})
	m.length.DeleteLabelValues(s.label)
	m.latency.DeleteLabelValues(s.label)
}
