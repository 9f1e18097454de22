package main

import (
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

func record2(t *testing.T, p plan) *recording {
	t.Helper()
	rec, err := record(t.TempDir(), p)
	require.NoError(t, err)
	t.Cleanup(func() { rec.file.Close() })
	return rec
}

// The requests must be what any receiver of remote write 1.0 decodes, in time order per series
// and connection.
func TestRecordingIsRemoteWrite(t *testing.T) {
	for _, perSeries := range []int{1, 7} {
		p := plan{
			series: 1200, rounds: 20, interval: 15_000, perSeries: perSeries, batch: 500, conns: 4,
			end: time.Now().UnixMilli(), seed: 3, churn: 8,
		}
		rec := record2(t, p)
		got := map[string]int64{}
		counted := map[string]int64{}
		last := map[string]int64{}
		conn := map[string]int32{}
		var samples int64
		for _, q := range rec.requests {
			body, err := rec.body(q, nil)
			require.NoError(t, err)
			require.NoError(t, countByInstance(counted, body))
			raw, err := snappy.Decode(nil, body)
			require.NoError(t, err)
			var req prompb.WriteRequest
			require.NoError(t, req.Unmarshal(raw))
			n := 0
			for _, ts := range req.Timeseries {
				name, instance := "", ""
				for i, l := range ts.Labels {
					if i > 0 {
						require.Less(t, ts.Labels[i-1].Name, l.Name)
					}
					name += l.Name + "=" + l.Value + ","
					if l.Name == "instance" {
						instance = l.Value
					}
				}
				if c, ok := conn[name]; ok {
					require.Equal(t, c, q.conn, name)
				}
				conn[name] = q.conn
				for _, s := range ts.Samples {
					require.Greater(t, s.Timestamp, last[name], name)
					last[name] = s.Timestamp
					require.LessOrEqual(t, s.Timestamp, p.end)
					n++
				}
				got[instance] += int64(len(ts.Samples))
			}
			require.Equal(t, q.samples, int32(n))
			samples += int64(n)
		}
		require.Equal(t, rec.samples, samples)
		require.Equal(t, int64(p.series*p.rounds), samples)
		require.Equal(t, rec.perSer, got)
		require.Equal(t, rec.perSer, counted)
		require.Equal(t, rec.series, int64(len(last)))
	}
}

func TestRecordingIsTheSameForTheSameSeed(t *testing.T) {
	p := plan{series: 600, rounds: 5, interval: 15_000, perSeries: 1, batch: 500, conns: 2, end: 1e12, seed: 9}
	a, b := record2(t, p), record2(t, p)
	require.Equal(t, a.requests, b.requests)
	for _, q := range a.requests {
		x, err := a.body(q, nil)
		require.NoError(t, err)
		y, err := b.body(q, nil)
		require.NoError(t, err)
		require.Equal(t, x, y)
	}
}

func TestDiffer(t *testing.T) {
	a := answer{"x": {1: 2, 2: 3}}
	require.Empty(t, differ(a, answer{"x": {1: 2, 2: 3 + 1e-10}}))
	require.NotEmpty(t, differ(a, answer{"x": {1: 2, 2: 3.1}}))
	require.NotEmpty(t, differ(a, answer{"x": {1: 2}}))
	require.NotEmpty(t, differ(a, answer{"y": {1: 2, 2: 3}}))
}

func TestLayouts(t *testing.T) {
	got, err := layouts("0x0,3x1,5x3")
	require.NoError(t, err)
	require.Equal(t, []layout{{0, 0}, {3, 1}, {5, 3}}, got)
	require.Equal(t, "a node on its own", got[0].String())
	require.Equal(t, "nodes: 5, replicas: 3", got[2].String())
	for _, bad := range []string{"", "3", "3x", "-1x1", "17x3", "3x1;3x3x"} {
		_, err := layouts(bad)
		require.Error(t, err, bad)
	}
}
