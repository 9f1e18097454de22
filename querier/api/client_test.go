package api_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	promapi "github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/api"
)

func stats(_ context.Context, limit int) (api.TSDBStats, error) {
	return api.TSDBStats{
		HeadStats:               api.HeadStats{NumSeries: 6, NumLabelPairs: 9, ChunkCount: 6, MinTime: 0, MaxTime: 120_000},
		SeriesCountByMetricName: []api.Ranked{{Name: "requests_total", Value: 2}, {Name: "odd", Value: 1}}[:min(limit, 2)],
	}, nil
}

func blocks(context.Context) ([]api.Block, error) {
	return []api.Block{{
		ULID: "01JGKZ0000000000000000000A", MinTime: 0, MaxTime: 7_200_000, Version: 1,
		Stats:      api.BlockStats{NumSamples: 10, NumSeries: 2, NumChunks: 2},
		Compaction: api.BlockCompaction{Level: 1, Sources: []string{"01JGKZ0000000000000000000A"}},
	}}, nil
}

// TestClient calls every method of the official Go client, so that none can be forgotten when it
// gets more.
func TestClient(t *testing.T) {
	s := serve(t, fixture(t), func(o *api.Options) { scraped(o); described(o) })
	for _, prefix := range []string{"", "/prometheus"} {
		c, err := promapi.NewClient(promapi.Config{Address: s.URL + prefix, Client: s.Client()})
		require.NoError(t, err)
		client, ctx := v1.NewAPI(c), t.Context()
		calls := clientCalls(ctx, client)
		methods := reflect.TypeFor[v1.API]()
		for i := range methods.NumMethod() {
			name := methods.Method(i).Name
			t.Run(prefix+name, func(t *testing.T) {
				call := calls[name]
				require.NotNil(t, call, "no call of %s", name)
				call(t)
			})
		}
	}
}

func clientCalls(ctx context.Context, c v1.API) map[string]func(*testing.T) {
	start, end := time.Unix(0, 0), time.Unix(120, 0)
	return map[string]func(*testing.T){
		"Alerts": func(t *testing.T) {
			r, err := c.Alerts(ctx)
			require.NoError(t, err)
			require.Len(t, r.Alerts, 1)
			require.Equal(t, v1.AlertStateFiring, r.Alerts[0].State)
		},
		"AlertManagers": func(t *testing.T) {
			r, err := c.AlertManagers(ctx)
			require.NoError(t, err)
			require.Equal(t, "http://am:9093/api/v2/alerts", r.Active[0].URL)
			require.Len(t, r.Dropped, 1)
		},
		"CleanTombstones": func(t *testing.T) { require.NoError(t, c.CleanTombstones(ctx)) },
		"Config": func(t *testing.T) {
			r, err := c.Config(ctx)
			require.NoError(t, err)
			require.Contains(t, r.YAML, "scrape_interval")
		},
		"DeleteSeries": func(t *testing.T) {
			require.NoError(t, c.DeleteSeries(ctx, []string{"up"}, start, end))
		},
		"Flags": func(t *testing.T) {
			r, err := c.Flags(ctx)
			require.NoError(t, err)
			require.Equal(t, ":11013", r["web.listen-address"])
		},
		"LabelNames": func(t *testing.T) {
			r, w, _, err := c.LabelNames(ctx, []string{"requests_total", "odd"}, start, end, v1.WithLimit(2))
			require.NoError(t, err)
			require.Equal(t, model.LabelNames{"__name__", "instance"}, r)
			require.Equal(t, v1.Warnings{"results truncated due to limit"}, w)
		},
		"LabelValues": func(t *testing.T) {
			r, _, _, err := c.LabelValues(ctx, "instance", []string{"requests_total"}, start, end)
			require.NoError(t, err)
			require.Equal(t, model.LabelValues{"a", "b"}, r)
			r, _, _, err = c.LabelValues(ctx, "héllo.wörld", nil, time.Time{}, time.Time{})
			require.NoError(t, err)
			require.Equal(t, model.LabelValues{"ja"}, r)
		},
		"Query": func(t *testing.T) {
			r, _, _, err := c.Query(ctx, `sum(requests_total)`, time.Unix(60, 0), v1.WithTimeout(time.Second), v1.WithStats("all"), v1.WithLookbackDelta(time.Minute))
			require.NoError(t, err)
			require.Equal(t, model.SampleValue(22), r.(model.Vector)[0].Value)
			_, _, _, err = c.Query(ctx, `sum(`, end)
			var refused *v1.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, v1.ErrBadData, refused.Type)
		},
		"QueryRange": func(t *testing.T) {
			r, _, _, err := c.QueryRange(ctx, `latency_seconds`, v1.Range{Start: start, End: end, Step: 30 * time.Second})
			require.NoError(t, err)
			require.Len(t, r.(model.Matrix)[0].Histograms, 5)
		},
		"QueryExemplars": func(t *testing.T) {
			r, err := c.QueryExemplars(ctx, `requests_total`, start, end)
			require.NoError(t, err)
			require.Len(t, r[0].Exemplars, 2)
			require.Equal(t, model.Time(1500), r[0].Exemplars[0].Timestamp)
		},
		"Buildinfo": func(t *testing.T) {
			r, err := c.Buildinfo(ctx)
			require.NoError(t, err)
			require.Equal(t, "1.0.0", r.Version)
		},
		"Runtimeinfo": func(t *testing.T) {
			r, err := c.Runtimeinfo(ctx)
			require.NoError(t, err)
			require.Equal(t, "30d", r.StorageRetention)
		},
		"Series": func(t *testing.T) {
			r, _, _, err := c.Series(ctx, []string{"requests_total", `{instance="a"}`}, start, end)
			require.NoError(t, err)
			require.Len(t, r, 2)
		},
		"Snapshot": func(t *testing.T) {
			r, err := c.Snapshot(ctx, true)
			require.NoError(t, err)
			require.Equal(t, "20260101T000000Z-skipped", r.Name)
		},
		"Rules": func(t *testing.T) {
			r, err := c.Rules(ctx, []string{`{severity="page"}`})
			require.NoError(t, err)
			require.Len(t, r.Groups, 1)
			require.Len(t, r.Groups[0].Rules, 1)
		},
		"Targets": func(t *testing.T) {
			r, err := c.Targets(ctx)
			require.NoError(t, err)
			require.Len(t, r.Active, 1)
			require.Len(t, r.Dropped, 1)
		},
		"TargetsMetadata": func(t *testing.T) {
			r, err := c.TargetsMetadata(ctx, `{job="node"}`, "", "1")
			require.NoError(t, err)
			require.Equal(t, "node_load1", r[0].Metric)
		},
		"Metadata": func(t *testing.T) {
			r, err := c.Metadata(ctx, "requests_total", "")
			require.NoError(t, err)
			require.Equal(t, v1.MetricTypeCounter, r["requests_total"][0].Type)
		},
		"TSDB": func(t *testing.T) {
			r, err := c.TSDB(ctx, v1.WithLimit(1))
			require.NoError(t, err)
			require.Len(t, r.SeriesCountByMetricName, 1)
		},
		"TSDBBlocks": func(t *testing.T) {
			r, err := c.TSDBBlocks(ctx)
			require.NoError(t, err)
			require.Len(t, r.Blocks, 1)
		},
		"WalReplay": func(t *testing.T) {
			r, err := c.WalReplay(ctx)
			require.NoError(t, err)
			require.Equal(t, v1.WalReplayStatus{Min: 1, Max: 5, Current: 3}, r)
		},
		"FormatQuery": func(t *testing.T) {
			r, err := c.FormatQuery(ctx, "sum(up)by(job)")
			require.NoError(t, err)
			require.Equal(t, `"sum by (job) (up)"`, r, "the client hands out the JSON as it came")
		},
	}
}
