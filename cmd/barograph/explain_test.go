package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const explainedAnswer = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"a"},"value":[1000.5,"1"]}],
	"explain":{"query":"up","node":"n1","start":1000.5,"end":1000.5,"step":0,"took":0.0012,"waited":0.00001,
	"tree":{"expr":"up","by":"columns","reads":[1]},
	"reads":[{"number":1,"what":"series","selector":"{__name__=\"up\"}","start":700.501,"end":1000.5,"epoch":3,
		"parts":[{"node":"n2","shards":"0-3 of 4","start":700.501,"end":1000.5,"asks":[]}]}],"nodes":[]}}}`

func TestQueryExplain(t *testing.T) {
	var asked []string
	url := answering(t, http.StatusOK, explainedAnswer, func(r *http.Request) {
		_ = r.ParseForm()
		asked = append(asked, r.Form.Get("query")+" "+r.Form.Get("explain"))
	})
	const table = "JOB  TIME                    VALUE\na    1970-01-01T00:16:40.5Z  1\n"
	const plan = `
up at 1970-01-01T00:16:40.5Z
asked of n1, which took 1.2ms, of these 10µs waiting for its turn

columns  up  read 1

read 1: series of {__name__="up"} from 1970-01-01T00:11:40.501Z to 1970-01-01T00:16:40.5Z at epoch 3
  n2  shards 0-3 of 4
`
	code, out, errOut := do("query", "instant", "--url="+url, "--explain", "up")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, table+plan, out)
	require.Equal(t, []string{"up 1"}, asked)

	code, out, errOut = do("query", "instant", "--url="+url, "--explain", "--format=csv", "up")
	require.Equal(t, 0, code)
	require.Equal(t, "job,time,value\na,1970-01-01T00:16:40.5Z,1\n", out)
	require.Equal(t, plan, errOut)

	code, out, _ = do("query", "instant", "--url="+url, "--explain", "--format=json", "up")
	require.Equal(t, 0, code)
	require.Contains(t, out, `"shards": "0-3 of 4"`)
	require.True(t, strings.HasPrefix(out, "{\n  \"resultType\""), out)

	_, out, _ = do("query", "instant", "--url="+url, "--format=json", "up")
	require.NotContains(t, out, "explain")

	old := answering(t, http.StatusOK, vectorAnswer, func(*http.Request) {})
	code, _, errOut = do("query", "range", "--url="+old, "--explain", "up")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "the server does not explain its answers")
}
