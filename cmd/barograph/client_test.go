package main

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answering is a server that answers every request with text, and gives requests to look.
func answering(t *testing.T, status int, text string, look func(*http.Request)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		look(r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

const vectorAnswer = `{"status":"success","data":{"resultType":"vector","result":[
	{"metric":{"__name__":"up","job":"a"},"value":[1000.5,"1"]},
	{"metric":{"__name__":"up","instance":"x\ty"},"value":[1000.5,"NaN"]}]},"warnings":["careful"]}`

func TestQueryInstant(t *testing.T) {
	var form map[string][]string
	url := answering(t, http.StatusOK, vectorAnswer, func(r *http.Request) {
		_ = r.ParseForm()
		form = r.Form
	})
	code, out, errOut := do("query", "instant", "--url="+url, "--time=1000.5", "up")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, []string{"up"}, form["query"])
	require.Equal(t, []string{"1000.5"}, form["time"])
	require.Equal(t, "barograph: warning: careful\n", errOut)
	require.Equal(t, ""+
		"METRIC  INSTANCE  JOB  TIME                    VALUE\n"+
		"up                a    1970-01-01T00:16:40.5Z  1\n"+
		"up      x\\ty           1970-01-01T00:16:40.5Z  NaN\n",
		out)

	_, out, _ = do("query", "instant", "--url="+url, "--format=csv", "up")
	require.Equal(t, "metric,instance,job,time,value\nup,,a,1970-01-01T00:16:40.5Z,1\nup,x\ty,,1970-01-01T00:16:40.5Z,NaN\n", out)

	_, out, _ = do("query", "instant", "--url="+url, "--format=json", "up")
	require.Contains(t, out, `"resultType": "vector"`)
}

func TestQueryRange(t *testing.T) {
	var form map[string][]string
	url := answering(t, http.StatusOK, `{"status":"success","data":{"resultType":"matrix","result":[
		{"metric":{"a":"b"},"values":[[60,"1"],[75,"2"]]},
		{"metric":{},"histograms":[[60,{"count":"2","sum":"3","buckets":[[0,"1","2","2"]]}]]}]}}`, func(r *http.Request) {
		_ = r.ParseForm()
		form = r.Form
	})
	code, out, errOut := do("query", "range", "--url="+url, "--start=1970-01-01T00:01:00Z", "--end=120", "--step=15s", "x")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, []string{"60"}, form["start"])
	require.Equal(t, []string{"120"}, form["end"])
	require.Equal(t, []string{"15"}, form["step"])
	require.Equal(t, ""+
		"A  TIME                  VALUE\n"+
		"b  1970-01-01T00:01:00Z  1\n"+
		"b  1970-01-01T00:01:15Z  2\n"+
		"   1970-01-01T00:01:00Z  Count: 2.000000, Sum: 3.000000, Buckets: [(1,2]:2]\n", out)
}

func TestQueryError(t *testing.T) {
	url := answering(t, http.StatusBadRequest, `{"status":"error","errorType":"bad_data","error":"parse error: no"}`, func(*http.Request) {})
	code, out, errOut := do("query", "instant", "--url="+url, "(")
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Equal(t, "barograph: query: bad_data: parse error: no\n", errOut)

	code, _, errOut = do("query", "instant", "--url=http://127.0.0.1:1", "up")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "connection refused")
}

func TestParseRangeDefaults(t *testing.T) {
	now := time.Unix(100_000, 0)
	r, err := parseRange("", "", "", now)
	require.NoError(t, err)
	require.Equal(t, now, r.End)
	require.Equal(t, time.Hour, r.End.Sub(r.Start))
	require.Equal(t, 14*time.Second, r.Step)
	r, err = parseRange("100000", "", "0.5", now)
	require.NoError(t, err)
	require.Equal(t, 500*time.Millisecond, r.Step)
}

func TestImport(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dump.om.gz")
	f, err := os.Create(path)
	require.NoError(t, err)
	zw := gzip.NewWriter(f)
	_, err = io.WriteString(zw, "a 1 1\n# EOF\n")
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	require.NoError(t, f.Close())
	raw, err := os.ReadFile(path)
	require.NoError(t, err)

	var got []byte
	var req *http.Request
	url := answering(t, http.StatusOK, `{"status":"success","data":{"lines":2,"samples":1,"rejected":[{"id":"err-x","message":"bad","samples":1,"first":"line 2"}]}}`, func(r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		req = r
	})
	code, out, errOut := do("import", "--url="+url+"/prefix/", "--label=dc=a b", path)
	require.Equal(t, 0, code, errOut)
	require.Equal(t, raw, got, "a compressed file is sent as it is")
	require.Equal(t, "/prefix/api/v1/import/prometheus", req.URL.Path)
	require.Equal(t, []string{"dc=a b"}, req.URL.Query()["extra_label"])
	require.Equal(t, "gzip", req.Header.Get("Content-Encoding"))
	require.Contains(t, req.Header.Get("Content-Type"), "application/openmetrics-text")
	require.Equal(t, int64(len(raw)), req.ContentLength)
	require.Contains(t, out, "stored 1 samples of 2 lines\n")
	require.Equal(t, "barograph: refused 1 samples: err-x: bad: line 2\n", errOut, "and no bar where there is no terminal")

	url = answering(t, http.StatusBadRequest, `{"status":"error","error":"err-barograph-bad-line"}`, func(*http.Request) {})
	code, _, errOut = do("import", "--url="+url, path)
	require.Equal(t, 1, code)
	require.Equal(t, "barograph: import: the server answered 400 Bad Request: err-barograph-bad-line\n", errOut)

	url = answering(t, http.StatusServiceUnavailable, "starting", func(*http.Request) {})
	code, _, errOut = do("import", "--url="+url, path)
	require.Equal(t, 1, code)
	require.Equal(t, "barograph: import: the server answered 503 Service Unavailable: starting\n", errOut)
}

func TestUploadHeaders(t *testing.T) {
	for _, tc := range []struct{ path, format, mediaType, encoding string }{
		{"a.txt", "auto", "text/plain", ""},
		{"a.prom.zst", "auto", "text/plain", "zstd"},
		{"a.openmetrics", "auto", "application/openmetrics-text", ""},
		{"a.om", "text", "text/plain", ""},
		{"-", "openmetrics", "application/openmetrics-text", ""},
	} {
		u := upload{path: tc.path, format: tc.format}
		require.Contains(t, u.contentType(), tc.mediaType, tc.path)
		require.Equal(t, tc.encoding, u.contentEncoding(), tc.path)
	}
}

func TestProgressLine(t *testing.T) {
	start := time.Unix(0, 0)
	p := &progress{total: 4_000_000, start: start}
	p.sent.Store(1_000_000)
	require.Equal(t, "[==========>                             ]  25%  1.0 MB  500.0 kB/s", p.line(start.Add(2*time.Second)))
	p.sent.Store(4_000_000)
	require.Equal(t, "[========================================] 100%  4.0 MB  1.0 MB/s", p.line(start.Add(4*time.Second)))
	p.total = -1
	require.Equal(t, "4.0 MB  1.0 MB/s", p.line(start.Add(4*time.Second)))
}
