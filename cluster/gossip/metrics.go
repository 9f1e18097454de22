package gossip

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	members     [numStates]prometheus.Gauge
	packets     traffic
	streams     prometheus.Counter
	streamBytes traffic
	facts       prometheus.Gauge
	refused     prometheus.Counter
	joins       [2]prometheus.Counter // Failed, done.
	unresolved  prometheus.Counter
	strangers   prometheus.Counter
	conflicts   prometheus.Counter

	keyMismatches prometheus.Counter
}

// traffic counts messages, where they are such, and bytes, by direction: received, sent.
type traffic struct {
	messages, bytes [2]prometheus.Counter
}

func (t *traffic) in(n int)  { t.count(0, n) }
func (t *traffic) out(n int) { t.count(1, n) }

func (t *traffic) count(direction, n int) {
	if c := t.messages[direction]; c != nil {
		c.Inc()
	}
	t.bytes[direction].Add(float64(n))
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "barograph_gossip_" + name, Help: help}, labels)
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "barograph_gossip_" + name, Help: help})
	}
	members := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "barograph_gossip_members",
		Help: "Nodes of the cluster that this one knows, itself included, by state.",
	}, []string{"state"})
	packets := vec("packets_total", "Packets (UDP) by direction.", "direction")
	bytes := vec("bytes_total", "Bytes of packets and streams, without headers, by direction.", "over", "direction")
	joins := vec("joins_total", "Tries to exchange states with an address to join or a former member, by result.", "result")
	m := &metrics{
		streams: counter("streams_total", "Streams (TCP) that were dialled or accepted."),
		facts: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_gossip_fact_bytes",
			Help: "Keys and values of the facts that are known of all nodes.",
		}),
		refused:    counter("refused_facts_total", "Messages of facts that were malformed, and facts out of bounds."),
		unresolved: counter("unresolved_addresses_total", "Lookups of addresses to join that failed."),
		strangers:  counter("refused_members_total", "Announcements of nodes that were malformed or beyond the bound of members."),
		conflicts:  counter("identity_conflicts_total", "Announcements of a node at another address than where its first lives."),
		keyMismatches: counter("key_mismatches_total",
			"Packets and streams of nodes that gossip with another key, or of which only one side has a key."),
		joins: [2]prometheus.Counter{joins.WithLabelValues("failed"), joins.WithLabelValues("done")},
	}
	for s := range m.members {
		m.members[s] = members.WithLabelValues(State(s).String())
	}
	for i, direction := range []string{"received", "sent"} {
		m.packets.messages[i] = packets.WithLabelValues(direction)
		m.packets.bytes[i] = bytes.WithLabelValues("packets", direction)
		m.streamBytes.bytes[i] = bytes.WithLabelValues("streams", direction)
	}
	return m
}
