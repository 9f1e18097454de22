package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/api"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

func equal(name, value string) *prompb.LabelMatcher {
	return &prompb.LabelMatcher{Type: prompb.LabelMatcher_EQ, Name: name, Value: value}
}

func readQuery(start, end int64, ms ...*prompb.LabelMatcher) *prompb.Query {
	return &prompb.Query{StartTimestampMs: start, EndTimestampMs: end, Matchers: ms}
}

func (s *server) read(t testing.TB, req *prompb.ReadRequest) response {
	t.Helper()
	plain, err := req.Marshal()
	require.NoError(t, err)
	return s.readRaw(t, snappy.Encode(nil, plain))
}

func (s *server) readRaw(t testing.TB, body []byte) response {
	t.Helper()
	req, err := http.NewRequest("POST", s.URL+"/api/v1/read", bytes.NewReader(body))
	require.NoError(t, err)
	return s.do(t, req)
}

func samplesOf(t testing.TB, resp response) []*prompb.QueryResult {
	t.Helper()
	require.Equal(t, 200, resp.StatusCode, "%s", resp.body)
	require.Equal(t, "application/x-protobuf", resp.Header.Get("Content-Type"))
	require.Equal(t, "snappy", resp.Header.Get("Content-Encoding"))
	plain, err := snappy.Decode(nil, []byte(resp.body))
	require.NoError(t, err)
	var r prompb.ReadResponse
	require.NoError(t, r.Unmarshal(plain))
	return r.Results
}

func TestReadSamples(t *testing.T) {
	s := serve(t, fixture(t), nil)
	results := samplesOf(t, s.read(t, &prompb.ReadRequest{Queries: []*prompb.Query{
		readQuery(1, 60_000, equal("__name__", "requests_total"), equal("instance", "a")),
		readQuery(0, 60_000, &prompb.LabelMatcher{Type: prompb.LabelMatcher_RE, Name: "__name__", Value: ".*_seconds"}),
		readQuery(0, 60_000, equal("__name__", "nothing")),
	}}))
	require.Len(t, results, 3)
	require.Equal(t, []*prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "__name__", Value: "requests_total"}, {Name: "instance", Value: "a"}, {Name: "job", Value: "web"}},
		Samples: []prompb.Sample{{Timestamp: 30_000, Value: 10}, {Timestamp: 60_000, Value: 20}},
	}}, results[0].Timeseries)
	require.Len(t, results[1].Timeseries, 2)
	require.Equal(t, custom().CustomValues, results[1].Timeseries[0].Histograms[0].ToFloatHistogram().CustomValues)
	require.True(t, exponential().Equals(results[1].Timeseries[1].Histograms[0].ToIntHistogram()))
	require.Empty(t, results[2].Timeseries)
}

func TestReadExternalLabels(t *testing.T) {
	s := serve(t, fixture(t), func(o *api.Options) {
		o.ExternalLabels = func() labels.Labels { return labels.FromStrings("job", "ours", "region", "eu") }
	})
	results := samplesOf(t, s.read(t, &prompb.ReadRequest{Queries: []*prompb.Query{
		readQuery(0, 0, equal("__name__", "requests_total"), equal("instance", "a"), equal("region", "eu")),
		readQuery(0, 0, equal("__name__", "requests_total"), equal("region", "us")),
	}}))
	require.Equal(t, []prompb.Label{
		{Name: "__name__", Value: "requests_total"}, {Name: "instance", Value: "a"}, {Name: "job", Value: "web"}, {Name: "region", Value: "eu"},
	}, results[0].Timeseries[0].Labels, "own labels win, others are added")
	require.Empty(t, results[1].Timeseries)
}

// readFrames is a reader of streamed answers of its own, so that the writer is not held to itself.
func readFrames(r io.Reader) ([]prompb.ChunkedReadResponse, error) {
	var messages []prompb.ChunkedReadResponse
	for in := bufio.NewReader(r); ; {
		size, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			return messages, nil
		}
		if err != nil {
			return messages, err
		}
		frame := make([]byte, 4+size)
		if _, err := io.ReadFull(in, frame); err != nil {
			return messages, err
		}
		sum := crc32.Checksum(frame[4:], crc32.MakeTable(crc32.Castagnoli))
		if sum != binary.BigEndian.Uint32(frame) {
			return messages, fmt.Errorf("frame %d: checksum", len(messages))
		}
		var m prompb.ChunkedReadResponse
		if err := m.Unmarshal(frame[4:]); err != nil {
			return messages, err
		}
		messages = append(messages, m)
	}
}

// decodeChunks turns chunks of the wire into text, a sample each.
func decodeChunks(t testing.TB, cs []prompb.Chunk) []string {
	t.Helper()
	encodings := map[prompb.Chunk_Encoding]chunkenc.Encoding{
		prompb.Chunk_XOR: chunkenc.EncXOR, prompb.Chunk_HISTOGRAM: chunkenc.EncHistogram, prompb.Chunk_FLOAT_HISTOGRAM: chunkenc.EncFloatHistogram,
		prompb.Chunk_XOR2: chunkenc.EncXOR2, prompb.Chunk_HISTOGRAM_ST: chunkenc.EncHistogramST, prompb.Chunk_FLOAT_HISTOGRAM_ST: chunkenc.EncFloatHistogramST,
	}
	var out []string
	for _, c := range cs {
		raw, err := chunkenc.FromData(encodings[c.Type], c.Data)
		require.NoError(t, err)
		it := raw.Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			require.GreaterOrEqual(t, it.AtT(), c.MinTimeMs)
			require.LessOrEqual(t, it.AtT(), c.MaxTimeMs)
			switch typ {
			case chunkenc.ValFloat:
				at, v := it.At()
				out = append(out, fmt.Sprint(at, " ", v))
			default:
				at, h := it.AtFloatHistogram(nil)
				out = append(out, fmt.Sprint(at, " ", h))
			}
		}
		require.NoError(t, it.Err())
	}
	return out
}

var streamed = []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS}

func TestReadStreamed(t *testing.T) {
	store := fixture(t)
	store.add(t, labels.FromStrings("__name__", "started"), series.Sample{T: 1000, V: 1, ST: 500}, series.Sample{T: 2000, V: 2, ST: 500})
	s := serve(t, store, func(o *api.Options) {
		o.ExternalLabels = func() labels.Labels { return labels.FromStrings("region", "eu") }
	})
	resp := s.read(t, &prompb.ReadRequest{AcceptedResponseTypes: append([]prompb.ReadRequest_ResponseType{99}, streamed...), Queries: []*prompb.Query{
		readQuery(1, 60_000, equal("__name__", "requests_total"), equal("region", "eu")),
		readQuery(0, 60_000, equal("__name__", "latency_seconds")),
		readQuery(0, 60_000, equal("__name__", "custom_seconds")),
		readQuery(0, 60_000, equal("__name__", "started")),
		readQuery(0, 60_000, equal("__name__", "nothing")),
	}})
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse", resp.Header.Get("Content-Type"))
	messages, err := readFrames(strings.NewReader(resp.body))
	require.NoError(t, err)
	require.Len(t, messages, 5)
	for i, want := range []struct {
		query   int64
		enc     prompb.Chunk_Encoding
		samples []string
	}{
		{0, prompb.Chunk_XOR, []string{"30000 10", "60000 20"}},
		{0, prompb.Chunk_XOR, []string{"30000 1", "60000 2"}},
		{1, prompb.Chunk_HISTOGRAM, []string{"0 " + exponential().ToFloat(nil).String(), "30000 " + exponential().ToFloat(nil).String()}},
		{2, prompb.Chunk_FLOAT_HISTOGRAM, []string{"0 " + custom().String(), "30000 " + custom().String()}},
		{3, prompb.Chunk_XOR2, []string{"1000 1", "2000 2"}},
	} {
		require.Equal(t, want.query, messages[i].QueryIndex)
		got := messages[i].ChunkedSeries
		require.Len(t, got, 1)
		require.Equal(t, prompb.Label{Name: "region", Value: "eu"}, got[0].Labels[len(got[0].Labels)-1])
		require.Equal(t, want.enc, got[0].Chunks[0].Type)
		require.Equal(t, want.samples, decodeChunks(t, got[0].Chunks))
	}
	require.Equal(t, "a", messages[0].ChunkedSeries[0].Labels[1].Value, "series are sorted")
}

// TestReadFrames cuts a long series into frames.
func TestReadFrames(t *testing.T) {
	store := &memory{}
	values := make([]float64, 10*chunk.MaxSamples)
	for i := range values {
		values[i] = float64(i*i) / 7
	}
	store.add(t, labels.FromStrings("__name__", "long"), floats(0, 1000, values...)...)
	for _, limit := range []int{1, 2000, 1 << 20} {
		s := serve(t, store, func(o *api.Options) { o.MaxReadFrameBytes = limit })
		resp := s.read(t, &prompb.ReadRequest{AcceptedResponseTypes: streamed, Queries: []*prompb.Query{readQuery(0, 1e9, equal("__name__", "long"))}})
		messages, err := readFrames(strings.NewReader(resp.body))
		require.NoError(t, err)
		var all []prompb.Chunk
		for _, m := range messages {
			all = append(all, m.ChunkedSeries[0].Chunks...)
			if n := len(m.ChunkedSeries[0].Chunks); n > 1 {
				require.LessOrEqual(t, m.Size()-m.ChunkedSeries[0].Chunks[n-1].Size(), limit+100)
			}
		}
		require.Len(t, all, 10)
		require.Len(t, decodeChunks(t, all), len(values))
		switch limit {
		case 1:
			require.Len(t, messages, 10)
		case 1 << 20:
			require.Len(t, messages, 1)
		}
	}
}

func TestReadRefused(t *testing.T) {
	s := serve(t, fixture(t), func(o *api.Options) { o.MaxReadBytes, o.MaxReadSelectors, o.MaxReadSamples = 10_000, 10, 3 })
	many := &prompb.ReadRequest{Queries: []*prompb.Query{readQuery(0, 0)}}
	for range 10 {
		many.Queries[0].Matchers = append(many.Queries[0].Matchers, equal("a", "b"))
	}
	for name, c := range map[string]struct {
		resp response
		text string
	}{
		"empty":    {s.readRaw(t, nil), "snappy"},
		"garbage":  {s.readRaw(t, []byte("\x05garbage")), "snappy"},
		"bomb":     {s.readRaw(t, binary.AppendUvarint(nil, 1<<32-1)), "snappy: decoded length 4294967295 exceeds limit 10000"},
		"long":     {s.readRaw(t, make([]byte, 10_001)), "request body too large"},
		"protobuf": {s.readRaw(t, snappy.Encode(nil, []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})), "EOF"},
		"many":     {s.read(t, many), "more than 10 queries and matchers in a request"},
		"type":     {s.read(t, &prompb.ReadRequest{AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{99}}), "none of the requested response types"},
		"matcher":  {s.read(t, &prompb.ReadRequest{Queries: []*prompb.Query{readQuery(0, 0, &prompb.LabelMatcher{Type: 99})}}), "unknown matcher type 99"},
		"regexp":   {s.read(t, &prompb.ReadRequest{Queries: []*prompb.Query{readQuery(0, 0, &prompb.LabelMatcher{Type: prompb.LabelMatcher_RE, Value: "("})}}), "missing closing )"},
		"samples":  {s.read(t, &prompb.ReadRequest{Queries: []*prompb.Query{readQuery(0, 1e6, equal("__name__", "requests_total"))}}), "exceeded sample limit (3)"},
		"streamed": {s.read(t, &prompb.ReadRequest{AcceptedResponseTypes: streamed, Queries: []*prompb.Query{readQuery(0, 0, &prompb.LabelMatcher{Type: 99})}}), "unknown matcher type 99"},
	} {
		require.Equal(t, map[bool]int{true: 413, false: 400}[name == "long"], c.resp.StatusCode, name)
		require.Contains(t, c.resp.body, c.text, name)
		require.Equal(t, "text/plain; charset=utf-8", c.resp.Header.Get("Content-Type"))
	}
}

// TestReadBroken holds a storage that fails in the middle of a stream: the client must see it.
func TestReadBroken(t *testing.T) {
	store := fixture(t)
	raw := series.FromStrings("__name__", "requests_total", "instance", "c")
	store.series = append(store.series, chunk.Series{Fingerprint: raw.Fingerprint(), Labels: raw, Chunks: []chunk.Chunk{
		{Enc: chunk.XOR, Samples: 2, MinT: 0, MaxT: 50_000, Data: []byte{0, 2, 0}},
	}})
	s := serve(t, store, nil)
	plain, err := (&prompb.ReadRequest{AcceptedResponseTypes: streamed, Queries: []*prompb.Query{
		readQuery(0, 60_000, equal("__name__", "latency_seconds")),
		readQuery(1, 40_000, equal("__name__", "requests_total")),
	}}).Marshal()
	require.NoError(t, err)
	resp, err := s.Client().Post(s.URL+"/api/v1/read", "application/x-protobuf", bytes.NewReader(snappy.Encode(nil, plain)))
	if err == nil {
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	require.Error(t, err, "an answer that is not whole must not look so")
}

// TestReadTurns holds that no more run than may, and that a client who leaves gives its place up.
func TestReadTurns(t *testing.T) {
	s := serve(t, fixture(t), func(o *api.Options) { o.MaxReads = 1 })
	in, out := io.Pipe()
	first, err := http.NewRequest("POST", s.URL+"/api/v1/read", in)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		resp, err := s.Client().Do(first)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	_, err = out.Write([]byte("x")) // The first has its turn or is about to: its body is being read.
	require.NoError(t, err)
	require.Eventually(t, func() bool { return gauge(t, s, "barograph_http_remote_reads_running") == 1 }, waitFor, tick)

	ctx, cancel := context.WithCancel(t.Context())
	second, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/api/v1/read", nil)
	require.NoError(t, err)
	left := make(chan error, 1)
	go func() {
		resp, err := s.Client().Do(second)
		if err == nil {
			resp.Body.Close()
		}
		left <- err
	}()
	require.Eventually(t, func() bool { return gauge(t, s, "barograph_http_requests_in_flight") == 2 }, waitFor, tick)
	cancel()
	require.ErrorIs(t, <-left, context.Canceled)
	require.NoError(t, out.Close())
	require.NoError(t, <-done)
	require.Eventually(t, func() bool { return gauge(t, s, "barograph_http_requests_in_flight") == 0 }, waitFor, tick)
	require.Zero(t, gauge(t, s, "barograph_http_remote_reads_running"))
}
