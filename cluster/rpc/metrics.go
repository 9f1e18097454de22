package rpc

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// limit names what was reached.
type limit int

const (
	limitStreams limit = iota
	limitRequests
	limitConns
	limitPeerConns
	limitMessage
	limitRaw
	numLimits
)

type metrics struct {
	links     [2][numClasses]prometheus.Gauge    // by side
	raws      [2]prometheus.Counter              // by side
	refusals  [2][numRefusals]prometheus.Counter // by side
	failed    [2]prometheus.Counter              // handshakes, by side
	dials     prometheus.Counter
	dialFails prometheus.Counter
	backoffs  prometheus.Counter
	lost      [numLosses]prometheus.Counter
	limits    [numLimits]prometheus.Counter
	received  prometheus.Counter
	sent      prometheus.Counter
	panics    prometheus.Counter
	running   prometheus.Gauge
	requests  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "barograph_rpc_" + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "barograph_rpc_" + name, Help: help}, labels)
	}
	m := &metrics{
		dials:     counter("dials_total", "Connections that were tried."),
		dialFails: counter("dial_failures_total", "Connections that were tried and did not come about."),
		backoffs:  counter("backoff_rejections_total", "Requests that were unavailable at once because the last dial of their peer had failed."),
		received:  counter("received_bytes_total", "Bytes received from other nodes."),
		sent:      counter("sent_bytes_total", "Bytes sent to other nodes."),
		panics:    counter("panics_total", "Handlers that panicked."),
		running: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_rpc_running_requests",
			Help: "Requests of other nodes that are being served.",
		}),
		requests: counters("requests_total", "Requests that have ended, by the side that this node had in them, method and code.",
			"side", "method", "code"),
	}
	links := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "barograph_rpc_connections",
		Help: "Connections with other nodes that carry requests, by the side that this node has in them.",
	}, []string{"side", "class"})
	refusals := counters("refused_connections_total", "Connections that one side did not want, by the side of this node and the reason.", "side", "reason")
	failed := counters("failed_handshakes_total", "Handshakes that broke, took too long or made no sense, by the side of this node.", "side")
	lost := counters("lost_connections_total", "Connections that ended before both sides wanted it, by reason.", "reason")
	limits := counters("limit_rejections_total", "What was refused because a limit was reached.", "limit")
	raws := counters("raw_connections_total", "Connections handed over to what speaks a protocol of its own, as Raft does, by the side of this node.", "side")
	for side, name := range sideNames {
		m.raws[side] = raws.WithLabelValues(name)
		for c := range numClasses {
			m.links[side][c] = links.WithLabelValues(name, c.String())
		}
		for r := refusedVersion; r < numRefusals; r++ {
			m.refusals[side][r] = refusals.WithLabelValues(name, r.String())
		}
		m.failed[side] = failed.WithLabelValues(name)
	}
	for why := lostSilent; why < numLosses; why++ {
		m.lost[why] = lost.WithLabelValues(lossNames[why])
	}
	for i, name := range [numLimits]string{"streams", "requests", "connections", "peer_connections", "message_bytes", "raw_connections"} {
		m.limits[i] = limits.WithLabelValues(name)
	}
	return m
}

// refused counts a refusal, also of a kind that this version does not know.
func (m *metrics) refused(s side, r refusal) {
	if r > welcome && r < numRefusals {
		m.refusals[s][r].Inc()
	} else {
		m.failed[s].Inc()
	}
}

// ended counts a request that has ended.
func (m *metrics) ended(s side, method string, code Code) {
	m.requests.WithLabelValues(sideNames[s], method, code.String()).Inc()
}
