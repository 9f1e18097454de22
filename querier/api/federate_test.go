package api_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/api"
	"github.com/barograph-db/barograph/storage/series"
)

// current is a store of samples of now.
func current(t testing.TB) (*memory, string) {
	m := &memory{}
	now := time.Now().Add(-time.Second).UnixMilli()
	gauge := exponential()
	gauge.CounterResetHint = histogram.GaugeType
	m.add(t, labels.FromStrings("__name__", "up", "instance", "b", "job", "node"), floats(now-30_000, 30_000, 0, 1)...)
	m.add(t, labels.FromStrings("__name__", "up", "job", "node"), floats(now-30_000, 30_000, 0, 1)...)
	m.add(t, labels.FromStrings("__name__", "gone"), series.Sample{T: now - 1, V: 1}, series.Sample{T: now, V: math.Float64frombits(value.StaleNaN)})
	m.add(t, labels.FromStrings("__name__", "old"), series.Sample{T: now - 600_000, V: 1})
	m.add(t, labels.FromStrings("__name__", "odd", "text", "a\"b\n"), series.Sample{T: now, V: math.Inf(1)})
	m.add(t, labels.FromStrings("nameless", "yes"), series.Sample{T: now, V: 1})
	m.add(t, labels.FromStrings("__name__", "latency_seconds", "job", "x"), series.Sample{T: now, H: exponential()})
	m.add(t, labels.FromStrings("__name__", "latency_seconds", "job", "y"), series.Sample{T: now, H: gauge})
	m.add(t, labels.FromStrings("__name__", "latency_seconds", "job", "z"), series.Sample{T: now, V: 5})
	m.add(t, labels.FromStrings("__name__", "latency_seconds", "job", "zz"), series.Sample{T: now, H: &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}})
	m.add(t, labels.FromStrings("__name__", "custom_seconds"), series.Sample{T: now, FH: custom()})
	return m, formatInt(now)
}

func TestFederateText(t *testing.T) {
	store, now := current(t)
	s := serve(t, store, func(o *api.Options) {
		o.ExternalLabels = func() labels.Labels { return labels.FromStrings("job", "ours", "zone", "b") }
	})
	resp := s.get(t, "/prometheus/federate?match[]="+q(`{__name__=~".+"}`)+"&match[]=up&match[]="+q(`{nameless="yes"}`))
	require.Equal(t, 200, resp.StatusCode, "%s", resp.body)
	require.True(t, strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4"))
	require.Equal(t, strings.ReplaceAll(`# TYPE custom_seconds histogram
custom_seconds_bucket{instance="",job="ours",zone="b",le="1"} 3 NOW
custom_seconds_bucket{instance="",job="ours",zone="b",le="2.5"} 3 NOW
custom_seconds_bucket{instance="",job="ours",zone="b",le="5"} 8 NOW
custom_seconds_bucket{instance="",job="ours",zone="b",le="+Inf"} 10 NOW
custom_seconds_sum{instance="",job="ours",zone="b"} 20 NOW
custom_seconds_count{instance="",job="ours",zone="b"} 10 NOW
# TYPE latency_seconds untyped
latency_seconds{job="z",instance="",zone="b"} 5 NOW
# TYPE odd untyped
odd{text="a\"b\n",instance="",job="ours",zone="b"} +Inf NOW
# TYPE up untyped
up{instance="b",job="node",zone="b"} 1 NOW
up{job="node",instance="",zone="b"} 1 NOW
`, "NOW", now), resp.body)
}

func TestFederateProtobuf(t *testing.T) {
	store, _ := current(t)
	s := serve(t, store, nil)
	req, err := http.NewRequest("GET", s.URL+"/federate?match[]="+q(`{__name__=~"latency.*"}`), nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	resp := s.do(t, req)
	require.Equal(t, 200, resp.StatusCode)
	dec := expfmt.NewDecoder(bytes.NewReader([]byte(resp.body)), expfmt.ResponseFormat(resp.Header))
	var types []dto.MetricType
	for {
		var mf dto.MetricFamily
		err := dec.Decode(&mf)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.Equal(t, "latency_seconds", mf.GetName())
		require.Len(t, mf.Metric, 1)
		types = append(types, mf.GetType())
		if h := mf.Metric[0].Histogram; h != nil {
			require.Equal(t, 12.0, h.GetSampleCountFloat())
			require.Equal(t, []float64{1, 2, 1, 1}, h.PositiveCount)
			require.Equal(t, []float64{1, 2, 1, 1}, h.NegativeCount)
			require.Equal(t, uint32(2), h.PositiveSpan[1].GetLength())
			require.Equal(t, int32(1), h.NegativeSpan[1].GetOffset())
		}
	}
	require.Equal(t, []dto.MetricType{dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM, dto.MetricType_UNTYPED}, types)
}

func TestFederateRefused(t *testing.T) {
	s := serve(t, fixture(t), nil)
	resp := s.get(t, "/federate?match[]=(")
	require.Equal(t, 400, resp.StatusCode)
	require.Contains(t, resp.body, "parse error")
	require.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
	resp = s.get(t, "/federate")
	require.Equal(t, 200, resp.StatusCode)
	require.Empty(t, resp.body)
	require.Equal(t, 405, s.post(t, "POST", "/federate").StatusCode)
}
