package querier

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

// What promql would allocate for these is many times what it reads, and is taken before.
func TestBlowUps(t *testing.T) {
	e := newTestEngine(t, &fakeStore{series: 2000, samples: 240}, Options{MaxQueryBytes: 64 << 20})
	for name, query := range map[string]string{
		"labels that double": strings.Repeat(`label_join(`, 40) + "up" + strings.Repeat(`, "x", ",", "i", "x", "x")`, 40),
		"labels replaced":    strings.Repeat(`label_replace(`, 30) + "up" + strings.Repeat(`, "x", "$1$1$1$1", "x", "(.*)")`, 30),
		"long labels":        `label_replace(up, "x", "` + strings.Repeat("long", 10_000) + `", "", "")`,
		"heaps":              `bottomk by (i) (1e9, up)`,
		"computed heaps":     `topk without () (1e9, rate(up[1m]))`,
		"samples":            `count_over_time(up[1h]) or last_over_time(up[1h])` + strings.Repeat(" or up", 50),
		"steps":              `max_over_time(up[1h:1s])`,
		"the text":           `{` + strings.Repeat(`i!="a",`, 100_000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			grown := peakMemory(func() {
				_, err = e.Instant(context.Background(), query, unix(3500), QueryOptions{})
			})
			requireLimit(t, err, Execution, limitQueryBytes)
			if name == "the text" {
				require.ErrorContains(t, err, "reading its text")
			} else if name != "computed heaps" {
				require.ErrorContains(t, err, `reading {__name__="up"}`)
			}
			require.Less(t, grown, int64(128<<20))
		})
	}
	small := newTestEngine(t, &fakeStore{series: 2000, samples: 240}, Options{MaxQueryBytes: 8 << 20})
	_, err := small.Instant(context.Background(), "up[1h]", unix(3600), QueryOptions{})
	requireLimit(t, err, Execution, limitQueryBytes)
	r, err := small.Instant(context.Background(), "count(up)", unix(3599), QueryOptions{})
	require.NoError(t, err)
	r.Close()
}

// Functions that change labels are not taken for worse than they are.
func TestHarmlessLabels(t *testing.T) {
	e := newTestEngine(t, &fakeStore{series: 1000, samples: 4}, Options{MaxQueryBytes: 8 << 20})
	query := "up"
	for i := range 12 {
		query = `label_replace(` + query + `, "l` + string(rune('a'+i)) + `", "$1", "i", "0*(.*)")`
	}
	r, err := e.Instant(context.Background(), query, unix(60), QueryOptions{})
	require.NoError(t, err)
	require.Len(t, vectorOf(t, r), 1000)
	r.Close()
}

// Series that can't be evaluated over columns are not selected again for promql.
func TestSelectedOnce(t *testing.T) {
	store := &fakeStore{series: 10, samples: 40, histograms: true}
	selects := 0
	store.onSelect = func(context.Context, series.Selector) error {
		selects++
		return nil
	}
	e := newTestEngine(t, store, Options{})
	for _, query := range []string{
		"sum(rate(up[1m]))", "rate(up[5m] offset 1m)", "avg(up)", "sum by (i) (up)", "count(up @ 200)", "histogram_count(sum(increase(up[2m])))",
	} {
		selects = 0
		r, err := e.Instant(context.Background(), query, unix(300), QueryOptions{})
		require.NoError(t, err, query)
		require.Len(t, vectorOf(t, r), map[bool]int{true: 10, false: 1}[query[0] == 'r' || strings.Contains(query, "by")], query)
		require.Equal(t, 1, selects, query)
		r.Close()
		selects = 0
		r, err = e.Range(context.Background(), query, Window{unix(200), unix(400), 15e9}, QueryOptions{})
		require.NoError(t, err, query)
		require.Equal(t, 1, selects, query)
		r.Close()
	}
}

// What is parsed with the context of a request counts in the request's account.
func TestAccount(t *testing.T) {
	e := newTestEngine(t, &fakeStore{}, Options{MaxQueryBytes: 1 << 20})
	ctx, account := e.Account(context.Background())
	_, err := e.ParseSelector(ctx, `up{i=~"a.{200}"}`)
	require.NoError(t, err)
	held := e.memory.used.Load()
	require.Positive(t, held)
	_, err = e.NewMatcher(ctx, labels.MatchRegexp, "i", "b.{200}")
	require.NoError(t, err)
	require.Greater(t, e.memory.used.Load(), held)
	for err == nil {
		_, err = e.ParseExpr(ctx, `up{i=~"c.{200}"}`)
	}
	requireLimit(t, err, Execution, limitQueryBytes)
	account.Close()
	require.Zero(t, e.memory.used.Load())
}
