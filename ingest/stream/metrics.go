package stream

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// senderMetrics are those of all senders; each has its own by peer.
type senderMetrics struct {
	frames      *prometheus.CounterVec
	samples     *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	definitions *prometheus.CounterVec
	again       *prometheus.CounterVec
	opens       *prometheus.CounterVec
	pending     *prometheus.GaugeVec
	pendingSize *prometheus.GaugeVec
	up          *prometheus.GaugeVec
}

// What became of a frame.
const (
	resultTaken   = "taken"
	resultRefused = "refused"     // by the peer
	resultFull    = "queue_full"  // at once
	resultDown    = "down"        // at once, or with the stream
	resultSlow    = "slow"        // at once: others wait for too long
	resultTimeout = "timeout"     // without an answer
	resultLarge   = "too_large"   //
	resultTries   = "tries"       // it came back too often
	resultClosed  = "sender_ends" //
)

var results = []string{
	resultTaken, resultRefused, resultFull, resultDown, resultSlow, resultTimeout, resultLarge, resultTries, resultClosed,
}

func newSenderMetrics(reg prometheus.Registerer) *senderMetrics {
	f := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"peer"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"peer"})
	}
	return &senderMetrics{
		frames: counter("barograph_stream_frames_total",
			"Frames for a peer, by what became of them.", "result"),
		samples: counter("barograph_stream_sent_samples_total",
			"Samples sent to a peer, again ones included."),
		bytes: counter("barograph_stream_sent_bytes_total",
			"Bytes of messages sent to a peer."),
		definitions: counter("barograph_stream_sent_series_total",
			"Series defined to a peer: once for each stream, and when it has forgotten one."),
		again: counter("barograph_stream_repeated_frames_total",
			"Frames sent again because a stream broke or the peer did not know a series."),
		opens: counter("barograph_stream_opens_total",
			"Attempts to open a stream to a peer.", "result"),
		pending: gauge("barograph_stream_pending_frames",
			"Frames that a peer has not answered."),
		pendingSize: gauge("barograph_stream_pending_bytes",
			"Memory of the frames that a peer has not answered."),
		up: gauge("barograph_stream_up",
			"1 while there is a stream to the peer."),
	}
}

// peerMetrics are those of one peer.
type peerMetrics struct {
	of   *senderMetrics
	peer string

	frames                             map[string]prometheus.Counter
	samples, bytes, definitions, again prometheus.Counter
	opened, unopened                   prometheus.Counter
	pending, pendingSize, up           prometheus.Gauge
}

func (m *senderMetrics) peer(peer string) *peerMetrics {
	p := &peerMetrics{
		of: m, peer: peer, frames: make(map[string]prometheus.Counter, len(results)),
		samples: m.samples.WithLabelValues(peer), bytes: m.bytes.WithLabelValues(peer),
		definitions: m.definitions.WithLabelValues(peer), again: m.again.WithLabelValues(peer),
		opened: m.opens.WithLabelValues(peer, "ok"), unopened: m.opens.WithLabelValues(peer, "failed"),
		pending: m.pending.WithLabelValues(peer), pendingSize: m.pendingSize.WithLabelValues(peer),
		up: m.up.WithLabelValues(peer),
	}
	for _, r := range results {
		p.frames[r] = m.frames.WithLabelValues(peer, r)
	}
	return p
}

// forget drops the peer's series, since peers come and go.
func (p *peerMetrics) forget() {
	labels := prometheus.Labels{"peer": p.peer}
	for _, v := range []*prometheus.CounterVec{
		p.of.frames, p.of.samples, p.of.bytes, p.of.definitions, p.of.again, p.of.opens,
	} {
		v.DeletePartialMatch(labels)
	}
	for _, v := range []*prometheus.GaugeVec{p.of.pending, p.of.pendingSize, p.of.up} {
		v.DeletePartialMatch(labels)
	}
}

type receiverMetrics struct {
	taken, refused prometheus.Counter
	samples        prometheus.Counter
	bytes          prometheus.Counter
	definitions    prometheus.Counter
	unknown        prometheus.Counter
	waits          prometheus.Counter
	turnedAway     prometheus.Counter
	broken         prometheus.Counter
	streams        prometheus.Gauge
	inFlight       prometheus.Gauge
}

func newReceiverMetrics(reg prometheus.Registerer) *receiverMetrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	frames := f.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_stream_received_frames_total",
		Help: "Frames received from other nodes, by whether the storage took them.",
	}, []string{"result"})
	return &receiverMetrics{
		taken:   frames.WithLabelValues(resultTaken),
		refused: frames.WithLabelValues(resultRefused),
		samples: counter("barograph_stream_received_samples_total",
			"Samples received from other nodes, repeated ones included."),
		bytes: counter("barograph_stream_received_bytes_total",
			"Bytes of messages received from other nodes' senders."),
		definitions: counter("barograph_stream_received_series_total",
			"Series defined by other nodes' streams."),
		unknown: counter("barograph_stream_unknown_samples_total",
			"Samples received of series that the stream did not define or the storage has forgotten; they come again with labels."),
		waits: counter("barograph_stream_full_total",
			"Times that a stream was not read because too much of it was being appended."),
		turnedAway: counter("barograph_stream_turned_away_total",
			"Streams refused because their node had too many."),
		broken: counter("barograph_stream_broken_total",
			"Streams of other nodes that did not end in order."),
		streams: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_stream_received_streams",
			Help: "Streams of other nodes' senders.",
		}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_stream_in_flight_frames",
			Help: "Frames of other nodes that are being appended.",
		}),
	}
}
