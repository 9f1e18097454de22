package cache

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Outcome is what became of a range query.
type Outcome string

// The outcomes.
const (
	Hit         Outcome = "hit"         // All steps were there.
	Partial     Outcome = "partial"     // Some were.
	Miss        Outcome = "miss"        // None was, and those computed are kept.
	Unknown     Outcome = "unknown"     // A node did not say in time what was changed.
	Uncacheable Outcome = "uncacheable" // It is not of a kind that is kept, or must not be.
)

type metrics struct {
	requests    *prometheus.CounterVec
	steps       *prometheus.CounterVec
	invalidated prometheus.Counter
	evictions   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, c *Cache) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_result_cache_bytes",
		Help: "Bytes that cached results of range queries hold, of query.cache_bytes.",
	}, func() float64 { _, bytes := c.size(); return float64(bytes) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barograph_result_cache_entries",
		Help: "Range queries of which results are cached.",
	}, func() float64 { entries, _ := c.size(); return float64(entries) })
	return &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_result_cache_requests_total",
			Help: "Range queries by what was cached of them: hit (all), partial, miss (none), unknown (a node did not say in time what was changed) or uncacheable.",
		}, []string{"result"}),
		steps: f.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_result_cache_steps_total",
			Help: "Steps of range queries by where they came from: cached or computed.",
		}, []string{"source"}),
		invalidated: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_result_cache_invalidated_steps_total",
			Help: "Cached steps that were dropped since samples that they see have changed, the newest steps of each refresh among them.",
		}),
		evictions: f.NewCounter(prometheus.CounterOpts{
			Name: "barograph_result_cache_evictions_total",
			Help: "Cached results that were dropped for lack of room.",
		}),
	}
}

// Count counts a query.
func (c *Cache) Count(o Outcome) { c.metrics.requests.WithLabelValues(string(o)).Inc() }

// CountSteps counts the steps of a query, and how many of those cached were dropped for it.
func (c *Cache) CountSteps(cached, computed, invalidated int64) {
	c.metrics.steps.WithLabelValues("cached").Add(float64(cached))
	c.metrics.steps.WithLabelValues("computed").Add(float64(computed))
	c.metrics.invalidated.Add(float64(invalidated))
}
