package plan

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

var golden = flag.Bool("golden", false, "rewrite testdata")

func shards(bits uint8, from, to int) *series.ShardSet {
	s := &series.ShardSet{Bits: bits}
	for i := from; i <= to; i++ {
		s.Add(series.Shard(i))
	}
	return s
}

func TestGolden(t *testing.T) {
	up := labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")
	job := labels.MustNewMatcher(labels.MatchNotRegexp, "job", `a"b|c`)
	odd := shards(4, 0, -1)
	for i := 1; i < 16; i += 2 {
		odd.Add(series.Shard(i))
	}
	single := Single("self")
	three := View{Epoch: 7, Nodes: []Owner{{"a", shards(8, 0, 99)}, {"b", shards(8, 100, 254)}, {"c", shards(8, 255, 255)}}}
	mixed := View{Epoch: 8, Nodes: []Owner{{"odd", odd}, {"none", shards(4, 0, -1)}}}
	var b strings.Builder
	for _, tc := range []struct {
		q Query
		v View
	}{
		{Query{[]*labels.Matcher{up}, 1_700_000_000_000, 1_700_000_300_123}, single},
		{Query{[]*labels.Matcher{up, job}, -1, 0}, single},
		{Query{nil, math.MinInt64, math.MaxInt64}, single},
		{Query{[]*labels.Matcher{up}, 2, 1}, single},
		{Query{[]*labels.Matcher{up}, 0, 60_000}, three},
		{Query{[]*labels.Matcher{up}, 0, 60_000}, mixed},
		{Query{[]*labels.Matcher{up}, 0, 60_000}, View{}},
	} {
		b.WriteString(Make(tc.q, tc.v).String() + "\n")
	}
	const file = "testdata/plans.txt"
	if *golden {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

func TestPartsCoverEachShardOnce(t *testing.T) {
	v := View{Nodes: []Owner{{"a", shards(6, 0, 20)}, {"b", shards(6, 21, 63)}}}
	p := Make(Query{Mint: 1, Maxt: 2}, v)
	for f := range uint64(1000) {
		f := series.Fingerprint(f * 0x9e3779b97f4a7c15)
		n := 0
		for _, part := range p.Parts {
			if part.Shards.Has(f) {
				n++
			}
		}
		require.Equal(t, 1, n)
	}
}
