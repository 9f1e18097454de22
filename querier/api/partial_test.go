package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/api"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/series"
)

// TestPartialResponse asks one node while another, which alone has some shards, is gone.
func TestPartialResponse(t *testing.T) {
	mems := []*queriertest.Mem{{}, {}}
	c := queriertest.NewCluster(t, []leaf.Store{mems[0], mems[1]}, 1, querier.Options{})
	for i := range 50 {
		ls := series.FromStrings("__name__", "up", "i", fmt.Sprint(i))
		for n, m := range mems {
			if c.Holds(n, ls) {
				require.NoError(t, m.Write(context.Background(), []queriertest.Sample{{Labels: ls, Sample: series.Sample{T: 5000, V: 1}}}))
			}
		}
	}
	a, err := api.New(api.Options{Engine: c.Engines[0]})
	require.NoError(t, err)
	mux := http.NewServeMux()
	a.Register(mux.Handle, "")
	ask := func(target string) (int, string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1"+target, nil))
		return w.Code, w.Body.String()
	}
	const missing = "missing shards 1,3,5,7,9,11,13,15 of 16"
	targets := []string{
		"/query?time=10&query=count(up)", "/query?time=10&query=up", "/query_range?query=up&start=0&end=10&step=1",
		"/series?match[]=up", "/labels?x=y", "/label/i/values?x=y", "/query_exemplars?query=up",
	}
	for _, target := range targets {
		status, body := ask(target)
		require.Equal(t, http.StatusOK, status, body)
		require.NotContains(t, body, "warnings")
	}
	c.Kill(1)
	for _, target := range targets {
		status, body := ask(target)
		require.Equal(t, http.StatusServiceUnavailable, status, body)
		require.Contains(t, body, missing)
		require.Contains(t, body, "node b: connection refused")
		require.Contains(t, body, `"errorType":"unavailable"`)

		status, body = ask(target + "&partial_response=true")
		require.Equal(t, http.StatusOK, status, body)
		require.Equal(t, 1, strings.Count(body, "the answer is not complete: "+missing), body)
		require.Contains(t, body, `"warnings":[`)

		status, body = ask(target + "&partial_response=maybe")
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, body, `invalid parameter \"partial_response\"`)
	}
}
