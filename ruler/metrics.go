package ruler

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// groupLabel is the label that names a group, as Prometheus does.
const groupLabel = "rule_group"

type metrics struct {
	evaluations  *prometheus.CounterVec
	failures     *prometheus.CounterVec
	iterations   *prometheus.CounterVec
	missed       *prometheus.CounterVec
	interval     *prometheus.GaugeVec
	lastAt       *prometheus.GaugeVec
	lastDuration *prometheus.GaugeVec
	lastSamples  *prometheus.GaugeVec
	rules        *prometheus.GaugeVec
	duration     prometheus.Histogram
	lateness     prometheus.Histogram

	retries     prometheus.Counter
	proposals   *prometheus.CounterVec
	batch       prometheus.Histogram
	assignments prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{groupLabel})
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{groupLabel})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return f.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	return &metrics{
		evaluations: counter("barograph_rule_evaluations_total", "Evaluations of rules by this node."),
		failures:    counter("barograph_rule_evaluation_failures_total", "Evaluations of rules by this node that failed for good."),
		iterations:  counter("barograph_rule_group_iterations_total", "Timestamps at which the group was evaluated by this node."),
		missed: counter("barograph_rule_group_iterations_missed_total",
			"Timestamps that were passed over: the group is slower than its interval, or nobody could evaluate it for longer than is made up for."),
		interval:     gauge("barograph_rule_group_interval_seconds", "The interval of a group that this node evaluates."),
		lastAt:       gauge("barograph_rule_group_last_evaluation_timestamp_seconds", "The timestamp of the group's last evaluation by this node."),
		lastDuration: gauge("barograph_rule_group_last_duration_seconds", "How long the group's last evaluation took."),
		lastSamples:  gauge("barograph_rule_group_last_evaluation_samples", "Samples that the group's last evaluation came to."),
		rules:        gauge("barograph_rule_group_rules", "Rules of a group that this node evaluates."),
		duration: histogram("barograph_rule_evaluation_duration_seconds", "How long the evaluation of a rule takes.",
			prometheus.ExponentialBuckets(0.001, 4, 9)),
		lateness: histogram("barograph_rule_group_lateness_seconds", "How long after its timestamp the evaluation of a group begins.",
			prometheus.ExponentialBuckets(0.01, 4, 9)),
		retries: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_rule_evaluation_retries_total",
			Help: "Evaluations of rules tried again after an error that may pass, as when shards could not be reached.",
		}),
		proposals: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_rule_proposals_total",
			Help: "Batches of evaluations proposed to the other nodes, by outcome: agreed, or failed and proposed again.",
		}, []string{"outcome"}),
		batch: histogram("barograph_rule_proposal_evaluations", "Evaluations of groups in a proposal.", prometheus.ExponentialBuckets(1, 4, 6)),
		assignments: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_rule_assignments_total",
			Help: "Times that this node, leading, gave groups to other nodes.",
		}),
	}
}

// forget ends the series of a group.
func (m *metrics) forget(group string) {
	for _, c := range []*prometheus.CounterVec{m.evaluations, m.failures, m.iterations, m.missed} {
		c.DeleteLabelValues(group)
	}
	for _, g := range []*prometheus.GaugeVec{m.interval, m.lastAt, m.lastDuration, m.lastSamples, m.rules} {
		g.DeleteLabelValues(group)
	}
}
