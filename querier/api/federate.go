package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"google.golang.org/protobuf/proto"

	"github.com/barograph-db/barograph/querier"
)

// federate answers with the last sample of each selected series in an exposition format, for
// another Prometheus to scrape. Its errors are plain text.
func (a *API) federate(w http.ResponseWriter, r *http.Request) {
	if err := a.federateTo(w, r); err != nil {
		plainError(w, err)
	}
}

func (a *API) federateTo(w http.ResponseWriter, r *http.Request) error {
	req, err := newRequest(w, r, a.opts.MaxFormBytes)
	if err != nil {
		return err
	}
	sets, err := a.selectors(req)
	if err != nil {
		return err
	}
	last, closer, err := a.lastSamples(r.Context(), sets)
	if err != nil {
		return err
	}
	defer closer()
	if err := querier.AccountOf(r.Context()).Take(familyBytes(last), "the largest metric to federate"); err != nil {
		return err
	}
	format := expfmt.NegotiateAccept(r.Header, expfmt.NewFormat(expfmt.TypeProtoDelim), expfmt.NewFormat(expfmt.TypeProtoText),
		expfmt.NewFormat(expfmt.TypeProtoCompact), expfmt.NewFormat(expfmt.TypeTextPlain))
	b := newBody(w, r, http.StatusOK, string(format))
	f := federation{
		enc:      expfmt.NewEncoder(b, format),
		protobuf: format.FormatType() != expfmt.TypeTextPlain,
		external: federatedLabels(a.opts.ExternalLabels()),
	}
	if err := f.write(last); err != nil {
		return a.cutOff(b, err)
	}
	if b.close() != nil {
		a.metrics.dropped.Inc()
	}
	return nil
}

// cutOff ends an answer that could not be completed: with err while nothing was sent, else by
// cutting the connection, so that what was sent does not look complete.
func (a *API) cutOff(b *body, err error) error {
	sent := b.sent
	b.discard()
	if sent {
		a.opts.Logger.Error("federation was cut off", "err", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// familyBytes is what the messages of the largest family take.
func familyBytes(samples promql.Vector) int64 {
	const metricBytes, labelBytes = 256, 128
	var most, size int64
	name := ""
	for i := range samples {
		m := &samples[i].Metric
		if n := m.Get(model.MetricNameLabel); n != name {
			name, size = n, 0
		}
		size += metricBytes + labelBytes*int64(m.Len())
		most = max(most, size)
	}
	return most
}

// lastSamples returns for each series its last sample, sorted by name and labels. A series whose
// last sample is a stale marker is left out, since no format can tell of it. The samples are valid
// until closer is called.
func (a *API) lastSamples(ctx context.Context, sets [][]*labels.Matcher) (last promql.Vector, closer func(), err error) {
	ctx, done, err := a.opts.Engine.Turn(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	maxt := time.Now().UnixMilli()
	mint := maxt - a.opts.LookbackDelta.Milliseconds()
	q, err := a.opts.Engine.Queryable().Querier(mint, maxt)
	if err != nil {
		return nil, nil, err
	}
	closer = func() { _ = q.Close() }
	defer func() {
		if err != nil {
			closer()
		}
	}()
	set := selectUnion(ctx, q, &promstorage.SelectHints{Start: mint, End: maxt}, sets)
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		sample, err := lastSample(it)
		if err != nil {
			return nil, nil, err
		}
		if sample.T != noSample {
			sample.Metric = s.Labels()
			last = append(last, sample)
		}
	}
	slices.SortFunc(last, func(x, y promql.Sample) int {
		return cmp.Or(cmp.Compare(x.Metric.Get(model.MetricNameLabel), y.Metric.Get(model.MetricNameLabel)), labels.Compare(x.Metric, y.Metric))
	})
	return last, closer, set.Err()
}

// noSample is the time of a sample that is none.
const noSample = -1 << 63

func lastSample(it chunkenc.Iterator) (promql.Sample, error) {
	s := promql.Sample{T: noSample}
	var h *histogram.FloatHistogram // reused from sample to sample
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		if typ == chunkenc.ValFloat {
			s.H = nil
			s.T, s.F = it.At()
			continue
		}
		s.T, h = it.AtFloatHistogram(h)
		s.H = h
	}
	if s.H == nil && value.IsStaleNaN(s.F) || s.H != nil && value.IsStaleNaN(s.H.Sum) {
		s.T = noSample
	}
	return s, it.Err()
}

// federatedLabels are what is added to series that have no such label. Without an instance of
// ours an empty one keeps the scraper from putting its own there.
func federatedLabels(external labels.Labels) []labels.Label {
	b := labels.NewBuilder(external)
	var added []labels.Label
	if !external.Has(model.InstanceLabel) {
		added = append(added, labels.Label{Name: model.InstanceLabel})
	}
	b.Range(func(l labels.Label) { added = append(added, l) })
	slices.SortFunc(added, func(x, y labels.Label) int { return cmp.Compare(x.Name, y.Name) })
	return added
}

// federation writes samples as metric families.
type federation struct {
	enc      expfmt.Encoder
	protobuf bool // the format has native histograms
	external []labels.Label

	family *dto.MetricFamily // being filled; nil before the first
}

// write writes samples that are sorted by name.
func (f *federation) write(samples promql.Vector) error {
	for i := range samples {
		s := &samples[i]
		name := s.Metric.Get(model.MetricNameLabel)
		if name == "" || s.H != nil && !f.protobuf && !s.H.UsesCustomBuckets() {
			continue // Neither has a form in which it could be sent.
		}
		if err := f.open(name, familyType(s)); err != nil {
			return err
		}
		f.family.Metric = append(f.family.Metric, f.metric(s))
	}
	return f.flush()
}

// familyType tells histograms from floats; of what kind a float is, is not known.
func familyType(s *promql.Sample) dto.MetricType {
	switch {
	case s.H == nil:
		return dto.MetricType_UNTYPED
	case s.H.CounterResetHint == histogram.GaugeType:
		return dto.MetricType_GAUGE_HISTOGRAM
	}
	return dto.MetricType_HISTOGRAM
}

// open begins a family unless the one that is open fits. A name with samples of several types
// becomes several families, which Prometheus reads well.
func (f *federation) open(name string, typ dto.MetricType) error {
	if f.family != nil && f.family.GetName() == name && f.family.GetType() == typ {
		return nil
	}
	if err := f.flush(); err != nil {
		return err
	}
	f.family = &dto.MetricFamily{Name: proto.String(name), Type: typ.Enum()}
	return nil
}

func (f *federation) flush() error {
	if f.family == nil {
		return nil
	}
	return f.enc.Encode(f.family)
}

func (f *federation) metric(s *promql.Sample) *dto.Metric {
	m := &dto.Metric{TimestampMs: proto.Int64(s.T)}
	add := func(l labels.Label) {
		m.Label = append(m.Label, &dto.LabelPair{Name: proto.String(l.Name), Value: proto.String(l.Value)})
	}
	s.Metric.Range(func(l labels.Label) {
		if l.Name != model.MetricNameLabel {
			add(l)
		}
	})
	for _, l := range f.external {
		if !s.Metric.Has(l.Name) {
			add(l)
		}
	}
	switch {
	case s.H == nil:
		m.Untyped = &dto.Untyped{Value: proto.Float64(s.F)}
	case s.H.UsesCustomBuckets():
		m.Histogram = classicHistogram(s.H)
	default:
		m.Histogram = nativeHistogram(s.H)
	}
	return m
}
