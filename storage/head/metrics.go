package head

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// tally is what one batch counts; adding it to the metrics once keeps them off the hot path.
type tally struct {
	floats, histograms, late, duplicates, conflicts int64

	closed   int64 // chunks
	rejected [frame.BadSample + 1]int64

	exemplars, exemplarDuplicates int64
}

func (t *tally) count(s series.Sample) {
	if s.Kind() == series.Float {
		t.floats++
	} else {
		t.histograms++
	}
}

type metrics struct {
	created, removed              prometheus.Counter
	floats, histograms            prometheus.Counter
	late, duplicates, conflicts   prometheus.Counter
	rejected                      [frame.BadSample + 1]prometheus.Counter
	exemplars, exemplarDuplicates prometheus.Counter
	exemplarsEvicted              prometheus.Counter
	metadataEvicted               prometheus.Counter

	closed atomic.Int64 // chunks in memory
}

func newMetrics(reg prometheus.Registerer, h *Head) *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "barograph_head_" + name, Help: help})
		if reg != nil {
			reg.MustRegister(c)
		}
		return c
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "barograph_head_" + name, Help: help}, []string{label})
		if reg != nil {
			reg.MustRegister(v)
		}
		return v
	}
	gauge := func(name, help string, f func() float64) {
		if reg != nil {
			reg.MustRegister(prometheus.NewGaugeFunc(
				prometheus.GaugeOpts{Name: "barograph_head_" + name, Help: help}, f))
		}
	}

	gauge("series", "Series in the head.", func() float64 { return float64(h.Active()) })
	gauge("chunks", "Closed chunks in the head.", func() float64 { return float64(m.closed.Load()) })
	gauge("max_time_seconds", "Newest timestamp ever appended; 0 before the first.", func() float64 {
		t, _ := h.MaxTime()
		return max(float64(t)/1000, 0)
	})
	m.created = counter("series_created_total", "Series created, also by replay.")
	m.removed = counter("series_removed_total", "Series forgotten because they had no samples left.")
	samples := vector("samples_appended_total", "Samples taken, also by replay.", "kind")
	m.floats, m.histograms = samples.WithLabelValues("float"), samples.WithLabelValues("histogram")
	m.late = counter("samples_out_of_order_total", "Samples taken that were not later than their series' last one.")
	m.duplicates = counter("samples_duplicate_total", "Samples dropped because the head had the same.")
	m.conflicts = counter("samples_conflicting_total",
		"Samples with a timestamp that has another value, of which one was chosen.")
	rejected := vector("samples_rejected_total", "Samples and exemplars not taken.", "reason")
	for reason, name := range map[frame.Reason]string{
		frame.UnknownRef: "unknown_ref", frame.TooOld: "too_old", frame.TooNew: "too_new", frame.BadSample: "bad_sample",
	} {
		m.rejected[reason] = rejected.WithLabelValues(name)
	}
	m.exemplars = counter("exemplars_appended_total", "Exemplars taken, also by replay.")
	m.exemplarDuplicates = counter("exemplars_duplicate_total", "Exemplars dropped because the head had the same.")
	m.exemplarsEvicted = counter("exemplars_evicted_total", "Exemplars that left because there was no room.")
	m.metadataEvicted = counter("metadata_evicted_total", "Metadata entries that left because there was no room.")
	return m
}

func (m *metrics) add(t *tally) {
	for _, c := range []struct {
		to prometheus.Counter
		n  int64
	}{
		{m.floats, t.floats},
		{m.histograms, t.histograms},
		{m.late, t.late},
		{m.duplicates, t.duplicates},
		{m.conflicts, t.conflicts},
		{m.exemplars, t.exemplars},
		{m.exemplarDuplicates, t.exemplarDuplicates},
	} {
		if c.n > 0 {
			c.to.Add(float64(c.n))
		}
	}
	for reason, n := range t.rejected {
		if n > 0 {
			m.rejected[reason].Add(float64(n))
		}
	}
	m.closed.Add(t.closed)
}
