package querier

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/barograph-db/barograph/querier/cache"
	"github.com/barograph-db/barograph/querier/fanout"
	"github.com/barograph-db/barograph/storage/changes"
)

// cachedRange is a range query of which steps may be kept from before.
type cachedRange struct {
	engine *Engine
	text   string
	opts   QueryOptions
	ends   time.Time // when it has had its time
	key    cache.Key
	want   cache.Steps
	entry  *cache.Entry // as it was kept; it has no steps if nothing was
}

// cacheable returns nil where the query is to be computed as a whole.
func (e *Engine) cacheable(ctx context.Context, text string, w Window, opts QueryOptions) *cachedRange {
	if e.results == nil {
		return nil
	}
	a := &cachedRange{engine: e, text: text, opts: opts}
	if opts.NoCache || opts.Explain || opts.PerStepStats || !a.place(w) || !a.open(ctx) {
		e.results.Count(cache.Uncacheable)
		return nil
	}
	timeout := e.opts.Timeout
	if opts.Timeout > 0 {
		timeout = min(timeout, opts.Timeout)
	}
	a.ends = time.Now().Add(timeout)
	return a
}

// place finds the key and its steps. Functions notice being asked for a single step, so that is not
// kept for other windows.
func (a *cachedRange) place(w Window) bool {
	if w.Step < time.Millisecond || w.Step%time.Millisecond != 0 || a.engine.checkWindow(w) != nil {
		return false
	}
	step, start, end := w.Step.Milliseconds(), w.Start.UnixMilli(), w.End.UnixMilli()
	const farthest = 1 << 53 // Times beyond are no dates.
	if start < -farthest || end > farthest || end-start < step {
		return false
	}
	o := &a.engine.opts
	lookback := o.LookbackDelta
	if a.opts.LookbackDelta > 0 {
		lookback = a.opts.LookbackDelta
	}
	a.key = cache.Key{
		Text: a.text, Step: step, Phase: (start%step + step) % step, Lookback: lookback.Milliseconds(),
		SubqueryStep: a.engine.subqueryStep().Milliseconds(), StartTimes: o.has(featureStartTimes),
	}
	if a.opts.UseStartTimestamps != nil {
		a.key.StartTimes = *a.opts.UseStartTimestamps
	}
	a.want = cache.Steps{First: a.key.Number(start), Last: a.key.Number(end)}
	return true
}

// open gets what is kept, or finds out whether anything may be.
func (a *cachedRange) open(ctx context.Context) bool {
	if a.entry = a.engine.results.Get(a.key); a.entry != nil {
		return true
	}
	expr, err := a.engine.ParseExpr(ctx, a.text)
	if err != nil {
		return false
	}
	reach, ok := cache.Analyse(expr, cache.Durations{Lookback: a.key.Lookback, SubqueryStep: a.key.SubqueryStep})
	a.entry = &cache.Entry{Reach: reach}
	return ok
}

// run answers from what is kept and is still true, and computes the rest.
func (a *cachedRange) run(ctx context.Context) (*Result, error) {
	e := a.engine
	now, changed, ok := e.moments(ctx, a.entry.Stamps)
	if !ok {
		e.results.Count(cache.Unknown)
		return a.compute(ctx, a.want)
	}
	if a.entry.Stamps.View != now.View {
		changed = []changes.Span{changes.All()}
	}
	entry, gone := a.entry.Current(&a.key, changed, now)
	missing := entry.Missing(a.want)
	computed := int64(0)
	for _, steps := range missing {
		computed += steps.Len()
	}
	e.results.CountSteps(a.want.Len()-computed, computed, gone)
	switch computed {
	case 0:
		e.results.Count(cache.Hit)
	case a.want.Len():
		e.results.Count(cache.Miss)
		return a.first(ctx, entry)
	default:
		e.results.Count(cache.Partial)
	}
	return a.rest(ctx, entry, missing)
}

// compute evaluates some steps, in the time that is left.
func (a *cachedRange) compute(ctx context.Context, steps cache.Steps) (*Result, error) {
	opts := a.opts
	opts.Timeout = max(time.Until(a.ends), time.Millisecond)
	w := Window{
		Start: time.UnixMilli(a.key.Time(steps.First)), End: time.UnixMilli(a.key.Time(steps.Last)),
		Step: time.Duration(a.key.Step) * time.Millisecond,
	}
	return a.engine.compute(ctx, a.text, w, opts)
}

// first computes all steps and keeps a copy.
func (a *cachedRange) first(ctx context.Context, entry *cache.Entry) (*Result, error) {
	res, err := a.compute(ctx, a.want)
	if err != nil {
		return nil, err
	}
	if resultBytes(res.Value)/2 <= a.engine.results.Most() { // Columns take half of what points do.
		a.keep(ctx, entry, []cache.Computed{result(a.want, res)})
	}
	return res, nil
}

func result(steps cache.Steps, res *Result) cache.Computed {
	matrix, _ := res.Value.(promql.Matrix)
	return cache.Computed{Steps: steps, Matrix: matrix, Notes: res.Warnings}
}

// keep keeps what was computed beside what was there, unless some of it is missing, and returns all.
func (a *cachedRange) keep(ctx context.Context, entry *cache.Entry, computed []cache.Computed) *cache.Entry {
	entry = entry.With(&a.key, a.want, computed...)
	counts := slices.ContainsFunc(computed, func(c cache.Computed) bool { return countsSteps(c.Notes) })
	if !counts && !fanout.Incomplete(ctx) {
		a.engine.results.Put(a.key, entry)
	}
	return entry
}

// countsSteps reports whether a note tells of how many steps it is, and which. That of two parts of a
// window is not that of the whole.
func countsSteps(notes annotations.Annotations) bool {
	for _, n := range notes {
		if errors.Is(n, annotations.HistogramQuantileForcedMonotonicityInfo) {
			return true
		}
	}
	return false
}

// rest computes what is missing, and puts the answer together.
func (a *cachedRange) rest(ctx context.Context, entry *cache.Entry, missing []cache.Steps) (_ *Result, err error) {
	account := a.engine.memory.account(a.engine.opts.MaxQueryBytes)
	var parts []*Result
	defer func() {
		for _, p := range parts {
			p.Close()
		}
		if err != nil {
			account.Close()
		}
	}()
	var computed []cache.Computed
	for _, steps := range missing {
		part, err := a.compute(ctx, steps)
		if err != nil {
			return nil, err
		}
		parts, computed = append(parts, part), append(computed, result(steps, part))
		if err := account.Take(resultBytes(part.Value), "a part of it that was computed"); err != nil {
			return nil, err
		}
	}
	entry = a.keep(ctx, entry, computed)
	matrix, notes, err := entry.Matrix(&a.key, a.want, func(n int64) error {
		return account.Take(n, "its result")
	})
	if err != nil {
		return nil, err
	}
	if err := account.settle(resultBytes(matrix), "its result"); err != nil {
		return nil, err
	}
	return &Result{Value: matrix, Warnings: notes, Stats: sumStats(parts), close: account.Close}, nil
}

// sumStats are those of what was computed.
func sumStats(parts []*Result) *stats.Statistics {
	sum := &stats.Statistics{Timers: stats.NewQueryTimers(), Samples: stats.NewQuerySamples(false)}
	for i, p := range slices.Backward(parts) {
		if i == len(parts)-1 {
			sum = p.Stats
			continue
		}
		sum.Samples.TotalSamples += p.Stats.Samples.TotalSamples
		sum.Samples.SamplesRead += p.Stats.Samples.SamplesRead
		sum.Samples.TotalSeries += p.Stats.Samples.TotalSeries
		sum.Samples.PeakSamples = max(sum.Samples.PeakSamples, p.Stats.Samples.PeakSamples)
	}
	return sum
}
