package chunk

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnpackBits compares each width and length with reading one integer after the other.
func TestUnpackBits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for width := uint(1); width <= maxWidth; width++ {
		for n := 1; n <= blockLen; n++ {
			var w bitWriter
			want := make([]int64, n)
			for i := range want {
				x := r.Uint64() >> (64 - width)
				w.put(x, width)
				want[i] = int64(x) - 7
			}
			w.align()
			b := append(w.b, make([]byte, r.IntN(20))...)
			got := make([]int64, n)
			unpackBits(got, b, width, -7)
			require.Equal(t, want, got, "%d integers of %d bits", n, width)
		}
	}
}

// TestUnary compares with what was written, however far the integers are apart.
func TestUnary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	for range 2000 {
		var w bitWriter
		want := make([]int64, 1+r.IntN(blockLen))
		spread := 1 + r.IntN(100)
		for i := range want {
			x := uint64(r.IntN(spread))
			w.unary(x, true)
			want[i] = 5 + int64(x)<<3
		}
		w.align()
		got := make([]int64, len(want))
		for i := range got {
			got[i] = 5
		}
		rest, ok := addUnary(got, append(w.b, 1, 2, 3), 3)
		require.True(t, ok)
		require.Equal(t, []byte{1, 2, 3}, rest)
		require.Equal(t, want, got)
		_, ok = addUnary(got, w.b[:len(w.b)-1], 3)
		require.False(t, ok)
	}
}

func BenchmarkUnpackBits(b *testing.B) {
	xs, packed := make([]int64, blockLen), make([]byte, 8*blockLen)
	for _, width := range []uint{3, 8, 12, 20, 40} {
		b.Run(fmt.Sprint(width), func(b *testing.B) {
			for b.Loop() {
				unpackBits(xs, packed, width, 1)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*blockLen), "ns/integer")
		})
	}
}
