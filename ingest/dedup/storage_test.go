package dedup

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/intake"
	"github.com/barograph-db/barograph/ingest/limit"
	"github.com/barograph-db/barograph/ingest/remotewrite"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/series"
)

// server is a node's write path over a real storage.
type server struct {
	t       *testing.T
	db      *storage.DB
	handler http.Handler
}

func newServer(t *testing.T) *server {
	t.Helper()
	db, err := storage.Open("data", storage.Options{FS: vfs.NewMem()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := db.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		require.NoError(t, db.Close())
	})
	reg := prometheus.NewPedanticRegistry()
	table := NewTable()
	file, err := OpenFile(t.TempDir(), table, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	e, err := New(table, Options{Propose: file.Propose, Registerer: reg})
	require.NoError(t, err)
	limits, err := limit.New(limit.Options{}, reg)
	require.NoError(t, err)
	w, err := ingest.NewWriter(db, ingest.Options{Elector: e, Guard: limits, Registerer: reg})
	require.NoError(t, err)
	return &server{t: t, db: db, handler: remotewrite.New(limits.Over(w), intake.New(limits, reg))}
}

func (s *server) post(contentType string, body []byte) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(snappy.Encode(nil, body)))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Content-Encoding", "snappy")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// send1 sends a request of 1.0 in which each of the replicas has a sample of each of three series.
func (s *server) send1(t int64, replicas ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	req := &prompb.WriteRequest{}
	for _, r := range replicas {
		for _, name := range []string{"x", "y", "z"} {
			req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
				Labels:  []prompb.Label{{Name: "__name__", Value: name}, {Name: "__replica__", Value: r}, {Name: "cluster", Value: "p"}},
				Samples: []prompb.Sample{{Timestamp: t, Value: float64(t)}},
			})
		}
	}
	body, err := req.Marshal()
	require.NoError(s.t, err)
	return s.post("application/x-protobuf", body)
}

func (s *server) count() (samples int) {
	s.t.Helper()
	for _, name := range []string{"x", "y", "z"} {
		set, err := series.FromPairs(nil, pairs("__name__", name, "cluster", "p"))
		require.NoError(s.t, err)
		if s.db.Find(nil, []series.Labels{set})[0] != 0 {
			samples++
		}
	}
	require.Equal(s.t, samples, s.db.Active(), "no series but those without the replica's label")
	return samples
}

func TestRemoteWriteOfAPair(t *testing.T) {
	s := newServer(t)
	now := time.Now().UnixMilli()
	for i := range int64(3) {
		require.Equal(t, http.StatusNoContent, s.send1(now+i*1000, "a").Code)
		require.Equal(t, http.StatusNoContent, s.send1(now+i*1000+500, "b").Code, "a standby is answered with success")
		require.Equal(t, http.StatusNoContent, s.send1(now+i*1000+700, "b", "a").Code, "a relay sends for both")
	}
	require.Equal(t, 3, s.count())

	// What 2.0 is answered counts what the elected replica has stored.
	v2 := func(replica string) *httptest.ResponseRecorder {
		req := &writev2.Request{
			Symbols: []string{"", "__name__", "x", "__replica__", replica, "cluster", "p"},
			Timeseries: []writev2.TimeSeries{{
				LabelsRefs: []uint32{1, 2, 3, 4, 5, 6},
				Samples:    []writev2.Sample{{Timestamp: now + 9000, Value: 1}, {Timestamp: now + 9500, Value: 2}},
			}},
		}
		body, err := req.Marshal()
		require.NoError(t, err)
		return s.post("application/x-protobuf;proto=io.prometheus.write.v2.Request", body)
	}
	for _, replica := range []string{"a", "b"} {
		w := v2(replica)
		require.Equal(t, http.StatusNoContent, w.Code)
		require.Equal(t, "2", w.Header().Get("X-Prometheus-Remote-Write-Samples-Written"))
	}
}
