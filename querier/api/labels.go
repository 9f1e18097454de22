package api

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// checkEvery so many series the context is looked at.
const checkEvery = 128

func (a *API) series(r request) (answer, error) {
	if len(r.form["match[]"]) == 0 {
		return answer{}, fail(badData, errors.New("no match[] parameter provided"))
	}
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	mint, maxt, err := r.bounds()
	if err != nil {
		return answer{}, err
	}
	sets, err := a.matchers(r)
	if err != nil {
		return answer{}, badParam("match[]", err)
	}
	q, err := a.opts.Engine.Queryable().Querier(mint, maxt)
	if err != nil {
		return answer{}, err
	}
	// "series" is no function: it says that no samples are wanted.
	hints := &promstorage.SelectHints{Start: mint, End: maxt, Func: "series", Limit: oneMore(limit)}
	set := selectUnion(r.Context(), q, hints, sets)
	ans := answer{done: func() { _ = q.Close() }}
	found, cut, err := collectSeries(r.Context(), set, limit)
	if err != nil {
		return ans, err
	}
	ans.data, ans.warnings = found, set.Warnings()
	if cut {
		ans.warnings.Add(errTruncated)
	}
	return ans, nil
}

// selectUnion selects what any of the matcher sets matches, each series once.
func selectUnion(ctx context.Context, q promstorage.Querier, hints *promstorage.SelectHints, sets [][]*labels.Matcher) promstorage.SeriesSet {
	switch len(sets) {
	case 0:
		return promstorage.EmptySeriesSet()
	case 1:
		return q.Select(ctx, false, hints, sets[0]...)
	}
	all := make([]promstorage.SeriesSet, len(sets))
	for i, ms := range sets {
		all[i] = q.Select(ctx, true, hints, ms...)
	}
	return promstorage.NewMergeSeriesSet(all, 0, promstorage.ChainedSeriesMerge)
}

// collectSeries returns the labels of at most limit series (0: of all), and whether there are
// more.
func collectSeries(ctx context.Context, set promstorage.SeriesSet, limit int) (labelSets, bool, error) {
	found := labelSets{}
	for set.Next() {
		if limit > 0 && len(found) == limit {
			return found, true, nil
		}
		if len(found)%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		found = append(found, set.At().Labels())
	}
	return found, false, set.Err()
}

func (a *API) labelNames(r request) (answer, error) {
	return a.labelList(r, func(ctx context.Context, q promstorage.Querier, hints *promstorage.LabelHints, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, hints, ms...)
	})
}

func (a *API) labelValues(r request) (answer, error) {
	name := r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return answer{}, failf(badData, "invalid label name: %q", name)
	}
	return a.labelList(r, func(ctx context.Context, q promstorage.Querier, hints *promstorage.LabelHints, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, hints, ms...)
	})
}

// labelQuery asks for label names or values of what the matchers select.
type labelQuery func(context.Context, promstorage.Querier, *promstorage.LabelHints, []*labels.Matcher) ([]string, annotations.Annotations, error)

// labelList answers with what ask returns, joined over all match[] parameters.
func (a *API) labelList(r request, ask labelQuery) (answer, error) {
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	mint, maxt, err := r.bounds()
	if err != nil {
		return answer{}, err
	}
	sets, err := a.matchers(r)
	if err != nil {
		return answer{}, err
	}
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	q, err := a.opts.Engine.Queryable().Querier(mint, maxt)
	if err != nil {
		return answer{}, err
	}
	// The strings live as long as the querier.
	ans := answer{done: func() { _ = q.Close() }}
	found := stringList{}
	for _, ms := range sets {
		part, warnings, err := ask(r.Context(), q, &promstorage.LabelHints{Limit: oneMore(limit)}, ms)
		if err != nil {
			return ans, err
		}
		found = append(found, part...)
		ans.warnings.Merge(warnings)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if limit > 0 && len(found) > limit {
		found = found[:limit]
		ans.warnings.Add(errTruncated)
	}
	ans.data = found
	return ans, nil
}

// oneMore is the limit to ask the storage for, so that it shows whether the answer was cut.
func oneMore(limit int) int {
	if limit > 0 && limit+1 > limit {
		return limit + 1
	}
	return limit
}
