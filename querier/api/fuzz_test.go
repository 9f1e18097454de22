package api

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

func FuzzReadRequest(f *testing.F) {
	req := &prompb.ReadRequest{
		AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS},
		Queries: []*prompb.Query{{
			StartTimestampMs: 1, EndTimestampMs: 2, Hints: &prompb.ReadHints{Func: "rate", Grouping: []string{"a"}},
			Matchers: []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_RE, Name: "a", Value: "b"}},
		}},
	}
	plain, err := req.Marshal()
	require.NoError(f, err)
	f.Add(snappy.Encode(nil, plain))
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(snappy.Encode(nil, []byte{0x0a, 0, 0x0a, 0, 0x0b, 0x0c}))
	limits := readLimits{bytes: 1 << 20, selectors: 100}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := decodeRead(nil, body, limits)
		if err != nil {
			require.Equal(t, badData, classify(err))
			return
		}
		n := len(req.Queries)
		for _, q := range req.Queries {
			n += len(q.Matchers)
		}
		require.LessOrEqual(t, n, limits.selectors)
		_, _ = negotiate(req.AcceptedResponseTypes)
	})
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"1", "-1.5", "NaN", "1e300", "0x1p-2", "2026-01-02T03:04:05Z", minTimeText, maxTimeText, "9223372036854775"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseTime(s)
		if err != nil {
			return
		}
		require.False(t, at.Before(minTime.Add(-48*time.Hour)) && at.Year() > 0, "%s", at)
		if at.Year() >= 0 && at.Year() < 9999 {
			again, err := parseTime(at.Format(time.RFC3339Nano))
			require.NoError(t, err)
			require.True(t, again.Equal(at))
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"1", "5m", "-1", "NaN", "1e300", "9223372036.854775807", "1y2w"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if err == nil && d < 0 {
			require.GreaterOrEqual(t, d.Seconds(), -float64(math.MaxInt64)/1e9)
		}
	})
}

// FuzzParameters reads whole forms by every parser of parameters.
func FuzzParameters(f *testing.F) {
	f.Add("query=up&time=1&timeout=5s&limit=3&stats=all&lookback_delta=1m", "gzip;q=1")
	f.Add("start=0&end=NaN&step=1e-12&limit=-1&group_limit=1&group_next_token=x", "*;q=,")
	f.Add("a=%zz&;", "deflate, gzip")
	f.Fuzz(func(t *testing.T, form, accept string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req, err := newRequest(httptest.NewRecorder(), r, 1<<10)
		if err != nil {
			require.Equal(t, badData, classify(err))
			return
		}
		for _, read := range []func() error{
			func() error { _, err := req.limit(); return err },
			func() error { _, err := req.number("limit", 1); return err },
			func() error { _, err := req.time("time", time.Time{}); return err },
			func() error { _, _, err := req.bounds(); return err },
			func() error { _, err := req.queryOptions(); return err },
			func() error {
				w, err := req.window()
				if err == nil {
					require.GreaterOrEqual(t, w.Step, time.Millisecond)
					require.False(t, w.End.Before(w.Start))
				}
				return err
			},
		} {
			if err := read(); err != nil {
				require.Equal(t, badData, classify(err))
			}
		}
		acceptsGzip(accept)
	})
}
