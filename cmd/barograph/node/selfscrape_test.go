package node

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/series"
)

// recorder is an appender that prints what it is given.
type recorder struct {
	samples map[string]string
	err     error
	refuse  int
}

func (r *recorder) Append(_ context.Context, b *ingest.Batch) (ingest.Result, error) {
	if r.err != nil {
		return ingest.Result{}, r.err
	}
	r.samples = map[string]string{}
	builder := labels.NewScratchBuilder(8)
	for i, run := range b.Runs {
		pairs, err := b.Source.AppendPairs(nil, i)
		if err != nil {
			return ingest.Result{}, err
		}
		set, err := series.FromPairs(nil, pairs)
		if err != nil {
			return ingest.Result{}, err
		}
		v := fmt.Sprint(b.Values[run.Floats.From])
		if value.IsStaleNaN(b.Values[run.Floats.From]) {
			v = "stale"
		}
		r.samples[set.Labels(&builder).String()] = fmt.Sprint(v, "@", b.Times[run.Floats.From])
	}
	return ingest.Result{Written: ingest.Counts{Samples: len(b.Times) - r.refuse}}, nil
}

func (r *recorder) lines() []string {
	var out []string
	for k, v := range r.samples {
		out = append(out, k+" "+v)
	}
	sort.Strings(out)
	return out
}

func TestSelfScrape(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: []float64{0.5, 2}})
	s := prometheus.NewSummary(prometheus.SummaryOpts{Name: "s", Objectives: map[float64]float64{0.5: 0.1, 1: 0}})
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "g", Help: "A gauge."}, []string{"job"})
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "c_total"})
	reg.MustRegister(h, s, g, c)
	h.Observe(1)
	s.Observe(3)
	g.WithLabelValues("x").Set(7)
	c.Add(2)

	rec := &recorder{}
	scraper := newSelfScraper(reg, rec, "n:1")
	require.NoError(t, scraper.scrape(context.Background(), time.UnixMilli(1000)))
	delete(rec.samples, `{__name__="scrape_duration_seconds", instance="n:1", job="barograph"}`)
	require.Equal(t, []string{
		`{__name__="c_total", instance="n:1", job="barograph"} 2@1000`,
		`{__name__="g", exported_job="x", instance="n:1", job="barograph"} 7@1000`,
		`{__name__="h_bucket", instance="n:1", job="barograph", le="+Inf"} 1@1000`,
		`{__name__="h_bucket", instance="n:1", job="barograph", le="0.5"} 0@1000`,
		`{__name__="h_bucket", instance="n:1", job="barograph", le="2.0"} 1@1000`,
		`{__name__="h_count", instance="n:1", job="barograph"} 1@1000`,
		`{__name__="h_sum", instance="n:1", job="barograph"} 1@1000`,
		`{__name__="s", instance="n:1", job="barograph", quantile="0.5"} 3@1000`,
		`{__name__="s", instance="n:1", job="barograph", quantile="1.0"} 3@1000`,
		`{__name__="s_count", instance="n:1", job="barograph"} 1@1000`,
		`{__name__="s_sum", instance="n:1", job="barograph"} 3@1000`,
		`{__name__="scrape_samples_post_metric_relabeling", instance="n:1", job="barograph"} 11@1000`,
		`{__name__="scrape_samples_scraped", instance="n:1", job="barograph"} 11@1000`,
		`{__name__="scrape_series_added", instance="n:1", job="barograph"} 11@1000`,
		`{__name__="up", instance="n:1", job="barograph"} 1@1000`,
	}, rec.lines())

	g.Reset()
	require.NoError(t, scraper.scrape(context.Background(), time.UnixMilli(2000)))
	require.Equal(t, "stale@2000", rec.samples[`{__name__="g", exported_job="x", instance="n:1", job="barograph"}`])
	require.Equal(t, "0@2000", rec.samples[`{__name__="scrape_series_added", instance="n:1", job="barograph"}`])
	require.NoError(t, scraper.scrape(context.Background(), time.UnixMilli(3000)))
	require.NotContains(t, rec.samples, `{__name__="g", exported_job="x", instance="n:1", job="barograph"}`, "one marker is enough")
}

func TestSelfScrapeErrors(t *testing.T) {
	reg := prometheus.NewRegistry()
	rec := &recorder{err: errors.New("full")}
	scraper := newSelfScraper(reg, rec, "n:1")
	require.ErrorContains(t, scraper.scrape(context.Background(), time.UnixMilli(1)), "store own metrics: full")

	rec.err = nil
	bad := prometheus.CollectorFunc(func(ch chan<- prometheus.Metric) {
		ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("bad", "", nil, nil), errors.New("broken"))
	})
	reg.MustRegister(bad)
	require.ErrorContains(t, scraper.scrape(context.Background(), time.UnixMilli(2)), "gather own metrics")
	require.Equal(t, "0@2", rec.samples[`{__name__="up", instance="n:1", job="barograph"}`])

	reg.Unregister(bad)
	rec.refuse = 3
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"}))
	require.ErrorContains(t, scraper.scrape(context.Background(), time.UnixMilli(3)), "3 samples were refused")
}
