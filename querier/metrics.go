package querier

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type queryKind string

const (
	instant queryKind = "instant"
	ranged  queryKind = "range"
)

type metrics struct {
	queries  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	limits   *prometheus.CounterVec
	series   prometheus.Counter
	bytes    prometheus.Counter
	columnar *prometheus.CounterVec
	pushed   *prometheus.CounterVec
	received prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, e *Engine) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_querier_running_queries",
		Help: "Queries that are being evaluated.",
	}, func() float64 { return float64(e.gate.running()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_querier_queued_queries",
		Help: "Queries that wait for their turn.",
	}, func() float64 { return float64(e.gate.queued.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_querier_running_lookups",
		Help: "Requests for series, labels and the like that are being answered.",
	}, func() float64 { return float64(e.lookups.running()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_querier_queued_lookups",
		Help: "Requests for series, labels and the like that wait for their turn.",
	}, func() float64 { return float64(e.lookups.queued.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_querier_held_bytes",
		Help: "Bytes that queries hold, of query.max_bytes.",
	}, func() float64 { return float64(e.memory.used.Load()) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "barograph_querier_active_file_failures_total",
		Help: "Writes to the file of running queries that went wrong.",
	}, func() float64 { return float64(e.active.failures.Load()) })
	return &metrics{
		queries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_querier_queries_total",
			Help: "Queries by kind and by what became of them: ok or the kind of the error.",
		}, []string{"kind", "result"}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "barograph_querier_query_duration_seconds",
			Help:    "Time from the start of a query to its result, waiting included.",
			Buckets: []float64{.001, .0025, .01, .025, .1, .25, 1, 2.5, 10, 25, 100},
		}, []string{"kind"}),
		limits: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_querier_limit_hits_total",
			Help: "Queries that reached a limit, by its name.",
		}, []string{"limit"}),
		series: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_querier_read_series_total",
			Help: "Series that queries have read.",
		}),
		columnar: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_querier_columnar_parts_total",
			Help: "Parts of queries that could be evaluated over columns, by whether they were: computed, or left to promql for what their series hold.",
		}, []string{"result"}),
		pushed: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_querier_pushed_parts_total",
			Help: "Parts of aggregations that were computed on the nodes that hold their series, by whether that gave the result: computed, left for all series to be read, or failed.",
		}, []string{"result"}),
		received: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_querier_received_partial_bytes_total",
			Help: "Bytes of what other nodes have computed of aggregations, in place of their series.",
		}),
		bytes: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_querier_read_chunk_bytes_total",
			Help: "Bytes of chunks that queries have read.",
		}),
	}
}

// observe counts a query that ended.
func (m *metrics) observe(k queryKind, err error, begin time.Time) {
	result := "ok"
	if err != nil {
		result = KindOf(err).String()
	}
	m.queries.WithLabelValues(string(k), result).Inc()
	m.duration.WithLabelValues(string(k)).Observe(time.Since(begin).Seconds())
}
