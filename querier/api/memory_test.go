package api_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
)

// Every kind of request takes its bytes before it holds them, and gives them back.
func TestMemoryLimits(t *testing.T) {
	s := serveLimited(t, fixture(t), querier.Options{MaxQueryBytes: 2000}, nil)
	every := url.QueryEscape(`{__name__=~".+"}`)
	long := url.QueryEscape(`{__name__=~".+"` + strings.Repeat(`,a!="b"`, 10) + "}")
	for name, resp := range map[string]response{
		"query":           s.post(t, "POST", "/api/v1/query?time=60&query="+every),
		"range":           s.post(t, "POST", "/api/v1/query_range?start=0&end=120&step=1&query="+every),
		"series":          s.post(t, "POST", "/api/v1/series?match[]="+every),
		"labels":          s.post(t, "POST", "/api/v1/labels?match[]="+long),
		"text":            s.post(t, "POST", "/api/v1/parse_query?query="+long),
		"form":            s.post(t, "POST", "/api/v1/query?query=1&unused="+strings.Repeat("x", 2000)),
		"remote read":     s.read(t, &prompb.ReadRequest{Queries: []*prompb.Query{readQuery(0, 1e6, &prompb.LabelMatcher{Type: prompb.LabelMatcher_NEQ, Name: "__name__"})}}),
		"streamed read":   s.read(t, &prompb.ReadRequest{AcceptedResponseTypes: streamed, Queries: []*prompb.Query{readQuery(0, 1e6, &prompb.LabelMatcher{Type: prompb.LabelMatcher_NEQ, Name: "__name__"})}}),
		"message of read": s.readRaw(t, make([]byte, 2000)),
	} {
		require.Equal(t, 422, resp.StatusCode, "%s: %s", name, resp.body)
		require.Contains(t, resp.body, "err-barograph-query-max-query-bytes", name)
		require.Contains(t, resp.body, "reading ", name)
		require.Zero(t, gauge(t, s, "barograph_querier_held_bytes"), name)
	}
	require.Equal(t, 200, s.post(t, "POST", "/api/v1/query?query=1").StatusCode)
}

// A node that has no memory to spare says that a request may come again.
func TestMemoryFull(t *testing.T) {
	s := serveLimited(t, fixture(t), querier.Options{MaxBytes: 4000}, nil)
	resp := s.post(t, "POST", "/api/v1/query?time=60&query="+url.QueryEscape(`{__name__=~".+"}`))
	require.Equal(t, 429, resp.StatusCode, resp.body)
	require.Equal(t, "1", resp.Header.Get("Retry-After"))
	require.Contains(t, resp.body, `"errorType":"unavailable"`)
	require.Contains(t, resp.body, "err-barograph-query-max-bytes")
}
