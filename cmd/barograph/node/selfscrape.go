package node

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/value"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// selfJob is the job label of the node's own series.
const selfJob = "barograph"

// selfScraper stores the node's own metrics, as a Prometheus beside it would scrape them: so a node
// that nothing else writes to has answers from its first second.
type selfScraper struct {
	gatherer prometheus.Gatherer
	appender ingest.Appender
	hasher   *ingest.Hasher
	instance string

	last map[string]bool // label bytes of the series of the scrape before
}

func newSelfScraper(g prometheus.Gatherer, a ingest.Appender, instance string) *selfScraper {
	return &selfScraper{gatherer: g, appender: a, hasher: ingest.NewHasher(), instance: instance}
}

// scrape gathers once and appends what it finds under the time now, with up and scrape_* beside it.
// Series that were there the time before and are gone get a stale marker.
func (s *selfScraper) scrape(ctx context.Context, now time.Time) error {
	families, err := s.gatherer.Gather()
	b := &selfBatch{hasher: s.hasher, instance: s.instance, t: now.UnixMilli(), seen: make(map[string]bool, len(s.last))}
	for _, f := range families {
		b.family(f)
	}
	gathered := len(b.batch.Times)
	added := 0
	for ls := range b.seen {
		if !s.last[ls] {
			added++
		}
	}
	up := 1.0
	if err != nil {
		up = 0
		err = fmt.Errorf("gather own metrics: %w", err)
	}
	b.add("up", nil, up)
	b.add("scrape_duration_seconds", nil, time.Since(now).Seconds())
	b.add("scrape_samples_scraped", nil, float64(gathered))
	b.add("scrape_samples_post_metric_relabeling", nil, float64(gathered))
	b.add("scrape_series_added", nil, float64(added))
	for ls := range s.last {
		if !b.seen[ls] {
			b.run(series.Labels(ls), math.Float64frombits(value.StaleNaN))
		}
	}
	b.batch.Source = b
	result, appendErr := s.appender.Append(ctx, &b.batch)
	if appendErr != nil {
		return fmt.Errorf("store own metrics: %w", appendErr)
	}
	s.last = b.seen
	if n := len(b.batch.Times) - result.Written.Samples; err == nil && n > 0 {
		err = fmt.Errorf("store own metrics: %d samples were refused", n)
	}
	return err
}

// selfBatch turns metric families into a batch.
type selfBatch struct {
	hasher   *ingest.Hasher
	instance string
	t        int64

	batch ingest.Batch
	sets  []series.Labels // by run
	seen  map[string]bool
	pairs []series.Pair
}

// AppendPairs implements ingest.Labeler.
func (b *selfBatch) AppendPairs(dst []series.Pair, run int) ([]series.Pair, error) {
	for name, value := range b.sets[run].All() {
		dst = append(dst, series.Pair{Name: name, Value: value})
	}
	return dst, nil
}

// family adds every series of a family; histograms and summaries in their classic form.
func (b *selfBatch) family(f *dto.MetricFamily) {
	name := f.GetName()
	b.batch.Metadata = append(b.batch.Metadata, frame.Metadata{
		Metric: name, Type: metadataType(f.GetType()), Help: f.GetHelp(), Unit: f.GetUnit(),
	})
	for _, m := range f.GetMetric() {
		ls := m.GetLabel()
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			b.add(name, ls, m.GetCounter().GetValue())
		case dto.MetricType_GAUGE:
			b.add(name, ls, m.GetGauge().GetValue())
		case dto.MetricType_SUMMARY:
			s := m.GetSummary()
			for _, q := range s.GetQuantile() {
				b.add(name, ls, q.GetValue(), "quantile", bound(q.GetQuantile()))
			}
			b.add(name+"_sum", ls, s.GetSampleSum())
			b.add(name+"_count", ls, float64(s.GetSampleCount()))
		case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
			h := m.GetHistogram()
			for _, c := range h.GetBucket() {
				if !math.IsInf(c.GetUpperBound(), 1) {
					b.add(name+"_bucket", ls, float64(c.GetCumulativeCount()), "le", bound(c.GetUpperBound()))
				}
			}
			b.add(name+"_bucket", ls, float64(h.GetSampleCount()), "le", "+Inf")
			b.add(name+"_sum", ls, h.GetSampleSum())
			b.add(name+"_count", ls, float64(h.GetSampleCount()))
		default:
			b.add(name, ls, m.GetUntyped().GetValue())
		}
	}
}

// bound prints a bucket's or quantile's bound as Prometheus stores it: 1.0 and not 1.
func bound(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if v == math.Trunc(v) && !slices.ContainsFunc([]byte(s), func(c byte) bool { return c == '.' || c == 'e' || c == 'I' || c == 'N' }) {
		s += ".0"
	}
	return s
}

func metadataType(t dto.MetricType) string {
	switch t {
	case dto.MetricType_COUNTER:
		return "counter"
	case dto.MetricType_GAUGE:
		return "gauge"
	case dto.MetricType_SUMMARY:
		return "summary"
	case dto.MetricType_HISTOGRAM:
		return "histogram"
	case dto.MetricType_GAUGE_HISTOGRAM:
		return "gaugehistogram"
	}
	return "unknown"
}

// add adds one sample; extra is a further label's name and value. Labels of the metric that clash
// with the target's are renamed as a scrape does.
func (b *selfBatch) add(name string, ls []*dto.LabelPair, v float64, extra ...string) {
	pair := func(name, value string) {
		b.pairs = append(b.pairs, series.Pair{Name: []byte(name), Value: []byte(value)})
	}
	b.pairs = b.pairs[:0]
	pair(model.MetricNameLabel, name)
	pair("job", selfJob)
	pair("instance", b.instance)
	for _, l := range ls {
		if n := l.GetName(); n == "job" || n == "instance" {
			pair("exported_"+n, l.GetValue())
		} else {
			pair(n, l.GetValue())
		}
	}
	if len(extra) == 2 {
		pair(extra[0], extra[1])
	}
	set, err := series.FromPairs(nil, b.pairs)
	if err != nil {
		return // A label given twice: the registry lets none through.
	}
	b.seen[string(set)] = true
	b.run(set, v)
}

func (b *selfBatch) run(set series.Labels, v float64) {
	i := uint32(len(b.batch.Times))
	b.batch.Times = append(b.batch.Times, b.t)
	b.batch.Values = append(b.batch.Values, v)
	b.batch.Runs = append(b.batch.Runs, ingest.Run{Key: b.hasher.Sum(set), Floats: ingest.Span{From: i, To: i + 1}})
	b.sets = append(b.sets, set)
}
