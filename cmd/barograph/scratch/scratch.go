package scratch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/ruler"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

// forever is such that nothing is ever too old, since samples may lie about 1970, and that nothing is
// moved out of the head by the clock: what a query finds then hangs on what was appended alone.
const forever = 200 * 365 * 24 * time.Hour

// DB is a database of its own. One goroutine uses it at a time, and closes it.
type DB struct {
	db     *storage.DB
	engine *querier.Engine
	last   map[string]ruler.Sample // by the series' label bytes
	stop   context.CancelFunc
	runs   sync.WaitGroup
}

// Open returns an empty one. subqueryStep is the step of subqueries that name none.
func Open(subqueryStep time.Duration) (*DB, error) {
	db, err := storage.Open("scratch", storage.Options{
		FS: vfs.NewMem(), WALSync: wal.Off, Retention: forever, Grace: forever, SealAfter: forever, CacheBytes: 8 << 20,
	})
	if err != nil {
		return nil, err
	}
	engine, err := querier.New(db, querier.Options{SubqueryStep: func() time.Duration { return subqueryStep }})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	d := &DB{db: db, engine: engine, last: map[string]ruler.Sample{}, stop: stop}
	d.runs.Go(func() { _ = db.Run(ctx) })
	return d, nil
}

// Close lets go of all that was appended.
func (d *DB) Close() error {
	d.stop()
	d.runs.Wait()
	return errors.Join(d.engine.Close(), d.db.Close())
}

// Query evaluates an expression at a time, in milliseconds since 1970. A scalar is a vector of one.
func (d *DB) Query(ctx context.Context, expr string, at int64) (promql.Vector, error) {
	res, err := d.engine.Instant(ctx, expr, time.UnixMilli(at), querier.QueryOptions{})
	if err != nil {
		return nil, err
	}
	defer res.Close()
	switch v := res.Value.(type) {
	case promql.Vector:
		out := make(promql.Vector, len(v))
		for i, s := range v {
			out[i] = promql.Sample{Metric: s.Metric.Copy(), T: s.T, F: s.F, DropName: s.DropName}
			if s.H != nil {
				out[i].H = s.H.Copy()
			}
		}
		return out, nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	}
	return nil, errors.New("rule result is not a vector or scalar")
}

// Append writes samples. None of a call with an error is written that follows the one at fault.
func (d *DB) Append(ctx context.Context, samples []ruler.Sample) error {
	sets := make([]series.Labels, len(samples))
	for i, s := range samples {
		sets[i] = series.FromLabels(nil, s.Labels)
	}
	refs, err := d.db.Refs(ctx, nil, sets)
	if err != nil {
		return err
	}
	f := &frame.Frame{}
	var refused error
	for i, s := range samples {
		if refused = d.order(string(sets[i]), s); refused != nil {
			break
		}
		if s.Histogram != nil {
			f.Histograms = append(f.Histograms, frame.Histogram{Ref: refs[i], T: s.At, FH: s.Histogram.Copy()})
			continue
		}
		f.Refs, f.Times, f.Values = append(f.Refs, refs[i]), append(f.Times, s.At), append(f.Values, s.Value)
	}
	rejected, err := d.db.Append(ctx, f)
	if err == nil && len(rejected) > 0 {
		err = fmt.Errorf("%d samples are refused, reason %d", len(rejected), rejected[0].Reason)
	}
	return errors.Join(refused, err)
}

// order holds a sample against the last of its series.
func (d *DB) order(key string, s ruler.Sample) error {
	last, there := d.last[key]
	switch {
	case there && s.At < last.At:
		return fmt.Errorf("out of order sample: %s", s.Labels)
	case there && s.At == last.At && !same(s.Value, last.Value, s.Histogram, last.Histogram):
		return fmt.Errorf("duplicate sample for timestamp: %s", s.Labels)
	}
	d.last[key] = s
	return nil
}

func same(a, b float64, ha, hb *histogram.FloatHistogram) bool {
	if ha == nil && hb == nil {
		return math.Float64bits(a) == math.Float64bits(b)
	}
	return ha != nil && hb != nil && ha.Equals(hb)
}
