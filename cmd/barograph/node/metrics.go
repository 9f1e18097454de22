package node

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of the node itself; each package keeps its own beside its code.
type metrics struct {
	ready prometheus.Gauge

	reloadSuccessful prometheus.Gauge
	reloadTime       prometheus.Gauge

	connections        prometheus.Gauge
	connectionsMax     prometheus.Gauge
	connectionsOpened  prometheus.Counter
	connectionsRefused prometheus.Counter

	selfScrapes        prometheus.Counter
	selfScrapeFailures prometheus.Counter

	givenUp prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "barograph_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "barograph_" + name, Help: help})
	}
	return &metrics{
		ready: gauge("node_ready", "1 while the node answers writes and queries."),

		reloadSuccessful: gauge("config_last_reload_successful", "1 if the last attempt to load the configuration succeeded."),
		reloadTime:       gauge("config_last_reload_success_timestamp_seconds", "Time of the last configuration that was loaded."),

		connections:        gauge("http_connections", "Open HTTP connections."),
		connectionsMax:     gauge("http_connections_limit", "Most HTTP connections that may be open."),
		connectionsOpened:  counter("http_connections_opened_total", "HTTP connections accepted."),
		connectionsRefused: counter("http_connections_refused_total", "HTTP connections closed at once because the limit was reached."),

		selfScrapes: counter("node_self_scrapes_total", "Times the node stored its own metrics."),
		givenUp:     gauge("node_given_up_shards", "Shards that are on disk, that the node is not to hold any more, and that it has yet to drop."),

		selfScrapeFailures: counter("node_self_scrape_failures_total", "Times the node could not store its own metrics."),
	}
}

// registerProcess adds what the Go runtime and the operating system tell about the process.
func registerProcess(reg prometheus.Registerer) {
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.NewCollector("barograph"),
	)
}
