package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/api"
	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// handler is the API of an engine.
func handler(t *testing.T, e *querier.Engine) http.Handler {
	a, err := api.New(api.Options{Engine: e, Store: api.Store{
		Stats: func(ctx context.Context, limit int) (api.TSDBStats, error) {
			c, err := e.Cardinality(ctx, limit)
			if err != nil {
				return api.TSDBStats{}, err
			}
			return api.RankedStats(c, limit), nil
		},
	}})
	require.NoError(t, err)
	mux := http.NewServeMux()
	a.Register(mux.Handle, "")
	return mux
}

// write gives stores what they hold of series with samples of the last minutes, exemplars and metadata.
func write(t *testing.T, now time.Time, mems []*queriertest.Mem, holds func(int, series.Labels) bool) {
	at := now.Truncate(time.Second).UnixMilli()
	for n, m := range mems {
		var metadata []frame.Metadata
		for i := range 120 {
			metric := fmt.Sprint("metric_", i%7, "_total")
			ls := series.FromStrings("__name__", metric, "instance", fmt.Sprint(i), "job", fmt.Sprint(i%3))
			if holds(n, ls) {
				var samples []queriertest.Sample
				for j := range int64(8) {
					samples = append(samples, queriertest.Sample{Labels: ls, Sample: series.Sample{T: at - 15_000*j, V: float64(i) * float64(j)}})
				}
				require.NoError(t, m.Write(context.Background(), samples))
				m.AddExemplars(frame.ExemplarSeries{Labels: ls, Exemplars: []frame.Exemplar{{T: at, V: 1, Labels: series.FromStrings("trace", fmt.Sprint(i))}}})
			}
			if i < 7 && holds(n, series.FromStrings("__name__", metric)) {
				metadata = append(metadata, frame.Metadata{Metric: metric, Type: "counter", Help: fmt.Sprint("Helps ", i)})
			}
		}
		m.SetMetadata(metadata)
	}
}

// TestClusterAnswersAsOneNode compares every URL that reads series.
func TestClusterAnswersAsOneNode(t *testing.T) {
	now := time.Now()
	at := fmt.Sprint(now.Unix())
	var targets []string
	for _, target := range []string{
		"/api/v1/query?time=" + at + "&query=sum by (job) (metric_1_total)",
		"/api/v1/query_range?start=" + fmt.Sprint(now.Unix()-60) + "&end=" + at + "&step=15&query=metric_1_total",
		"/api/v1/labels", "/api/v1/labels?limit=1", "/api/v1/labels?match[]=metric_1_total",
		"/api/v1/label/instance/values", "/api/v1/label/instance/values?limit=5", "/api/v1/label/job/values?match[]=metric_1_total",
		"/api/v1/series?match[]=metric_1_total", `/api/v1/series?match[]=metric_1_total&match[]={job="2"}`,
		"/api/v1/metadata", "/api/v1/metadata?limit=3", "/api/v1/metadata?metric=metric_1_total",
		"/api/v1/query_exemplars?query=metric_1_total", "/api/v1/query_exemplars?query=metric_1_total / metric_2_total",
		"/api/v1/status/tsdb", "/api/v1/status/tsdb?limit=1", "/api/v1/status/tsdb?limit=1000",
		`/federate?match[]={__name__=~".%2B"}`, "/federate?match[]=metric_1_total&match[]=metric_2_total",
	} {
		targets = append(targets, strings.NewReplacer(" ", "%20", `"`, "%22").Replace(target))
	}
	alone := []*queriertest.Mem{{}}
	write(t, now, alone, func(int, series.Labels) bool { return true })
	e, err := querier.New(alone[0], querier.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	one := handler(t, e)

	for replicas := 1; replicas <= 3; replicas++ {
		for _, killed := range []bool{false, true} {
			if killed && replicas == 1 {
				continue
			}
			mems := []*queriertest.Mem{{}, {}, {}}
			c := queriertest.NewCluster(t, []leaf.Store{mems[0], mems[1], mems[2]}, replicas, querier.Options{})
			write(t, now, mems, c.Holds)
			if killed {
				c.Kill(2)
			} else if replicas > 1 { // Nothing of it is read, but it is asked for otherwise.
				c.AddGap(0, now.UnixMilli()+10, now.UnixMilli()+1e9)
				c.AddGap(1, now.UnixMilli()+10, now.UnixMilli()+1e9)
			}
			for i := range 3 {
				if killed && i == 2 {
					continue
				}
				node := handler(t, c.Engines[i])
				for _, target := range targets {
					t.Run(fmt.Sprintf("%d replicas, killed %t, node %d, %s", replicas, killed, i, target), func(t *testing.T) {
						require.Equal(t, get(t, one, target), get(t, node, target))
					})
				}
				for _, typ := range []prompb.ReadRequest_ResponseType{prompb.ReadRequest_SAMPLES, prompb.ReadRequest_STREAMED_XOR_CHUNKS} {
					require.Equal(t, remoteRead(t, one, typ, now), remoteRead(t, node, typ, now))
				}
			}
		}
	}
}

func get(t *testing.T, h http.Handler, target string) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.Greater(t, w.Body.Len(), 30)
	return w.Body.String()
}

func remoteRead(t *testing.T, h http.Handler, typ prompb.ReadRequest_ResponseType, now time.Time) string {
	req := &prompb.ReadRequest{
		Queries:               []*prompb.Query{readQuery(0, now.UnixMilli(), equal("job", "1")), readQuery(0, now.UnixMilli(), equal("__name__", "metric_2_total"))},
		AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{typ},
	}
	plain, err := req.Marshal()
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/read", strings.NewReader(string(snappy.Encode(nil, plain)))))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.Greater(t, w.Body.Len(), 100)
	return w.Body.String()
}

// TestCardinalityOfMissingShards is an error, or a part of it if that is allowed.
func TestCardinalityOfMissingShards(t *testing.T) {
	now := time.Now()
	mems := []*queriertest.Mem{{}, {}, {}}
	c := queriertest.NewCluster(t, []leaf.Store{mems[0], mems[1], mems[2]}, 1, querier.Options{})
	write(t, now, mems, c.Holds)
	c.Kill(1)
	h := handler(t, c.Engines[0])
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/status/tsdb", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "missing shards")
	require.Contains(t, get(t, h, "/api/v1/status/tsdb?partial_response=true"), `"warnings":["the answer is not complete`)
}

// TestExplain has the explanation beside the result.
func TestExplain(t *testing.T) {
	now := time.Now()
	mems := []*queriertest.Mem{{}, {}, {}}
	c := queriertest.NewCluster(t, []leaf.Store{mems[0], mems[1], mems[2]}, 1, querier.Options{})
	write(t, now, mems, c.Holds)
	h := handler(t, c.Engines[0])
	params := url.Values{"query": {"sum(metric_1_total)"}, "time": {fmt.Sprint(now.Unix())}}
	require.NotContains(t, get(t, h, "/api/v1/query?"+params.Encode()), "explain")
	params.Set("explain", "1")
	var answer struct {
		Data struct {
			ResultType string
			Result     []any
			Explain    explain.Explanation
		}
	}
	require.NoError(t, json.Unmarshal([]byte(get(t, h, "/api/v1/query?"+params.Encode())), &answer))
	require.Equal(t, "vector", answer.Data.ResultType)
	require.Len(t, answer.Data.Result, 1)
	x := answer.Data.Explain
	require.Equal(t, "sum(metric_1_total)", x.Query)
	require.Equal(t, explain.Nodes, x.Tree.By)
	require.Len(t, x.Nodes, 3)
	total := int64(0)
	for _, n := range x.Nodes {
		total += n.Series
	}
	require.Equal(t, int64(17), total)

	params.Set("explain", "perhaps")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/query?"+params.Encode(), nil))
	require.Equal(t, http.StatusBadRequest, w.Code)
}
