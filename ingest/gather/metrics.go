package gather

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	frames, batches, waits prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "barograph_gather_" + name, Help: help})
	}
	return &metrics{
		frames:  counter("frames_total", "Frames that went to the storage in batches."),
		batches: counter("batches_total", "Batches of frames that went to the storage."),
		waits:   counter("waits_total", "Times that a frame had to wait because the next batch was full."),
	}
}
