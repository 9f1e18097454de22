package consensus

import (
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	proposals     *prometheus.CounterVec
	snapshots     prometheus.Counter
	snapshotBytes prometheus.Gauge
	changes       prometheus.Counter
	waiting       prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		proposals: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_consensus_proposals_total",
			Help: "Proposals made here or forwarded to this node, by how they ended.",
		}, []string{"outcome"}),
		snapshots: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_consensus_snapshots_total",
			Help: "Snapshots made here or received.",
		}),
		snapshotBytes: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_consensus_snapshot_bytes",
			Help: "Size of the last snapshot.",
		}),
		waiting: f.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_consensus_waiting",
			Help: "1 while the log of consensus waits since the disk is full to the brim.",
		}),
		changes: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_consensus_server_changes_total",
			Help: "Changes to the servers made by this node as the leader.",
		}),
	}
}

// observe adds the figures that are read from g when they are asked for.
func observe(reg prometheus.Registerer, g *Group) {
	f := promauto.With(reg)
	gauge := func(name, help string, labels prometheus.Labels, read func() float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: "barograph_consensus_" + name, Help: help, ConstLabels: labels}, read)
	}
	gauge("leading", "1 while this node is the leader.", nil, func() float64 {
		if g.Leading() {
			return 1
		}
		return 0
	})
	gauge("term", "Raft's term.", nil, g.figure((*raft.Raft).CurrentTerm))
	gauge("last_index", "The newest entry in this node's log.", nil, g.figure((*raft.Raft).LastIndex))
	gauge("applied_index", "The newest entry this node has applied.", nil, g.figure((*raft.Raft).AppliedIndex))
	gauge("proposals", "Proposals under way.", nil, func() float64 { return float64(len(g.places)) })
	for _, kind := range []string{"voter", "nonvoter"} {
		gauge("servers", "Servers that this node knows of.", prometheus.Labels{"kind": kind}, func() float64 {
			n := 0
			for _, s := range g.Servers() {
				if s.Voter == (kind == "voter") {
					n++
				}
			}
			return float64(n)
		})
	}
}
