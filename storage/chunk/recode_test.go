package chunk_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// TestRecode: the same samples, the plain floats among them in as few chunks as can be.
func TestRecode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 100 {
		samples := stretch(r, 1000, 1+r.IntN(600), 1+i%5)
		chunks := build(t, samples)
		before := slices.Clone(chunks)
		got, err := chunk.Recode(nil, chunks)
		require.NoError(t, err)
		require.Equal(t, before, chunks)
		requireSame(t, samples, read(t, got))
		for j, c := range got {
			switch {
			case c.Enc == chunk.XOR2:
				require.Contains(t, chunks, c)
			case j > 0 && (c.Enc == chunk.XOR || c.Enc == chunk.Decimal):
				require.NotContains(t, []chunk.Encoding{chunk.XOR, chunk.Decimal}, got[j-1].Enc)
			}
		}
		again, err := chunk.Recode(nil, got)
		require.NoError(t, err)
		require.Equal(t, got, again)

		// And back to what the library reads.
		var plain []chunk.Chunk
		for _, c := range got {
			cs, err := chunk.ToLibrary(c)
			require.NoError(t, err)
			for _, c := range cs {
				require.NotEqual(t, chunkenc.EncNone, c.Enc.Library())
			}
			plain = append(plain, cs...)
		}
		requireSame(t, samples, read(t, plain))
	}
}

func TestRecodeLong(t *testing.T) {
	var samples []series.Sample
	for i := range 10_000 {
		samples = append(samples, series.Sample{T: int64(i), V: float64(i % 7)})
	}
	got, err := chunk.Recode(nil, build(t, samples))
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, chunk.MaxDecimalSamples, got[0].Samples)
	requireSame(t, samples, read(t, got))
	cs, err := chunk.ToLibrary(got[0])
	require.NoError(t, err)
	require.Len(t, cs, (chunk.MaxDecimalSamples+chunk.MaxSamples-1)/chunk.MaxSamples)

	_, err = chunk.Recode(nil, []chunk.Chunk{got[0], got[0]})
	require.ErrorIs(t, err, chunk.ErrCorrupt)
	got[1].Data = got[1].Data[1:]
	_, err = chunk.Recode(nil, got)
	require.ErrorIs(t, err, chunk.ErrCorrupt)
	_, err = chunk.ToLibrary(got[1])
	require.ErrorIs(t, err, chunk.ErrCorrupt)
}

// TestShrink: never larger, and XOR stays where it is the smaller one.
func TestShrink(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	kept := 0
	for range 200 {
		var a chunk.XORAppender
		v := 0.0
		for i := range 120 {
			if r.IntN(3) == 0 {
				v = math.Float64frombits(r.Uint64())
			}
			a.Append(int64(i), v)
		}
		c := a.Close()
		got := chunk.Shrink(c)
		require.LessOrEqual(t, len(got.Data), len(c.Data))
		requireSame(t, read(t, []chunk.Chunk{c}), read(t, []chunk.Chunk{got}))
		if got.Enc == chunk.XOR {
			kept++
		}
	}
	t.Log(kept, "of 200 are smallest as XOR")
	broken := chunk.Chunk{Enc: chunk.XOR, Samples: 3, Data: []byte{0, 3, 1}}
	require.Equal(t, broken, chunk.Shrink(broken))
}
