package wire

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	sent     prometheus.Counter
	stale    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		stale: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_wire_stale_requests_total",
			Help: "Requests of other nodes that were refused since this one does not hold the shards by the placement it knows.",
		}),
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_wire_requests_total",
			Help: "Requests that other nodes made of this one's data, by method and by what became of them.",
		}, []string{"method", "result"}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "barograph_wire_request_duration_seconds",
			Help:    "Time from the start of a request of another node until all of the answer was sent.",
			Buckets: []float64{.001, .0025, .01, .025, .1, .25, 1, 2.5, 10, 25, 100},
		}, []string{"method"}),
		sent: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_wire_sent_bytes_total",
			Help: "Bytes of answers that were sent to other nodes.",
		}),
	}
}

func (m *metrics) observe(method string, err error, begin time.Time) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.requests.WithLabelValues(method, result).Inc()
	m.duration.WithLabelValues(method).Observe(time.Since(begin).Seconds())
}

// counted counts the bytes that are sent, and how long that takes.
type counted struct {
	Conn
	bytes prometheus.Counter
	took  time.Duration
}

// Send sends a message.
func (c *counted) Send(msg []byte) error {
	c.bytes.Add(float64(len(msg)))
	begin := time.Now()
	err := c.Conn.Send(msg)
	c.took += time.Since(begin)
	return err
}
