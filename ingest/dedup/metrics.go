package dedup

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	elections *prometheus.CounterVec
	left      *prometheus.CounterVec
	failed    prometheus.Counter
	without   prometheus.Counter
	recycled  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, e *Elections) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_dedup_pairs",
		Help: "HA pairs that are known.",
	}, func() float64 { return float64(e.table.len()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_dedup_origins",
		Help: "Replicas of HA pairs that this node remembers.",
	}, func() float64 { return float64(e.origins.len()) })
	return &metrics{
		elections: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_dedup_elections_total",
			Help: "Elections of HA pairs that this node saw change, by cluster for the first 100 and nothing for the others.",
		}, []string{"cluster"}),
		left: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_dedup_left_out_samples_total",
			Help: "Samples and histograms left out, by cluster for the first 100 and nothing for the others.",
		}, []string{"cluster"}),
		failed: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_dedup_failed_proposals_total",
			Help: "Proposals of an election, or of what was heard, that no quorum agreed to in time.",
		}),
		without: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_dedup_unconfirmed_total",
			Help: "Batches of elected replicas that were taken after a silence without a quorum to confirm the election.",
		}),
		recycled: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_dedup_forgotten_origins_total",
			Help: "Replicas of HA pairs forgotten to make room for others; the labels of their series are read anew.",
		}),
	}
}
