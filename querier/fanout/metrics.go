package fanout

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	hedges  *prometheus.CounterVec
	instead prometheus.Counter
	missing prometheus.Counter
	replans *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		replans: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_fanout_replans_total",
			Help: "Queries that were planned anew since a node knows a newer placement (done), those for which that could not be learnt (failed), and those that had been planned anew too often (refused).",
		}, []string{"result"}),
		hedges: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_fanout_hedges_total",
			Help: "Parts of queries for which other nodes were asked since one was slow (sent), those in which they were first (won), and those in which too many had been asked already (refused).",
		}, []string{"result"}),
		instead: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_fanout_replaced_parts_total",
			Help: "Parts of queries for which other nodes were asked since one had failed.",
		}),
		missing: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_fanout_missing_parts_total",
			Help: "Parts of queries that no node could answer.",
		}),
	}
}
