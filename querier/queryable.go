package querier

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/querier/merge"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// queryable is the way from Prometheus' interfaces to plan, fanout, leaf and merge.
type queryable struct {
	engine *Engine
	// account of the query that asks; nil gives each querier its own.
	account *Account
	// lookback of the query that asks; 0 when nothing is going to be evaluated.
	lookback time.Duration
	// computed are the parts of the query that are evaluated already, by the one matcher of the
	// selector in their place. It is the pointer that counts: no text of a query can ask for them.
	computed map[*labels.Matcher]*eval.Result
	// selected are the series of selectors that were read for a part of the query which could not be
	// computed. They are found as computed is, and handed out once.
	selected map[*labels.Matcher]*selected
	// weights of the query's selectors, found in the same way.
	weights map[*labels.Matcher]*weight
	// trace of what becomes of the query; nil if nobody wants to know.
	trace *explain.Trace
}

// Querier reads samples.
func (q *queryable) Querier(mint, maxt int64) (promstorage.Querier, error) {
	return &querier{q.labelQuerier(mint, maxt)}, nil
}

// ChunkQuerier reads chunks.
func (q *queryable) ChunkQuerier(mint, maxt int64) (promstorage.ChunkQuerier, error) {
	return &chunkQuerier{q.labelQuerier(mint, maxt)}, nil
}

func (q *queryable) labelQuerier(mint, maxt int64) *labelQuerier {
	l := &labelQuerier{queryable: *q, mint: mint, maxt: maxt}
	if l.account == nil {
		l.account, l.owner = q.engine.memory.account(q.engine.opts.MaxQueryBytes), true
	}
	return l
}

// labelQuerier is the common part of both kinds of queriers. As Prometheus asks for, one goroutine
// uses it at a time.
type labelQuerier struct {
	queryable
	owner      bool // of the account
	mint, maxt int64
	sets       []chunk.SeriesSet // to be closed
}

type querier struct{ *labelQuerier }

type chunkQuerier struct{ *labelQuerier }

// Select reads the series that match once the set is asked for the first.
func (q *querier) Select(ctx context.Context, sorted bool, hints *promstorage.SelectHints, ms ...*labels.Matcher) promstorage.SeriesSet {
	if len(ms) == 1 && q.computed[ms[0]] != nil {
		w, r := q.weight(ms), q.computed[ms[0]]
		return newComputedSet(r, func(s *eval.Series) error {
			steps := int64(r.Grid.Steps)
			return q.account.Take(w.of(len(s.Labels), steps, steps, pointBytes), "a part of it that was computed")
		})
	}
	return &lazySet{open: func() promstorage.SeriesSet {
		set, opts, err := q.read(ctx, sorted, hints, ms)
		if err != nil {
			return promstorage.ErrSeriesSet(err)
		}
		return merge.NewSeriesSet(ctx, set, opts)
	}}
}

// Select is querier.Select for chunks.
func (q *chunkQuerier) Select(ctx context.Context, sorted bool, hints *promstorage.SelectHints, ms ...*labels.Matcher) promstorage.ChunkSeriesSet {
	set, opts, err := q.read(ctx, sorted, hints, ms)
	if err != nil {
		return promstorage.ErrChunkSeriesSet(err)
	}
	return merge.NewChunkSeriesSet(set, opts)
}

// read plans a selection and carries it out.
func (q *labelQuerier) read(ctx context.Context, sorted bool, hints *promstorage.SelectHints, ms []*labels.Matcher) (chunk.SeriesSet, merge.Options, error) {
	if hints == nil {
		hints = &promstorage.SelectHints{Start: q.mint, End: q.maxt}
	}
	opts := merge.Options{Mint: hints.Start, Maxt: hints.End, WholeChunks: hints.DisableTrimming, Sorted: sorted}
	name := selectorText(ms)
	sel := series.Selector{
		Mint: hints.Start, Maxt: hints.End, Matchers: ms,
		SkipChunks: hints.Func == "series",
		Limit:      hints.Limit,
		Take:       func(n int64) error { return q.account.Take(n, name) },
	}
	if len(ms) > 0 && q.selected[ms[0]].covers(hints) {
		set := q.selected[ms[0]].set
		delete(q.selected, ms[0])
		q.sets = append(q.sets, set)
		opts.Hold = func(s chunk.Series) error { return q.hold(s, hints, ms, name) }
		return set, opts, nil
	}
	p := plan.Make(plan.Query{Matchers: ms, Mint: sel.Mint, Maxt: sel.Maxt}, q.engine.view())
	ctx, read := q.trace.Read(ctx, p, explain.Series)
	sets, err := q.engine.fanout.Select(ctx, p, sel)
	read.Settle(false, err)
	if err != nil {
		return nil, opts, q.engine.storageError(err)
	}
	set := merge.Sets(sets)
	q.sets = append(q.sets, set)
	opts.Hold = func(s chunk.Series) error { return q.hold(s, hints, ms, name) }
	return set, opts, nil
}

// hold counts a series before it is handed on, with all that it is going to be evaluated to.
func (q *labelQuerier) hold(s chunk.Series, hints *promstorage.SelectHints, ms []*labels.Matcher, selector string) error {
	if err := q.account.count(1, q.engine.opts.MaxSeries, selector); err != nil {
		return err
	}
	bytes, samples, size := 0, 0, int64(pointBytes)
	for _, c := range s.Chunks {
		bytes += len(c.Data)
		samples += c.Samples
		if isHistogram(c.Enc) {
			size = histogramBytes
		}
	}
	q.engine.metrics.series.Inc()
	q.engine.metrics.bytes.Add(float64(bytes))
	w := q.weight(ms)
	n, steps := points(s.Chunks, hints, q.lookback.Milliseconds()), int64(1)
	if hints.Step > 0 {
		steps = (hints.End-hints.Start)/hints.Step + 1
	}
	if w.raw {
		n = int64(samples)
	}
	return q.account.Take(w.of(len(s.Labels), n, steps, size), selector)
}

func isHistogram(e chunk.Encoding) bool {
	return e != chunk.XOR && e != chunk.XOR2 && e != chunk.Decimal
}

// weight is that of a selector, by its matchers.
func (q *queryable) weight(ms []*labels.Matcher) *weight {
	if len(ms) > 0 && q.weights[ms[0]] != nil {
		return q.weights[ms[0]]
	}
	return newWeight()
}

// points is at how many steps a series with these chunks has a value.
func points(chunks []chunk.Chunk, hints *promstorage.SelectHints, lookback int64) int64 {
	if lookback == 0 || len(chunks) == 0 {
		return 0
	}
	if hints.Step == 0 {
		return 1
	}
	mint, maxt := chunks[0].MinT, chunks[0].MaxT
	for _, c := range chunks {
		maxt = max(maxt, c.MaxT)
	}
	span := min(maxt+max(hints.Range, lookback), hints.End) - max(mint, hints.Start)
	return max(span, 0)/hints.Step + 1
}

// LabelValues of the series that match.
func (q *labelQuerier) LabelValues(ctx context.Context, name string, hints *promstorage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	p, sel := q.labelPlan(hints, ms)
	values, err := q.engine.fanout.LabelValues(ctx, p, name, sel)
	return q.limit(values, hints), nil, q.engine.storageError(err)
}

// LabelNames of the series that match.
func (q *labelQuerier) LabelNames(ctx context.Context, hints *promstorage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	p, sel := q.labelPlan(hints, ms)
	names, err := q.engine.fanout.LabelNames(ctx, p, sel)
	return q.limit(names, hints), nil, q.engine.storageError(err)
}

func (q *labelQuerier) labelPlan(hints *promstorage.LabelHints, ms []*labels.Matcher) (plan.Plan, series.Selector) {
	name := selectorText(ms)
	sel := series.Selector{
		Mint: q.mint, Maxt: q.maxt, Matchers: ms,
		Take: func(n int64) error { return q.account.Take(n, name) },
	}
	if hints != nil {
		sel.Limit = hints.Limit
	}
	return plan.Make(plan.Query{Matchers: ms, Mint: q.mint, Maxt: q.maxt}, q.engine.view()), sel
}

func (q *labelQuerier) limit(list []string, hints *promstorage.LabelHints) []string {
	if hints != nil && hints.Limit > 0 && len(list) > hints.Limit {
		return slices.Clip(list[:hints.Limit])
	}
	return list
}

// Close ends the life of what was selected.
func (q *labelQuerier) Close() error {
	var errs []error
	for _, s := range q.sets {
		errs = append(errs, s.Close())
	}
	q.sets = nil
	if q.owner {
		q.account.Close()
	}
	return errors.Join(errs...)
}

// storageError gives an error from below its kind.
func (e *Engine) storageError(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Err: err}
}

func selectorText(ms []*labels.Matcher) string {
	const longest = 512
	text := plan.Selector(ms)
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}

// lazySet is a set that is opened when it is first asked, so that a query reads one selector after
// the other and nothing that its evaluation never comes to.
type lazySet struct {
	open func() promstorage.SeriesSet
	set  promstorage.SeriesSet
}

func (s *lazySet) Next() bool {
	if s.set == nil {
		s.set = s.open()
	}
	return s.set.Next()
}

func (s *lazySet) At() promstorage.Series { return s.set.At() }

func (s *lazySet) Err() error {
	if s.set == nil {
		return nil
	}
	return s.set.Err()
}

func (s *lazySet) Warnings() annotations.Annotations {
	if s.set == nil {
		return nil
	}
	return s.set.Warnings()
}
