package chunk_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
)

// scrapes are n times about 15 s apart, from one on.
func scrapes(r *rand.Rand, from int64, n int, jitter int64) []int64 {
	ts := make([]int64, n)
	for i := range ts {
		ts[i] = from + int64(i)*15_000 + r.Int64N(jitter+1)
	}
	return ts
}

// columnsOf are a few columns, and chunks of them.
func columnsOf(t testing.TB) (columns []*chunk.Times, chunks [][]chunk.Chunk) {
	t.Helper()
	r := rand.New(rand.NewPCG(9, 9))
	for i, jitter := range []int64{10, 0, 4000, 10} {
		ts := scrapes(r, int64(i)*7_200_000, []int{480, 480, 3, 200}[i], jitter)
		var cs []chunk.Chunk
		for range 3 {
			vs := make([]float64, len(ts))
			for k := range vs {
				vs[k] = float64(r.IntN(50))
			}
			c, _ := chunk.EncodeFloats(nil, ts, vs)
			cs = append(cs, c)
		}
		b, err := cs[0].AppendTimes(nil)
		require.NoError(t, err)
		column, err := chunk.DecodeTimes(b)
		require.NoError(t, err)
		columns, chunks = append(columns, column), append(chunks, cs)
	}
	return columns, chunks
}

// A row whose chunks share columns has the same samples, and less of them itself.
func TestSharedTimes(t *testing.T) {
	columns, chunks := columnsOf(t)
	lookup := func(n uint32) (*chunk.Times, error) { return columns[n], nil }
	for _, numbers := range [][]uint32{
		{0, 1, 2, 3},
		{chunk.NoColumn, 1, chunk.NoColumn, 3},
		{0, chunk.NoColumn, 2, chunk.NoColumn},
	} {
		for k := range 3 {
			var cs []chunk.Chunk
			for i := range chunks {
				cs = append(cs, chunks[i][k])
			}
			alone, err := chunk.AppendRow(nil, cs, nil)
			require.NoError(t, err)
			row, err := chunk.AppendRow(nil, cs, numbers)
			require.NoError(t, err)
			require.Less(t, len(row), len(alone)-50)
			got, err := chunk.DecodeRow(nil, row, lookup)
			require.NoError(t, err)
			requireSame(t, read(t, cs), read(t, got))
			for i, c := range got {
				require.Equal(t, numbers[i] != chunk.NoColumn, c.Times != nil)
				a, err := c.AppendTimes(nil)
				require.NoError(t, err)
				b, err := cs[i].AppendTimes(nil)
				require.NoError(t, err)
				require.Equal(t, b, a)
			}

			again, err := chunk.AppendRow(nil, got, numbers)
			require.NoError(t, err)
			require.Equal(t, row, again)
			whole, err := chunk.AppendRow(nil, got, nil)
			require.NoError(t, err)
			require.Equal(t, alone, whole, "chunks with columns are made whole")

			_, err = chunk.DecodeRow(nil, row, nil)
			require.ErrorIs(t, err, chunk.ErrCorrupt)
			wrong := func(n uint32) (*chunk.Times, error) { return columns[(n+1)%4], nil }
			if got, err = chunk.DecodeRow(nil, row, wrong); err == nil {
				_, _, err = chunk.Decode(nil, nil, got[0])
				require.True(t, err != nil || got[0].Samples != cs[0].Samples || got[0].MinT != cs[0].MinT)
			}
		}
	}
}

// What is made of chunks that share a column is right without it, too.
func TestSharedTimesInUse(t *testing.T) {
	columns, chunks := columnsOf(t)
	share := func(cs ...chunk.Chunk) []chunk.Chunk {
		row, err := chunk.AppendRow(nil, cs, make([]uint32, len(cs)))
		require.NoError(t, err)
		got, err := chunk.DecodeRow(nil, row, func(uint32) (*chunk.Times, error) { return columns[0], nil })
		require.NoError(t, err)
		return got
	}
	one := chunks[0][:1]
	shared := share(one...)
	twice, err := chunk.Compact(nil, append(slices.Clone(shared), share(one...)...))
	require.NoError(t, err)
	require.Equal(t, shared[0].Data, twice[0].Data)
	require.Len(t, twice, 1, "copies, of columns that were read twice")

	mixed, err := chunk.Compact(nil, append(slices.Clone(shared), one...))
	require.NoError(t, err)
	requireSame(t, read(t, one), read(t, mixed))
	xor, err := chunk.ToLibrary(shared[0])
	require.NoError(t, err)
	requireSame(t, read(t, one), read(t, xor))
	require.Greater(t, len(xor), 1)
	recoded, err := chunk.Recode(nil, append(slices.Clone(shared), chunks[1][0]))
	require.NoError(t, err)
	requireSame(t, read(t, []chunk.Chunk{one[0], chunks[1][0]}), read(t, recoded))
	gone := []chunk.Interval{{MinT: one[0].MinT + 1, MaxT: one[0].MaxT - 1}}
	a, err := chunk.Without(one, gone)
	require.NoError(t, err)
	b, err := chunk.Without(shared, gone)
	require.NoError(t, err)
	requireSame(t, read(t, a), read(t, b))

	other := shared[0]
	other.Times = columns[1]
	_, _, err = chunk.Decode(nil, nil, other)
	require.ErrorIs(t, err, chunk.ErrCorrupt)
	other.Times = nil
	_, _, err = chunk.Decode(nil, nil, other)
	require.ErrorIs(t, err, chunk.ErrCorrupt)
	_, err = chunk.AppendRow(nil, []chunk.Chunk{other}, nil)
	require.ErrorIs(t, err, chunk.ErrCorrupt)
}

// FuzzTimes reads whatever bytes a column has: what decodes is a column that a chunk can have.
func FuzzTimes(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, jitter := range []int64{0, 5, 100_000} {
		ts := scrapes(r, -1000, 100, jitter)
		slices.Sort(ts)
		c, _ := chunk.EncodeFloats(nil, ts, make([]float64, len(ts)))
		b, err := c.AppendTimes(nil)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		times, err := chunk.DecodeTimes(b)
		if err != nil {
			require.ErrorIs(t, err, chunk.ErrCorrupt)
			return
		}
		// A chunk of zeros: form, scale, first value.
		c := chunk.Chunk{
			Enc: chunk.Decimal, Samples: times.Samples(), MinT: times.MinT(), MaxT: times.MaxT(),
			Data: []byte{7, 0, 0}, Times: times,
		}
		for range 2 {
			ts, vs, err := chunk.Decode(nil, nil, c)
			if err != nil {
				require.ErrorIs(t, err, chunk.ErrCorrupt)
				continue
			}
			require.Len(t, vs, times.Samples())
			require.True(t, slices.IsSorted(ts))
			require.Equal(t, [2]int64{c.MinT, c.MaxT}, [2]int64{ts[0], ts[len(ts)-1]})
		}
	})
}

// FuzzRow reads whatever a row's bytes make it: never a panic, and what decodes encodes to a row
// with the same chunks.
func FuzzRow(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 5))
	for i := range 10 {
		chunks, err := chunk.Recode(nil, build(f, stretch(r, 1000, 40, 1+i%5)))
		require.NoError(f, err)
		row, err := chunk.AppendRow(nil, chunks, nil)
		require.NoError(f, err)
		f.Add(row)
	}
	columns, chunks := columnsOf(f)
	row, err := chunk.AppendRow(nil, []chunk.Chunk{chunks[0][0], chunks[1][1], chunks[3][2]}, []uint32{0, 1, 3})
	require.NoError(f, err)
	f.Add(row)
	lookup := func(n uint32) (*chunk.Times, error) { return columns[n%uint32(len(columns))], nil }
	f.Fuzz(func(t *testing.T, row []byte) {
		chunks, err := chunk.DecodeRow(nil, row, lookup)
		if err != nil {
			require.ErrorIs(t, err, chunk.ErrCorrupt)
			return
		}
		numbers := make([]uint32, len(chunks))
		for i, c := range chunks {
			numbers[i] = chunk.NoColumn
			if c.Times != nil {
				numbers[i] = uint32(slices.Index(columns, c.Times))
			}
		}
		again, err := chunk.AppendRow(nil, chunks, numbers)
		require.NoError(t, err)
		decoded, err := chunk.DecodeRow(nil, again, lookup)
		require.NoError(t, err)
		require.Equal(t, len(chunks), len(decoded))
		for i := range chunks {
			require.Equal(t, chunks[i], decoded[i])
		}
		if _, err := chunk.Without(chunks, []chunk.Interval{{MinT: 1010, MaxT: 1020}}); err != nil {
			return
		}
		_, _ = chunk.Compact(nil, chunks)
	})
}
