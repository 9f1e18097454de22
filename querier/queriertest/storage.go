package queriertest

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promstorage "github.com/prometheus/prometheus/storage"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/storage/series"
)

// Write puts samples into a store.
type Write func(ctx context.Context, samples []Sample) error

// NewStorage returns a promstorage.Storage that writes by write and reads store through an Engine.
// What is written is to be readable from the store when write returns.
func NewStorage(tb testing.TB, store leaf.Store, write Write) promstorage.Storage {
	tb.Helper()
	e, err := querier.New(store, querier.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return NewEngineStorage(e, write)
}

// NewEngineStorage is NewStorage for an engine, which it closes.
func NewEngineStorage(e *querier.Engine, write Write) promstorage.Storage {
	return &storage{SampleAndChunkQueryable: e.Queryable(), engine: e, write: write}
}

// Columnar returns the engine, for storages of NewStorage. It sees their own queryable through what
// is wrapped around it for tests, so that queries are evaluated over columns where they can be.
func Columnar(e *querier.Engine) promql.QueryEngine { return columnar{e} }

type columnar struct{ engine *querier.Engine }

func (c columnar) NewInstantQuery(ctx context.Context, q promstorage.Queryable, opts promql.QueryOpts,
	expr string, t time.Time,
) (promql.Query, error) {
	return c.engine.NewInstantQuery(ctx, unwrap(q), opts, expr, t)
}

func (c columnar) NewRangeQuery(ctx context.Context, q promstorage.Queryable, opts promql.QueryOpts,
	expr string, start, end time.Time, step time.Duration,
) (promql.Query, error) {
	return c.engine.NewRangeQuery(ctx, unwrap(q), opts, expr, start, end, step)
}

func unwrap(q promstorage.Queryable) promstorage.Queryable {
	if s, ok := q.(*storage); ok {
		return s.SampleAndChunkQueryable
	}
	return q
}

type storage struct {
	promstorage.SampleAndChunkQueryable
	engine *querier.Engine
	write  Write
}

// AppenderV2 collects samples and writes them on Commit.
func (s *storage) AppenderV2(ctx context.Context) promstorage.AppenderV2 {
	return &appender{ctx: ctx, write: s.write}
}

// Appender panics: what scripts append goes by AppenderV2.
func (s *storage) Appender(context.Context) promstorage.Appender {
	panic("queriertest: use AppenderV2")
}

// StartTime is the beginning of time.
func (s *storage) StartTime() (int64, error) { return 0, nil }

// Close ends the engine; the store is the caller's.
func (s *storage) Close() error { return s.engine.Close() }

type appender struct {
	ctx     context.Context
	write   Write
	samples []Sample
}

func (a *appender) Append(_ promstorage.SeriesRef, ls labels.Labels, st, t int64, v float64,
	h *histogram.Histogram, fh *histogram.FloatHistogram, _ promstorage.AppendV2Options,
) (promstorage.SeriesRef, error) {
	s := Sample{Labels: series.FromLabels(nil, ls), Sample: series.Sample{T: t, ST: st, V: v}}
	switch {
	case h != nil:
		s.H = h.Copy()
	case fh != nil:
		s.FH = fh.Copy()
	}
	a.samples = append(a.samples, s)
	return 0, nil
}

func (a *appender) Commit() error { return a.write(a.ctx, a.samples) }

func (a *appender) Rollback() error {
	a.samples = nil
	return nil
}
