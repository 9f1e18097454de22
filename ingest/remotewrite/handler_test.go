package remotewrite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/intake"
	"github.com/barograph-db/barograph/ingest/limit"
	"github.com/barograph-db/barograph/storage/frame"
)

// node is the write path over a store in maps.
type node struct {
	*store
	limits  *limit.Limiter
	handler *Handler
	reg     *prometheus.Registry
}

func newNode(t testing.TB, o limit.Options) *node {
	t.Helper()
	n := &node{store: newStore(), reg: prometheus.NewPedanticRegistry()}
	var err error
	n.limits, err = limit.New(o, n.reg)
	require.NoError(t, err)
	w, err := ingest.NewWriter(n.store, ingest.Options{Guard: n.limits, Registerer: n.reg, Retention: 30 * 24 * time.Hour})
	require.NoError(t, err)
	n.handler = New(n.limits.Over(w), intake.New(n.limits, n.reg))
	return n
}

const (
	type1 = "application/x-protobuf"
	type2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

func (n *node) post(body []byte, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	return w
}

func now() int64 { return time.Now().UnixMilli() }

func encode1(t testing.TB, q *prompb.WriteRequest) []byte {
	b, err := q.Marshal()
	require.NoError(t, err)
	return snappy.Encode(nil, b)
}

func one1(name string, t int64, v float64) *prompb.WriteRequest {
	return &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "__name__", Value: name}},
		Samples: []prompb.Sample{{Value: v, Timestamp: t}},
	}}}
}

func encode2(t testing.TB, q *writev2.Request) []byte {
	b, err := q.Marshal()
	require.NoError(t, err)
	return snappy.Encode(nil, b)
}

func (n *node) post2(t testing.TB, q *writev2.Request) *httptest.ResponseRecorder {
	return n.post(encode2(t, q), "Content-Type", type2, "Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "2.0.0")
}

func written(w *httptest.ResponseRecorder) string {
	h := w.Header()
	return h.Get(samplesWritten) + " " + h.Get(histogramsWritten) + " " + h.Get(exemplarsWritten)
}

func TestContentTypes(t *testing.T) {
	n := newNode(t, limit.Options{})
	body1 := encode1(t, one1("up", now(), 1))
	body2 := encode2(t, &writev2.Request{Symbols: []string{"", "__name__", "up"}, Timeseries: []writev2.TimeSeries{
		{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Value: 1, Timestamp: now()}}},
	}})
	for _, c := range []struct {
		contentType string
		body        []byte
		want        int
	}{
		{"", body1, 204},
		{"application/x-protobuf", body1, 204},
		{"application/x-protobuf;proto=prometheus.WriteRequest", body1, 204},
		{`Application/X-Protobuf ; Proto="prometheus.WriteRequest"`, body1, 204},
		{type2, body2, 204},
		{"application/x-protobuf; proto=io.prometheus.write.v2.Request", body2, 204},
		{`application/x-protobuf; charset=x; proto="io.prometheus.write.v2.Request"`, body2, 204},
		{"application/x-protobuf;proto=io.prometheus.write.v3.Request", body2, 415},
		{"application/x-protobuf;proto=IO.prometheus.write.v2.Request", body2, 415},
		{"application/x-protobuf;proto", body1, 415},
		{"application/json", body1, 415},
		{"image/png", body1, 415},
		{";;", body1, 415},
		{type1, body2, 400},
		{type2, body1, 400},
	} {
		w := n.post(c.body, "Content-Type", c.contentType)
		require.Equal(t, c.want, w.Code, "%s: %s", c.contentType, w.Body)
		require.Equal(t, c.want == 204, w.Body.Len() == 0)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	require.Equal(t, 405, w.Code)
	require.Equal(t, "POST", w.Header().Get("Allow"))
}

func TestContentEncodings(t *testing.T) {
	n := newNode(t, limit.Options{})
	plain, err := one1("up", now(), 1).Marshal()
	require.NoError(t, err)
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	packed := snappy.Encode(nil, plain)
	for _, c := range []struct {
		encoding string
		body     []byte
		want     int
		reason   ingest.Reason
	}{
		{"snappy", packed, 204, 0},
		{"Snappy", packed, 204, 0},
		{"", packed, 204, 0},
		{"zstd", z.EncodeAll(plain, nil), 204, 0},
		{"gzip", packed, 415, ingest.BadContentEncoding},
		{"deflate", packed, 415, ingest.BadContentEncoding},
		{"snappy, gzip", packed, 415, ingest.BadContentEncoding},
		{"snappy", plain, 400, ingest.BadCompression},
		{"snappy", nil, 400, ingest.BadCompression},
		{"snappy", packed[:len(packed)-2], 400, ingest.BadCompression},
		{"zstd", plain, 400, ingest.BadCompression},
		{"snappy", snappy.Encode(nil, []byte("garbage")), 400, ingest.BadMessage},
	} {
		w := n.post(c.body, "Content-Encoding", c.encoding)
		require.Equal(t, c.want, w.Code, "%s: %s", c.encoding, w.Body)
		if c.reason != 0 {
			require.Contains(t, w.Body.String(), c.reason.ID())
		}
	}
}

func TestSizeLimits(t *testing.T) {
	n := newNode(t, limit.Options{BodyBytes: 1000, DecodedBytes: 5000, InFlightBytes: 1 << 20})
	w := n.post(make([]byte, 1001))
	require.Equal(t, 413, w.Code)
	require.Equal(t, "close", w.Header().Get("Connection"))
	require.Equal(t, 1.0, counter(t, n, "barograph_limit_refused_total", "limit", "body_bytes"))

	// Of unknown length.
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader(strings.Repeat("x", 5000))))
	r.ContentLength = -1
	rec := httptest.NewRecorder()
	n.handler.ServeHTTP(rec, r)
	require.Equal(t, 413, rec.Code)

	// A header that claims 4 GiB, and one that claims just more than the body can hold.
	claim := func(n uint64) []byte { return append(binary.AppendUvarint(nil, n), make([]byte, 50)...) }
	for _, size := range []uint64{1<<32 - 1, 1 << 40, 1 << 30, 2000} {
		w = n.post(claim(size))
		require.Equal(t, 400, w.Code, size)
		require.Contains(t, w.Body.String(), ingest.BadCompression.ID())
	}
	w = n.post(snappy.Encode(nil, make([]byte, 6000)))
	require.Equal(t, 413, w.Code)
	require.Contains(t, w.Body.String(), ingest.DecodedTooLarge.ID())

	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	w = n.post(z.EncodeAll(make([]byte, 1<<24), nil), "Content-Encoding", "zstd")
	require.Contains(t, []int{413, 503}, w.Code) // The window alone is more than may be in flight here.

	// All was given back.
	require.Zero(t, gauge(t, n, "barograph_limit_in_flight_bytes"))
}

func counter(t testing.TB, n *node, name, label, value string) float64 {
	t.Helper()
	all, err := n.reg.Gather()
	require.NoError(t, err)
	for _, f := range all {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == label && l.GetValue() == value {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return -1
}

func gauge(t testing.TB, n *node, name string) float64 {
	t.Helper()
	all, err := n.reg.Gather()
	require.NoError(t, err)
	for _, f := range all {
		if f.GetName() == name {
			return f.Metric[0].GetGauge().GetValue()
		}
	}
	return -1
}

func TestZstdBomb(t *testing.T) {
	n := newNode(t, limit.Options{DecodedBytes: 1 << 20})
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	w := n.post(z.EncodeAll(make([]byte, 1<<26), nil), "Content-Encoding", "zstd")
	require.Equal(t, 413, w.Code)
}

func TestInFlightLimit(t *testing.T) {
	n := newNode(t, limit.Options{InFlightBytes: 100 << 10, BodyBytes: 100 << 10})
	hold := n.limits.Hold()
	require.NoError(t, hold.Grow(90<<10))
	body := encode1(t, one1("up", now(), 1))
	w := n.post(body)
	require.Equal(t, 503, w.Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), "err-barograph-in-flight-full")
	hold.Release()
	require.NoError(t, n.limits.Set(limit.Options{}))
	require.Equal(t, 204, n.post(body).Code)
}

// failing is a body that breaks off.
type failing struct{ io.Reader }

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("connection reset")
	}
	return n, err
}

func TestPassingFaultsAre5xx(t *testing.T) {
	n := newNode(t, limit.Options{})
	r := httptest.NewRequest(http.MethodPost, "/", failing{bytes.NewReader([]byte{1})})
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	require.Equal(t, 503, w.Code)

	n.err = errors.New("disk is full")
	w = n.post(encode1(t, one1("up", now(), 1)))
	require.Equal(t, 503, w.Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	q := request2Metadata()
	w = n.post2(t, q)
	require.Equal(t, 503, w.Code)
	require.Equal(t, "0 0 0", written(w))
	n.err = nil
	require.Equal(t, 204, n.post2(t, q).Code)
	require.Len(t, n.metadata, 1, "what was not stored is sent on again")
}

func request2Metadata() *writev2.Request {
	return &writev2.Request{Symbols: []string{"", "__name__", "up", "help", "seconds"}, Timeseries: []writev2.TimeSeries{
		{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Value: 1, Timestamp: now()}}, Metadata: writev2.Metadata{Type: 1, HelpRef: 3, UnitRef: 4}},
	}}
}

func TestVersion1(t *testing.T) {
	n := newNode(t, limit.Options{})
	at := now()
	nan := math.Float64frombits(0x7ff0000000000002)
	require.Equal(t, 204, n.post(encode1(t, one1("up", at, nan))).Code)
	require.Equal(t, []flatSample{{t: at, bits: math.Float64bits(nan)}}, n.samples[`{__name__="up"}`])

	// A series without a name is told, and the others are kept.
	q := one1("kept", at, 1)
	q.Timeseries = append(q.Timeseries, prompb.TimeSeries{Labels: []prompb.Label{{Name: "job", Value: "x"}}, Samples: []prompb.Sample{{Value: 1, Timestamp: at}}})
	w := n.post(encode1(t, q))
	require.Equal(t, 400, w.Code)
	require.Contains(t, w.Body.String(), "err-barograph-no-metric-name")
	require.Contains(t, w.Body.String(), `series {job="x"}`)
	require.Empty(t, w.Header().Get(samplesWritten))
	require.Len(t, n.samples[`{__name__="kept"}`], 1)

	// Metadata alone.
	q = &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{{Type: 2, MetricFamilyName: "m", Help: "h", Unit: "u"}}}
	require.Equal(t, 204, n.post(encode1(t, q)).Code)
	require.Equal(t, []frame.Metadata{{Metric: "m", Type: "gauge", Help: "h", Unit: "u"}}, n.metadata)

	// Nothing at all.
	require.Equal(t, 204, n.post(encode1(t, &prompb.WriteRequest{})).Code)

	// 41 labels are no reason to drop.
	q = one1("many", at, 1)
	for i := range 40 {
		q.Timeseries[0].Labels = append(q.Timeseries[0].Labels, prompb.Label{Name: fmt.Sprintf("l%02d", i), Value: "v"})
	}
	require.Equal(t, 204, n.post(encode1(t, q)).Code)
	for i := range 10_000 {
		q.Timeseries[0].Labels = append(q.Timeseries[0].Labels, prompb.Label{Name: fmt.Sprintf("m%02d", i), Value: "v"})
	}
	w = n.post(encode1(t, q))
	require.Equal(t, 400, w.Code)
	require.Contains(t, w.Body.String(), "err-barograph-too-many-labels")
}

func TestVersion2Counts(t *testing.T) {
	n := newNode(t, limit.Options{})
	at := now()
	h := &histogram.Histogram{Schema: 2, Count: 3, Sum: 1, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []int64{1, 1}}
	bad := h.Copy()
	bad.Count = 9
	symbols := []string{"", "__name__", "a", "b", "trace_id", "x", "job", strings.Repeat("long", 40)}
	q := &writev2.Request{Symbols: symbols, Timeseries: []writev2.TimeSeries{
		{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Value: 1, Timestamp: at}, {Value: 2, Timestamp: at + 1, StartTimestamp: at - 5}}},
		{LabelsRefs: []uint32{1, 2}, Exemplars: []writev2.Exemplar{{LabelsRefs: []uint32{4, 5}, Value: 1, Timestamp: at}}},
		{LabelsRefs: []uint32{1, 3}, Histograms: []writev2.Histogram{writev2.FromIntHistogram(0, at, h)}, Exemplars: []writev2.Exemplar{{Value: 1, Timestamp: at}}},
	}}
	w := n.post2(t, q)
	require.Equal(t, 204, w.Code, w.Body)
	require.Equal(t, "2 1 2", written(w))
	require.Equal(t, []flatSample{{t: at, bits: math.Float64bits(1)}, {t: at + 1, st: at - 5, bits: math.Float64bits(2)}}, n.samples[`{__name__="a"}`])

	for name, c := range map[string]struct {
		ts     writev2.TimeSeries
		counts string
		reason ingest.Reason
	}{
		"out of range":      {writev2.TimeSeries{LabelsRefs: []uint32{1, 99}, Samples: []writev2.Sample{{Timestamp: at}}}, "2 1 2", ingest.BadSymbol},
		"odd":               {writev2.TimeSeries{LabelsRefs: []uint32{1, 2, 6}, Samples: []writev2.Sample{{Timestamp: at}}}, "2 1 2", ingest.BadSymbol},
		"no name":           {writev2.TimeSeries{LabelsRefs: []uint32{6, 2}, Samples: []writev2.Sample{{Timestamp: at}}}, "2 1 2", ingest.NoMetricName},
		"empty name":        {writev2.TimeSeries{LabelsRefs: []uint32{1, 0}, Samples: []writev2.Sample{{Timestamp: at}}}, "2 1 2", ingest.NoMetricName},
		"twice":             {writev2.TimeSeries{LabelsRefs: []uint32{1, 2, 6, 2, 6, 3}, Samples: []writev2.Sample{{Timestamp: at}}}, "2 1 2", ingest.DuplicateLabel},
		"no data":           {writev2.TimeSeries{LabelsRefs: []uint32{1, 2}}, "2 1 2", ingest.EmptySeries},
		"bad metadata":      {writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: at}}, Metadata: writev2.Metadata{HelpRef: 99}}, "2 1 2", ingest.BadSymbol},
		"future":            {writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: at + 1e7}, {Timestamp: at}}}, "3 1 2", ingest.TooNew},
		"before retention":  {writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: 1}}}, "2 1 2", ingest.TooOld},
		"bad histogram":     {writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Histograms: []writev2.Histogram{writev2.FromIntHistogram(0, at, bad)}}, "2 1 2", ingest.BadHistogram},
		"exemplar too long": {writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: at}}, Exemplars: []writev2.Exemplar{{LabelsRefs: []uint32{4, 7}}}}, "3 1 2", ingest.ExemplarTooLong},
		"exemplar symbols":  {writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: at}}, Exemplars: []writev2.Exemplar{{LabelsRefs: []uint32{4, 77}}}}, "3 1 2", ingest.BadSymbol},
	} {
		p := &writev2.Request{Symbols: symbols, Timeseries: append(append([]writev2.TimeSeries{}, q.Timeseries...), c.ts)}
		w := n.post2(t, p)
		require.Equal(t, 400, w.Code, name)
		require.Equal(t, c.counts, written(w), name)
		require.Contains(t, w.Body.String(), c.reason.ID(), name)
		require.Equal(t, 1, strings.Count(w.Body.String(), "err-barograph"), w.Body)
	}

	// Metadata without data is no fault.
	w = n.post2(t, &writev2.Request{Symbols: symbols, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 2}, Metadata: writev2.Metadata{Type: 2}}}})
	require.Equal(t, 204, w.Code)
	require.Equal(t, "0 0 0", written(w))
	// A body that is none has counts as well.
	w = n.post([]byte{1, 2}, "Content-Type", type2)
	require.Equal(t, 400, w.Code)
	require.Equal(t, "0 0 0", written(w))
}

func TestMetadataFamilies(t *testing.T) {
	n := newNode(t, limit.Options{})
	q := &writev2.Request{Symbols: []string{"", "__name__", "x_bucket", "x_sum", "y_total", "h"}}
	for _, c := range [][2]uint32{{2, 3}, {3, 3}, {4, 1}, {2, 3}} {
		q.Timeseries = append(q.Timeseries, writev2.TimeSeries{
			LabelsRefs: []uint32{1, c[0]}, Samples: []writev2.Sample{{Timestamp: now()}},
			Metadata: writev2.Metadata{Type: writev2.Metadata_MetricType(c[1]), HelpRef: 5},
		})
	}
	for range 3 {
		require.Equal(t, 204, n.post2(t, q).Code)
	}
	require.Equal(t, []frame.Metadata{
		{Metric: "x", Type: "histogram", Help: "h"}, {Metric: "x", Type: "histogram", Help: "h"}, {Metric: "y_total", Type: "counter", Help: "h"},
	}, n.metadata)
}

func TestSeriesLimitsAre429(t *testing.T) {
	n := newNode(t, limit.Options{ActiveSeries: 1})
	at := now()
	require.Equal(t, 204, n.post(encode1(t, one1("known", at, 1))).Code)
	q := one1("known", at+1, 1)
	q.Timeseries = append(q.Timeseries, one1("new", at+1, 1).Timeseries...)
	w := n.post(encode1(t, q))
	require.Equal(t, 429, w.Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), "err-barograph-too-many-series")
	require.Len(t, n.samples[`{__name__="known"}`], 2)

	require.NoError(t, n.limits.Set(limit.Options{NewSeriesPerSecond: 1, NewSeriesBurst: 1}))
	q = &prompb.WriteRequest{}
	for i := range 10 {
		q.Timeseries = append(q.Timeseries, one1(fmt.Sprint("s", i), at, 1).Timeseries...)
	}
	w = n.post(encode1(t, q))
	require.Equal(t, 429, w.Code)
	require.Contains(t, w.Body.String(), "err-barograph-too-many-new-series")
}

func TestExemplarFlood(t *testing.T) {
	n := newNode(t, limit.Options{ExemplarsPerRequest: 5, MetadataPerRequest: 2, MetadataBytes: 10})
	q := one1("a", now(), 1)
	for range 10 {
		q.Timeseries[0].Exemplars = append(q.Timeseries[0].Exemplars, prompb.Exemplar{Value: 1, Timestamp: now()})
	}
	for _, help := range []string{"1", "2", "3", strings.Repeat("x", 20)} {
		q.Metadata = append(q.Metadata, prompb.MetricMetadata{MetricFamilyName: "m", Help: help, Type: 1})
	}
	require.Equal(t, 204, n.post(encode1(t, q)).Code)
	require.Len(t, n.exemplars, 5)
	require.Len(t, n.metadata, 2)
	require.Equal(t, 5.0, counter(t, n, "barograph_limit_refused_total", "limit", "exemplars_per_request"))
	require.Equal(t, 5.0, counter(t, n, "barograph_ingest_rejected_samples_total", "reason", "too-many-exemplars"))
}

func TestMetricsAreWellNamed(t *testing.T) {
	n := newNode(t, limit.Options{})
	n.post(encode1(t, one1("up", now(), 1)))
	problems, err := testutil.GatherAndLint(n.reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestSlowBodyIsGivenUp(t *testing.T) {
	n := newNode(t, limit.Options{BodyTime: 50 * time.Millisecond})
	s := httptest.NewServer(n.handler)
	defer s.Close()
	body, stop := io.Pipe()
	defer stop.Close()
	go func() { _, _ = stop.Write([]byte("x")) }()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.URL, body)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	if err != nil {
		return // The connection was closed before the answer could be read.
	}
	defer res.Body.Close()
	require.Equal(t, 503, res.StatusCode)
}
