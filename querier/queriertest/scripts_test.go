package queriertest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/promql/promqltest"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runScripts runs all of Prometheus' own test scripts, with the engine set up as Prometheus sets
// up its own for them.
func runScripts(t *testing.T, newStorage func(testing.TB) promstorage.Storage) {
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
	promqltest.RunBuiltinTestsWithStorage(t, queriertest.Columnar(e), newStorage)
}

func TestScriptsInMemory(t *testing.T) {
	runScripts(t, func(tb testing.TB) promstorage.Storage {
		store := &queriertest.Mem{}
		return queriertest.NewStorage(tb, store, store.Write)
	})
}

func TestScriptsInHead(t *testing.T) {
	runScripts(t, func(tb testing.TB) promstorage.Storage {
		db := openDB(tb)
		return queriertest.NewStorage(tb, db, func(ctx context.Context, samples []queriertest.Sample) error {
			return write(ctx, db, samples)
		})
	})
}

// TestScriptsInParts flushes after each load, so that all of it is read from parts.
func TestScriptsInParts(t *testing.T) {
	runScripts(t, func(tb testing.TB) promstorage.Storage {
		db := openDB(tb)
		return queriertest.NewStorage(tb, db, func(ctx context.Context, samples []queriertest.Sample) error {
			if err := write(ctx, db, samples); err != nil {
				return err
			}
			return db.Flush(ctx)
		})
	})
}

// openDB opens a storage in memory that keeps samples from 1970 on.
func openDB(tb testing.TB) *storage.DB {
	db, err := storage.Open("data", storage.Options{
		FS: vfs.NewMem(), WALSync: wal.Off, Retention: 200 * 365 * 24 * time.Hour,
	})
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- db.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		require.NoError(tb, <-stopped)
		require.NoError(tb, db.Close())
	})
	return db
}

// write does what a writer does: references are looked up anew when the head has forgotten them
// meanwhile.
func write(ctx context.Context, db *storage.DB, samples []queriertest.Sample) error {
	rejected, err := tryWrite(ctx, db, samples)
	for err == nil && len(rejected) > 0 && rejected[0].Reason == frame.UnknownRef {
		rejected, err = tryWrite(ctx, db, samples)
	}
	if err == nil && len(rejected) > 0 {
		err = fmt.Errorf("%d samples rejected, the first: %+v", len(rejected), rejected[0])
	}
	return err
}

func tryWrite(ctx context.Context, db *storage.DB, samples []queriertest.Sample) ([]frame.Rejected, error) {
	sets := make([]series.Labels, len(samples))
	for i, s := range samples {
		sets[i] = s.Labels
	}
	refs, err := db.Refs(ctx, nil, sets)
	if err != nil {
		return nil, err
	}
	var f frame.Frame
	for i, s := range samples {
		if s.Kind() == series.Float {
			f.Refs, f.Times = append(f.Refs, refs[i]), append(f.Times, s.T)
			f.Values, f.Starts = append(f.Values, s.V), append(f.Starts, s.ST)
		} else {
			f.Histograms = append(f.Histograms, frame.Histogram{Ref: refs[i], T: s.T, ST: s.ST, H: s.H, FH: s.FH})
		}
	}
	return db.Append(ctx, &f)
}
