package storage

import (
	"context"
	"flag"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// thorough is for a run at night: go test ./storage -thorough -timeout 1h.
var thorough = flag.Bool("thorough", false, "try every crash and every seed, not a sample of them")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSlot = int64(7_200_000)

// longAgo is the start of a slot, far enough in the past for Maintain to flush it by any clock.
const longAgo = 1_699_999_200_000 / testSlot * testSlot

// century as a retention keeps what the tests write to longAgo.
const century = 100 * 365 * 24 * time.Hour

// running is an open DB that does in the background what Run does, but for Maintain: that is the
// test's to call.
type running struct {
	*DB
	stop func()
}

func run(t testing.TB, fs vfs.FS, opts Options) *running {
	t.Helper()
	opts.FS = fs
	db, err := Open("data", opts)
	require.NoError(t, err)
	r := start(db)
	t.Cleanup(r.stop)
	return r
}

func start(db *DB) *running {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = db.wal.Run(ctx) })
	wg.Go(func() { _ = db.every(ctx, spaceInterval, db.checkSpace) })
	return &running{DB: db, stop: sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		_ = db.Close()
	})}
}

// define returns the references of the series m{i="0"} to m{i="n-1"}.
func define(t testing.TB, db *DB, n int) []series.Ref {
	t.Helper()
	sets := make([]series.Labels, n)
	for i := range sets {
		sets[i] = series.FromStrings("__name__", "m", "i", fmt.Sprint(i))
	}
	refs, err := db.Refs(context.Background(), nil, sets)
	require.NoError(t, err)
	return refs
}

// row is one sample, at t and of value v, for each of refs.
func row(refs []series.Ref, t int64, v float64) *frame.Frame {
	f := &frame.Frame{Refs: refs}
	for range refs {
		f.Times, f.Values = append(f.Times, t), append(f.Values, v)
	}
	return f
}

func put(t testing.TB, db *DB, f *frame.Frame) {
	t.Helper()
	rejected, err := db.Append(context.Background(), f)
	require.NoError(t, err)
	require.Empty(t, rejected)
}

// written is what one series holds: time to bits.
type written map[int64]uint64

func equal(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

func readAll(t testing.TB, db *DB) map[string]written {
	t.Helper()
	out, err := read(db, math.MinInt64, math.MaxInt64, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	require.NoError(t, err)
	return out
}

// read returns the float samples of a selection by label bytes. Times must ascend.
func read(db *DB, mint, maxt int64, ms ...*labels.Matcher) (map[string]written, error) {
	set, err := db.Select(context.Background(), series.Selector{Mint: mint, Maxt: maxt, Matchers: ms})
	if err != nil {
		return nil, err
	}
	out := map[string]written{}
	for set.Next() {
		s := set.At()
		w := written{}
		it := chunk.NewIterator(s.Chunks)
		last := int64(math.MinInt64)
		for it.Next() != 0 {
			ts, v := it.At()
			if ts <= last && len(w) > 0 {
				return nil, fmt.Errorf("%s: time %d follows %d", s.Labels, ts, last)
			}
			if last = ts; mint <= ts && ts <= maxt {
				w[ts] = math.Float64bits(v)
			}
		}
		if it.Err() != nil {
			return nil, it.Err()
		}
		if len(w) > 0 {
			out[string(s.Labels)] = w
		}
	}
	if err := set.Err(); err != nil {
		return nil, err
	}
	return out, set.Close()
}
