package queriertest_test

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/queriertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPrometheusScripts runs all of Prometheus' own test scripts, with the engine set up as
// Prometheus sets up its own for them.
func TestPrometheusScripts(t *testing.T) {
	e, err := querier.New(&queriertest.Mem{}, querier.Options{
		Features: []string{
			"promql-experimental-functions,promql-binop-fill-modifiers",
			"promql-unquoted-utf8-names", "promql-delayed-name-removal", "use-start-timestamps",
		},
		Timeout:    100 * time.Second,
		MaxSamples: promqltest.DefaultMaxSamplesPerQuery,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	promqltest.RunBuiltinTestsWithStorage(t, e, func(tb testing.TB) promstorage.Storage {
		store := &queriertest.Mem{}
		return queriertest.NewStorage(tb, store, store.Write)
	})
}
