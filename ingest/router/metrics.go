package router

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/barograph-db/barograph/storage/frame"
)

type metrics struct {
	local, remote targetMetrics

	done       prometheus.Counter
	impossible prometheus.Counter
	unkept     prometheus.Counter
	canceled   prometheus.Counter
	wait       prometheus.Histogram
	again      prometheus.Counter
	missed     prometheus.Counter
	lost       prometheus.Counter
	forgotten  prometheus.Counter
	refused    prometheus.Counter
}

// targetMetrics are those of the own node, or of all others.
type targetMetrics struct{ frames, samples, failures prometheus.Counter }

func newMetrics(reg prometheus.Registerer, t *table) *metrics {
	f := promauto.With(reg)
	frames := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_router_frames_total",
		Help: "Frames handed to the own node (local) and to others (remote).",
	}, []string{"target"})
	samples := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_router_samples_total",
		Help: "Samples and histograms in those frames: each counts once for each of its replicas.",
	}, []string{"target"})
	failures := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_router_failures_total",
		Help: "Frames that a node did not take or is not known to have taken.",
	}, []string{"target"})
	of := func(target string) targetMetrics {
		return targetMetrics{frames.WithLabelValues(target), samples.WithLabelValues(target), failures.WithLabelValues(target)}
	}
	writes := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_router_writes_total",
		Help: "Writes by what became of them: done, impossible (too few replicas could take them), unkept (nothing could be kept for a replica that may lack them) or canceled (the request ended before).",
	}, []string{"outcome"})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_router_series",
		Help: "Series that are known to the router.",
	}, func() float64 { return float64(t.len()) })
	return &metrics{
		local: of("local"), remote: of("remote"),
		done: writes.WithLabelValues("done"), impossible: writes.WithLabelValues("impossible"), unkept: writes.WithLabelValues("unkept"), canceled: writes.WithLabelValues("canceled"),
		wait: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "barograph_router_quorum_wait_seconds",
			Help:    "How long writes waited for other nodes once the own one had answered.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}),
		again: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_router_again_total",
			Help: "Times that a write was begun again by a newer placement.",
		}),
		missed: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_router_missed_frames_total",
			Help: "Frames that were acknowledged and that a replica lacks.",
		}),
		lost: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_router_lost_references_total",
			Help: "Samples whose series the own node's storage had forgotten; they were looked up anew.",
		}),
		forgotten: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_router_forgotten_series_total",
			Help: "Series forgotten because they were not used for long.",
		}),
		refused: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_router_refused_total",
			Help: "Requests refused because the router knows as many series as it may.",
		}),
	}
}

func (t *targetMetrics) sent(f *frame.Frame) {
	t.frames.Inc()
	t.samples.Add(float64(f.Samples()))
}
