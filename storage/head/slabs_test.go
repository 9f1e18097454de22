package head

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
)

// TestSlabs does at random what is done to closed chunks, and holds it against plain lists.
func TestSlabs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p, want := &page{}, [8][]chunk.Chunk{}
	var seen, copies [][]byte // what readers have, and what it was
	at := int64(-1000)
	for range 20_000 {
		j := uint32(r.IntN(len(want)))
		switch r.IntN(40) {
		case 0:
			for _, c := range p.takeClosed(j) {
				p.addClosed(j, c.chunk())
			}
		case 1, 2:
			if n := len(want[j]); n > 0 {
				p.dropNewest(j)
				want[j] = want[j][:n-1]
			}
		case 3:
			if r.IntN(10) == 0 {
				before := at - int64(r.IntN(500))
				p.keepClosed(func(c closed) bool { return c.minT() >= before })
				for j := range want {
					want[j] = slices.DeleteFunc(want[j], func(c chunk.Chunk) bool { return c.MinT < before })
				}
			}
		default:
			size := r.IntN(150)
			if r.IntN(50) == 0 {
				size = r.IntN(3 * slabBytes)
			}
			at += int64(r.IntN(5))
			c := chunk.Chunk{
				Enc: chunk.XOR, Samples: r.IntN(1 << 16), MinT: at, MaxT: at + int64(r.Uint32()),
				Data: make([]byte, size),
			}
			for i := range c.Data {
				c.Data[i] = byte(r.Uint32())
			}
			p.addClosed(j, c)
			want[j] = append(want[j], c)
		}
		p.tidy()
		var got []chunk.Chunk
		for c := range p.closed(j) {
			require.False(t, c.flushing())
			got = append(got, c.chunk())
		}
		slices.Reverse(got)
		require.Equal(t, len(want[j]), len(got))
		for i, c := range got {
			require.True(t, bytes.Equal(want[j][i].Data, c.Data))
			c.Data = want[j][i].Data
			require.Equal(t, want[j][i], c)
		}
		if len(got) > 0 {
			seen, copies = append(seen, got[0].Data), append(copies, bytes.Clone(got[0].Data))
		}
	}
	require.Equal(t, copies, seen, "what readers have stays as it was")
	live, held := 0, 0
	for j := range want {
		for _, c := range want[j] {
			live += len(c.Data) + tailBytes
		}
	}
	for _, b := range p.mu.slabs.list {
		held += len(b)
	}
	require.Equal(t, live, p.mu.slabs.live)
	require.Equal(t, held, p.mu.slabs.live+p.mu.slabs.dead)
}
