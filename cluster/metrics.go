package cluster

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// collector tells the state of the region, found anew at each scrape.
type collector struct {
	cluster *Cluster
	gauges  []gauge
}

type gauge struct {
	desc  *prometheus.Desc
	value func(*Status) int
}

func newCollector(c *Cluster) *collector {
	one := func(name, help string, value func(*Status) int) gauge {
		return gauge{prometheus.NewDesc("barograph_cluster_"+name, help, nil, nil), value}
	}
	return &collector{cluster: c, gauges: []gauge{
		one("epoch", "Epoch of the placement in force; 0 is none.", func(s *Status) int { return int(s.Epoch) }),
		one("moving_shards", "Shards with a replica that is on its way to a node.", func(s *Status) int { return s.Moving }),
		one("waiting_shards", "Shards of which a replica is to move and does not yet.", func(s *Status) int { return s.Waiting }),
		one("thin_shards", "Shards with fewer living replicas than they are to have.", func(s *Status) int { return s.Thin }),
		one("unwritable_shards", "Shards of which too few replicas live to write to them.", func(s *Status) int { return s.Unwritable }),
		one("unreadable_shards", "Shards of which no replica lives.", func(s *Status) int { return s.Unreadable }),
	}}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, g := range c.gauges {
		out <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	var s Status
	if p := c.cluster.Placement(); p != nil {
		s.count(p, c.cluster.Alive)
	}
	for _, g := range c.gauges {
		out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(g.value(&s)))
	}
}

func newCatchUps(reg prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_cluster_catch_ups_total",
		Help: "Placements that this node had to know at once since another one goes by them, by whether it learnt them in time (done, failed).",
	}, []string{"result"})
}
