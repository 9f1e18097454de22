package block

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	cacheBytes    prometheus.Gauge
	cacheHits     prometheus.Counter
	cacheMisses   prometheus.Counter
	cacheEvicted  prometheus.Counter
	selects       prometheus.Counter
	selectedRows  prometheus.Counter
	selectedBytes prometheus.Counter
	corruptions   prometheus.Counter

	all []prometheus.Collector
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "barograph_block_" + name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	m.cacheBytes = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "barograph_block_index_cache_bytes",
		Help: "Bytes of decoded index rows of parts that are held in memory.",
	})
	m.all = append(m.all, m.cacheBytes)
	m.cacheHits = counter("index_cache_hits_total", "Look-ups of decoded index rows that were in memory.")
	m.cacheMisses = counter("index_cache_misses_total", "Look-ups of decoded index rows that had to be read.")
	m.cacheEvicted = counter("index_cache_evicted_total", "Decoded index rows given up for lack of room.")
	m.selects = counter("selects_total", "Selections from a part.")
	m.selectedRows = counter("selected_rows_total", "Chunk rows read by selections.")
	m.selectedBytes = counter("selected_chunk_bytes_total", "Bytes of encoded samples returned by selections.")
	m.corruptions = counter("corruptions_total", "Reads of a part that found bytes which cannot be what was written.")
	if reg != nil {
		reg.MustRegister(m.all...)
	}
	return m
}

func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all {
		reg.Unregister(c)
	}
}
