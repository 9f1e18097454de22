package wal

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	bytes       prometheus.Counter
	records     prometheus.Counter
	syncs       prometheus.Histogram
	segments    prometheus.Gauge
	size        prometheus.Gauge
	buffered    prometheus.Gauge
	waiting     prometheus.Gauge
	blocked     prometheus.Counter
	truncated   prometheus.Counter
	corruptions prometheus.Counter
	lost        prometheus.Counter
	full        prometheus.Gauge
	failed      prometheus.Gauge
	checkpoints prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "barograph_wal_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "barograph_wal_" + name, Help: help})
	}
	seconds := func(name, help string, min, max float64, n int) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "barograph_wal_" + name, Help: help,
			Buckets: prometheus.ExponentialBucketsRange(min, max, n),
		})
	}
	m := &metrics{
		bytes:       counter("appended_bytes_total", "Bytes written to segments, with headers."),
		records:     counter("appended_records_total", "Records written to segments."),
		syncs:       seconds("fsync_seconds", "Time that a sync of a segment took.", 50e-6, 10, 12),
		segments:    gauge("segments", "Segments that a replay would read."),
		size:        gauge("size_bytes", "Bytes of these segments."),
		buffered:    gauge("buffered_bytes", "Bytes of records that wait for the disk."),
		waiting:     gauge("waiting", "Calls that wait for a record to be durable."),
		blocked:     counter("blocked_appends_total", "Appends that found the buffer full and had to wait."),
		truncated:   counter("truncated_bytes_total", "Bytes cut from the torn tail of the log at start."),
		corruptions: counter("corruptions_total", "Runs of unreadable bytes in segments and checkpoints, and files missing."),
		lost:        counter("corrupted_bytes_total", "Bytes in these runs."),
		full:        gauge("full", "1 while the disk takes no more records."),
		failed:      gauge("failed", "1 after a failed sync or write, until a restart."),
		checkpoints: seconds("checkpoint_seconds", "Time that a checkpoint took.", 1e-3, 100, 11),
	}
	if reg != nil {
		reg.MustRegister(m.bytes, m.records, m.syncs, m.segments, m.size, m.buffered, m.waiting, m.blocked,
			m.truncated, m.corruptions, m.lost, m.full, m.failed, m.checkpoints)
	}
	return m
}
