package leaf_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

func TestLeaf(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	store := &queriertest.Mem{}
	var samples []queriertest.Sample
	for i := range 300 {
		samples = append(samples, queriertest.Sample{
			Labels: series.FromStrings("__name__", "m", "i", fmt.Sprint(i)), Sample: series.Sample{T: 5, V: 1},
		})
	}
	require.NoError(t, store.Write(ctx, samples))
	store.SetMetadata([]frame.Metadata{{Metric: "m"}})
	store.AddExemplars(frame.ExemplarSeries{Labels: samples[0].Labels, Exemplars: []frame.Exemplar{{T: 5}}})
	l := leaf.New(store)
	m := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")}

	held := int64(0)
	sel := series.Selector{Maxt: 10, Matchers: m, Take: func(n int64) error {
		held += n
		return nil
	}}
	set, err := l.Select(ctx, sel)
	require.NoError(t, err)
	n := 0
	for set.Next() {
		n++
	}
	require.NoError(t, set.Err())
	require.Equal(t, 300, n)
	require.Positive(t, held)
	names, err := l.LabelNames(ctx, sel)
	require.NoError(t, err)
	require.Equal(t, []string{"__name__", "i"}, names)
	values, err := l.LabelValues(ctx, "__name__", sel)
	require.NoError(t, err)
	require.Equal(t, []string{"m"}, values)
	exemplars, err := l.Exemplars(ctx, series.Selector{Maxt: 10}, m)
	require.NoError(t, err)
	require.Len(t, exemplars, 1)
	metadata, err := l.Metadata(ctx)
	require.NoError(t, err)
	require.Len(t, metadata, 1)

	full := errors.New("full")
	sel.Take = func(int64) error { return full }
	_, err = l.Select(ctx, sel)
	require.ErrorIs(t, err, full)

	sel.Take = nil
	set, err = l.Select(ctx, sel)
	require.NoError(t, err)
	require.True(t, set.Next())
	cancel()
	for n = 0; set.Next(); n++ {
	}
	require.Less(t, n, 100)
	require.ErrorIs(t, set.Err(), context.Canceled)
	_, err = l.Select(ctx, sel)
	require.ErrorIs(t, err, context.Canceled)
	_, err = l.LabelNames(ctx, sel)
	require.ErrorIs(t, err, context.Canceled)
	_, err = l.LabelValues(ctx, "i", sel)
	require.ErrorIs(t, err, context.Canceled)
	_, err = l.Exemplars(ctx, series.Selector{Maxt: 1}, m)
	require.ErrorIs(t, err, context.Canceled)
	_, err = l.Metadata(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
