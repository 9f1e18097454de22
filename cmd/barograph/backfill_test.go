package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler/rules"
)

// seriesOf returns what the node holds of a series over a range: time to value.
func (p *process) seriesOf(t *testing.T, selector string, at time.Time, span string) map[int64]string {
	t.Helper()
	text := p.get("/api/v1/query?" + url.Values{"query": {selector + "[" + span + "]"}, "time": {fmt.Sprint(at.Unix())}}.Encode())
	var answer struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
	out := map[int64]string{}
	for _, s := range answer.Data.Result {
		for _, v := range s.Values {
			out[int64(math.Round(v[0].(float64)*1000))] = v[1].(string)
		}
	}
	return out
}

const backfillRules = `
groups:
  - name: past
    interval: 1m
    rules:
      - record: x:sum
        expr: sum(x)
        labels: {made: here}
      - record: x:twice
        expr: 2 * x:sum
      - alert: TooMuch
        expr: x > 3
  - name: slower
    interval: 5m
    query_offset: 1m
    rules:
      - record: x:later
        expr: x:twice{made="here"} + 1
`

// A node with samples of hours ago is given what rules would have come to.
func TestBackfill(t *testing.T) {
	dir := t.TempDir()
	p := serving(t, filepath.Join(dir, "data"))
	end := time.Now().Truncate(time.Hour)
	start := end.Add(-3 * time.Hour)
	var text strings.Builder
	for at := start; !at.After(end); at = at.Add(15 * time.Second) {
		if at.Sub(start) < time.Hour || at.Sub(start) > 2*time.Hour { // An hour is missing.
			fmt.Fprintf(&text, "x{i=\"a\"} 1 %d\nx{i=\"b\"} 2 %d\n", at.UnixMilli(), at.UnixMilli())
		}
	}
	samples, path := filepath.Join(dir, "x.prom"), filepath.Join(dir, "past.yml")
	require.NoError(t, os.WriteFile(samples, []byte(text.String()), 0o600))
	require.NoError(t, os.WriteFile(path, []byte(backfillRules), 0o600))
	code, _, errOut := do("import", "--url="+p.url, samples)
	require.Equal(t, 0, code, errOut)

	args := []string{
		"rules", "backfill", "--url=" + p.url, "--namespace=site", "--window=50m",
		fmt.Sprint("--start=", start.Unix()), fmt.Sprint("--end=", end.Unix()), path,
	}
	code, out, errOut := do(args...)
	require.Equal(t, 0, code, errOut)
	require.Equal(t, "barograph: note: "+path+": the alerting rule TooMuch is left out\n", errOut)
	require.Regexp(t, regexp.MustCompile(`^wrote \d+ samples of 396 evaluations in `), out)

	groups, err := readRuleFile(path, "site")
	require.NoError(t, err)
	held := func(g *rules.Group, selector, want string) {
		t.Helper()
		got := p.seriesOf(t, selector, end, "4h")
		require.NotEmpty(t, got)
		for at := g.Next(start.UnixMilli() - 1); at < end.UnixMilli(); at += g.Interval.Milliseconds() {
			looks := at - g.QueryOffset.Milliseconds()
			since := time.UnixMilli(looks).Sub(start)
			v, there := got[looks]
			delete(got, looks)
			switch { // For 5 minutes the last samples count still.
			case since >= 0 && since < time.Hour || since > 2*time.Hour+g.Interval:
				require.Equal(t, want, v, since)
			case since > time.Hour+6*time.Minute && since < 2*time.Hour:
				require.False(t, there, since)
			}
		}
		require.Empty(t, got, "no other timestamps")
	}
	held(groups[0], "x:sum", "3")
	held(groups[0], "x:twice", "6")
	held(groups[1], "x:later", "7")
	gone := p.get("/api/v1/query?" + url.Values{"query": {"x:sum"}, "time": {fmt.Sprint(start.Add(67 * time.Minute).Unix())}}.Encode())
	require.Contains(t, gone, `"result":[]`, "where it ended it is marked stale")

	code, again, errOut := do(args...)
	require.Equal(t, 0, code, errOut)
	require.Equal(t, strings.Fields(out)[1], strings.Fields(again)[1], "the same samples once more")
	held(groups[0], "x:sum", "3")
}

func TestBackfillFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "past.yml")
	require.NoError(t, os.WriteFile(path, []byte(backfillRules), 0o600))
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--start=5", "--end=5"}, "--start is not before --end"},
		{[]string{"--start=soon"}, `--start: "soon" is neither`},
		{[]string{"--start=5", "--window=1ms"}, "--window is below 1s"},
		{[]string{"--start=5", "--step=0"}, `--step: "0" is not a duration`},
	} {
		code, _, errOut := do(append(append([]string{"rules", "backfill"}, tc.args...), path)...)
		require.Equal(t, 1, code)
		require.Contains(t, errOut, tc.want)
	}

	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/api/v1/write" || asked.Add(1) <= 2 {
			_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
			return
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"status":"error","errorType":"execution","error":"no more"}`)
	}))
	defer func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	}()
	code, _, errOut := do("rules", "backfill", "--url="+server.URL, "--start=0", "--end=7200", "--step=1m", "--window=1h", path)
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "barograph: backfill: group slower, rule x:later: query: execution: no more; go on with --start=1970-01-01T00:00:00Z\n")
}

func TestTryAgain(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	n, err := newRulesNode(&target{url: server.URL})
	require.NoError(t, err)
	n.wait = time.Millisecond
	one := []prompb.TimeSeries{{Samples: []prompb.Sample{{Value: 1}}}}
	require.NoError(t, n.write(t.Context(), one))
	require.Equal(t, int64(3), asked.Load())
	n.writeURL += "\x00"
	require.Error(t, n.write(t.Context(), one))
	n.client.CloseIdleConnections()
}

func TestPastSeries(t *testing.T) {
	groups, err := rules.File([]byte("groups: [{name: g, rules: [{record: r, expr: x, labels: {l: v}}]}]"), rules.Options{})
	require.NoError(t, err)
	g, err := rules.Parse("", groups[0], rules.Options{})
	require.NoError(t, err)
	r := &pastRule{Rule: &g.Rules[0]}
	points := func(ts ...int64) (out []model.SamplePair) {
		for _, t := range ts {
			out = append(out, model.SamplePair{Timestamp: model.Time(t), Value: 1})
		}
		return out
	}
	show := func(all []prompb.TimeSeries) map[string]string {
		out := map[string]string{}
		for _, s := range all {
			var name strings.Builder
			for _, l := range s.Labels {
				name.WriteString(l.Name + "=" + l.Value + " ")
			}
			for _, p := range s.Samples {
				mark := ""
				if value.IsStaleNaN(p.Value) {
					mark = "!"
				}
				out[name.String()] += fmt.Sprint(p.Timestamp, mark, " ")
			}
		}
		return out
	}
	out, err := r.series(window{10, 50, 10}, model.Matrix{
		{Metric: model.Metric{"i": "whole"}, Values: points(10, 20, 30, 40, 50)},
		{Metric: model.Metric{"i": "gap"}, Values: points(10, 40, 50)},
		{Metric: model.Metric{"i": "early"}, Values: points(10, 20)},
	}, 3)
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"__name__=r i=whole l=v ": "10 20 30 40 50 ", "__name__=r i=gap l=v ": "10 20! 40 50 ", "__name__=r i=early l=v ": "10 20 30! ",
	}, show(out))
	out, err = r.series(window{60, 80, 10}, model.Matrix{{Metric: model.Metric{"i": "gap"}, Values: points(70, 80)}}, 0)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"__name__=r i=whole l=v ": "60! ", "__name__=r i=gap l=v ": "60! 70 80 "}, show(out))
	out, err = r.series(window{90, 90, 10}, model.Matrix{{Metric: model.Metric{"i": "gap"}, Values: points(90)}}, 0)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"__name__=r i=gap l=v ": "90 "}, show(out))

	_, err = r.series(window{10, 10, 10}, model.Matrix{
		{Metric: model.Metric{"l": "1"}, Values: points(10)}, {Metric: model.Metric{"l": "2"}, Values: points(10)},
	}, 0)
	require.ErrorContains(t, err, "come to the same labels")
	_, err = r.series(window{10, 10, 10}, model.Matrix{
		{Metric: model.Metric{"i": "1"}, Values: points(10)}, {Metric: model.Metric{"i": "2"}, Values: points(10)},
	}, 1)
	require.ErrorContains(t, err, "exceeded limit of 1")
	_, err = r.series(window{10, 10, 10}, model.Matrix{{Histograms: []model.SampleHistogramPair{{}}}}, 0)
	require.ErrorIs(t, err, errHistograms)
}
