package chunk_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

func TestCompact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 120 {
		lists, chunks := overlaid(t, r, 1+i%5)
		if r.IntN(3) == 0 { // The same chunks twice, as after a replay.
			chunks = append(chunks, chunks...)
		}
		got, err := chunk.Compact(nil, chunks)
		require.NoError(t, err)
		for j, c := range got {
			if c.Enc != chunk.Decimal {
				require.LessOrEqual(t, c.Samples, chunk.MaxSamples)
			}
			if j > 0 {
				require.Greater(t, c.MinT, got[j-1].MaxT)
			}
		}
		requireSame(t, resolved(lists...), read(t, got))
	}
}

func TestCompactLeavesTheRest(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	one := build(t, stretch(r, 0, 300, 5))
	got, err := chunk.Compact(nil, one)
	require.NoError(t, err)
	require.Equal(t, one, got)
	twice := chunk.JoinSorted(one, one)
	require.Len(t, twice, 2*len(one))
	got, err = chunk.Compact(nil, twice)
	require.NoError(t, err)
	require.Equal(t, one, got)
}

func TestJoinSorted(t *testing.T) {
	at := func(ts ...int64) (cs []chunk.Chunk) {
		for _, t := range ts {
			cs = append(cs, chunk.Chunk{MinT: t})
		}
		return cs
	}
	require.Equal(t, at(1, 2, 2, 3, 5), chunk.JoinSorted(at(1, 2, 5), at(2, 3)))
	require.Equal(t, at(1), chunk.JoinSorted(nil, at(1)))
	require.Equal(t, at(1), chunk.JoinSorted(at(1), nil))
}

func TestWithout(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for i := range 120 {
		lists, chunks := overlaid(t, r, 1+i%5)
		slices.SortStableFunc(chunks, func(a, b chunk.Chunk) int { return int(a.MinT - b.MinT) })
		var gone []chunk.Interval
		for range r.IntN(4) {
			from := r.Int64N(1500) - 600
			gone = append(gone, chunk.Interval{MinT: from, MaxT: from + r.Int64N(1<<r.IntN(11))})
		}
		before := slices.Clone(chunks)
		got, err := chunk.Without(chunks, gone)
		require.NoError(t, err)
		require.Equal(t, before, chunks)
		want := slices.DeleteFunc(resolved(lists...), func(s series.Sample) bool {
			return slices.ContainsFunc(gone, func(g chunk.Interval) bool { return g.MinT <= s.T && s.T <= g.MaxT })
		})
		requireSame(t, want, read(t, got))
	}
}

func TestRow(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 60 {
		_, chunks := overlaid(t, r, 5)
		slices.SortStableFunc(chunks, func(a, b chunk.Chunk) int { return int(a.MinT - b.MinT) })
		row, err := chunk.AppendRow([]byte("front"), chunks, nil)
		require.NoError(t, err)
		got, err := chunk.DecodeRow(nil, row[5:], nil)
		require.NoError(t, err)
		require.Equal(t, chunks, got)
		for range 20 {
			cut := r.IntN(len(row) - 5)
			got, err := chunk.DecodeRow(nil, row[5:5+cut], nil)
			if err == nil { // Only the last chunk's own reader knows where it ends.
				require.Less(t, cut, len(row)-5)
				require.LessOrEqual(t, len(got), len(chunks))
				continue
			}
			require.ErrorIs(t, err, chunk.ErrCorrupt)
		}
	}
	_, err := chunk.AppendRow(nil, make([]chunk.Chunk, chunk.MaxRowChunks+1), nil)
	require.ErrorIs(t, err, chunk.ErrTooLarge)
	_, err = chunk.AppendRow(nil, []chunk.Chunk{{Data: make([]byte, chunk.MaxRowBytes)}}, nil)
	require.ErrorIs(t, err, chunk.ErrTooLarge)
}

// Chunks whose data are equal may lie at different times: they are no copies of each other.
func TestCompactKeepsEqualDataAtOtherTimes(t *testing.T) {
	var chunks []chunk.Chunk
	want := map[int64]bool{}
	for _, start := range []int64{1000, 3000} {
		var b chunk.Builder
		for i := range int64(4) {
			require.NoError(t, b.Append(series.Sample{T: start + i*1000, V: 2}))
			want[start+i*1000] = true
		}
		recoded, err := chunk.Recode(nil, b.Close(nil))
		require.NoError(t, err)
		chunks = append(chunks, recoded...)
	}
	require.Equal(t, chunks[0].Data, chunks[1].Data)
	compacted, err := chunk.Compact(nil, chunks)
	require.NoError(t, err)
	got := map[int64]bool{}
	for it := chunk.NewIterator(compacted); it.Next() != 0; {
		got[it.AtT()] = true
	}
	require.Equal(t, want, got)
}
