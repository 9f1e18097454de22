package e2e

import (
	"context"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// Every method of Prometheus' own Go client works against a node that has nothing but its own
// metrics.
func TestPrometheusClient(t *testing.T) {
	addr := freeAddr(t)
	barograph(t, filepath.Join(t.TempDir(), "data"), addr, "--web.enable-admin-api")
	a := newAPI(t, addr)
	ctx := context.Background()
	begin := time.Now()
	eventually(t, 30*time.Second, "own metrics", func() bool {
		v, _, _, err := a.Query(ctx, `up{job="barograph"}`, time.Now())
		return err == nil && len(v.(model.Vector)) == 1
	})
	from, to := begin.Add(-time.Minute), time.Now().Add(time.Minute)
	match := []string{`up`}
	calls := map[string]func(t *testing.T) error{
		"Alerts": func(*testing.T) error { _, err := a.Alerts(ctx); return err },
		"AlertManagers": func(*testing.T) error {
			_, err := a.AlertManagers(ctx)
			return err
		},
		"CleanTombstones": func(*testing.T) error { return a.CleanTombstones(ctx) },
		"Config":          func(*testing.T) error { _, err := a.Config(ctx); return err },
		"DeleteSeries": func(*testing.T) error {
			return a.DeleteSeries(ctx, []string{`nothing_of_that_name`}, from, to)
		},
		"Flags": func(t *testing.T) error {
			flags, err := a.Flags(ctx)
			require.Equal(t, addr, flags["web.listen-address"])
			return err
		},
		"LabelNames": func(t *testing.T) error {
			names, _, _, err := a.LabelNames(ctx, match, from, to)
			require.Equal(t, model.LabelNames{"__name__", "instance", "job"}, names)
			return err
		},
		"LabelValues": func(t *testing.T) error {
			values, _, _, err := a.LabelValues(ctx, "job", match, from, to)
			require.Equal(t, model.LabelValues{"barograph"}, values)
			return err
		},
		"Query": func(t *testing.T) error {
			v, _, _, err := a.Query(ctx, `1+1`, time.Unix(4, 0))
			require.Equal(t, model.SampleValue(2), v.(*model.Scalar).Value)
			return err
		},
		"QueryRange": func(t *testing.T) error {
			v, _, _, err := a.QueryRange(ctx, `up`, promv1.Range{Start: from, End: to, Step: time.Second})
			require.Len(t, v.(model.Matrix), 1)
			return err
		},
		"QueryExemplars": func(*testing.T) error { _, err := a.QueryExemplars(ctx, `up`, from, to); return err },
		"Buildinfo":      func(*testing.T) error { _, err := a.Buildinfo(ctx); return err },
		"Runtimeinfo":    func(*testing.T) error { _, err := a.Runtimeinfo(ctx); return err },
		"Series": func(t *testing.T) error {
			sets, _, _, err := a.Series(ctx, match, from, to)
			require.Len(t, sets, 1)
			return err
		},
		"Snapshot": func(t *testing.T) error {
			s, err := a.Snapshot(ctx, false)
			require.NotEmpty(t, s.Name)
			return err
		},
		"Rules": func(*testing.T) error { _, err := a.Rules(ctx, nil); return err },
		"Targets": func(t *testing.T) error {
			_, err := a.Targets(ctx)
			return err
		},
		"TargetsMetadata": func(*testing.T) error { _, err := a.TargetsMetadata(ctx, "", "", ""); return err },
		"Metadata": func(t *testing.T) error {
			m, err := a.Metadata(ctx, "barograph_build_info", "")
			require.Len(t, m["barograph_build_info"], 1)
			return err
		},
		"TSDB": func(t *testing.T) error {
			s, err := a.TSDB(ctx)
			require.Positive(t, s.HeadStats.NumSeries)
			return err
		},
		"TSDBBlocks":  func(*testing.T) error { _, err := a.TSDBBlocks(ctx); return err },
		"WalReplay":   func(*testing.T) error { _, err := a.WalReplay(ctx); return err },
		"FormatQuery": func(*testing.T) error { _, err := a.FormatQuery(ctx, `sum( up )`); return err },
	}
	methods := reflect.TypeFor[promv1.API]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		t.Run(name, func(t *testing.T) {
			call, ok := calls[name]
			require.True(t, ok, "the client has a method that is not tested")
			require.NoError(t, call(t))
		})
	}
}
