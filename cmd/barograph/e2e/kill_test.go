package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

// sender writes one group of series, one timestamp a request, and remembers what was acknowledged.
type sender struct {
	id    int
	acked []int64 // timestamps
}

const seriesPerSender = 50

func (s *sender) request(at int64) []byte {
	req := prompb.WriteRequest{}
	for i := range seriesPerSender {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels: []prompb.Label{
				{Name: "__name__", Value: "kill_test"}, {Name: "sender", Value: fmt.Sprint(s.id)}, {Name: "series", Value: fmt.Sprint(i)},
			},
			Samples: []prompb.Sample{{Timestamp: at, Value: float64(at + int64(i))}},
		})
	}
	return encodeWrite(&req)
}

func encodeWrite(req *prompb.WriteRequest) []byte {
	raw, err := req.Marshal()
	if err != nil {
		panic(err)
	}
	return snappy.Encode(nil, raw)
}

// run sends until a request fails.
func (s *sender) run(addr string, at int64) {
	for ; ; at++ {
		req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/api/v1/write", bytes.NewReader(s.request(at)))
		if err != nil {
			panic(err)
		}
		req.Header.Set("Content-Encoding", "snappy")
		req.Header.Set("Content-Type", "application/x-protobuf")
		resp, err := client.Do(req)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return
		}
		s.acked = append(s.acked, at)
	}
}

// A node killed under load, again and again, holds every sample it acknowledged.
func TestKillUnderLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	senders := make([]*sender, 4)
	for i := range senders {
		senders[i] = &sender{id: i}
	}
	begin := time.Now().Add(-30 * time.Minute).UnixMilli()
	at := begin
	for round := range 3 {
		addr := freeAddr(t)
		p := barograph(t, dir, addr)
		before := len(senders[0].acked)
		var wg sync.WaitGroup
		for _, s := range senders {
			wg.Go(func() { s.run(addr, at) })
		}
		a := newAPI(t, addr)
		eventually(t, time.Minute, fmt.Sprintf("round %d: some load", round), func() bool {
			v, _, _, err := a.Query(context.Background(), `max(timestamp(kill_test))`, time.UnixMilli(at+200_000))
			vec, ok := v.(model.Vector)
			return err == nil && ok && len(vec) == 1 && float64(vec[0].Value)*1000 > float64(at+150)
		})
		p.kill()
		wg.Wait()
		require.Greater(t, len(senders[0].acked), before)
		at += 100_000
	}
	addr := freeAddr(t)
	p := barograph(t, dir, addr)
	for _, s := range senders {
		checkAcked(t, newAPI(t, addr), s, begin, at)
	}
	require.Zero(t, p.terminate(), "SIGTERM must end the node with exit code 0")
}

func checkAcked(t *testing.T, a promv1.API, s *sender, from, to int64) {
	t.Helper()
	q := fmt.Sprintf(`kill_test{sender="%d"}[%dms]`, s.id, to-from+1)
	v, _, _, err := a.Query(context.Background(), q, time.UnixMilli(to))
	require.NoError(t, err)
	m, ok := v.(model.Matrix)
	require.True(t, ok)
	require.Len(t, m, seriesPerSender)
	for _, series := range m {
		have := map[int64]float64{}
		for _, p := range series.Values {
			require.NotContains(t, have, int64(p.Timestamp), "a sample is there twice")
			have[int64(p.Timestamp)] = float64(p.Value)
		}
		var i int64
		_, err := fmt.Sscan(string(series.Metric["series"]), &i)
		require.NoError(t, err)
		for _, ts := range s.acked {
			value, ok := have[ts]
			require.True(t, ok, "acknowledged sample of sender %d, series %d at %d is lost", s.id, i, ts)
			require.Equal(t, float64(ts+i), value)
		}
	}
}
