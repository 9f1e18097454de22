package wire_test

import (
	"context"
	"slices"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// fixed has the series that it has; only Select is asked of it.
type fixed struct {
	leaf.Node
	series []chunk.Series
	err    error
	late   error // at the end
}

func (f fixed) Select(context.Context, series.Selector) (chunk.SeriesSet, error) {
	return failing{queriertest.NewSeriesSet(f.series...), f.late}, f.err
}

type failing struct {
	chunk.SeriesSet
	err error
}

func (f failing) Err() error { return f.err }

func sorted(ss []chunk.Series) []chunk.Series {
	ss = slices.Clone(ss)
	for i := range ss {
		ss[i].Fingerprint = ss[i].Labels.Fingerprint()
	}
	slices.SortFunc(ss, func(a, b chunk.Series) int { return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels) })
	return ss
}
