package cluster

import (
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGaps(t *testing.T) {
	gaps := []Gap{{node(1).ID, 1000, 2000}, {node(2).ID, -5, math.MaxInt64}, {node(3).ID, math.MinInt64, math.MaxInt64}}
	text := hex.EncodeToString(appendGaps(nil, gaps[:2]))
	require.Equal(t, "01"+"00000000000000000000000000000001"+"d00f"+"e807"+
		"00000000000000000000000000000002"+"09"+"84808080808080808001", text)
	got, err := decodeGaps(appendGaps(nil, gaps))
	require.NoError(t, err)
	require.Equal(t, gaps, got)
}

func FuzzDecodeGaps(f *testing.F) {
	f.Add(appendGaps(nil, []Gap{{node(1).ID, 1000, 2000}, {node(2).ID, -5, math.MaxInt64}}))
	f.Add([]byte{gapsVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		gaps, err := decodeGaps(b)
		if err != nil {
			return
		}
		for _, g := range gaps {
			require.LessOrEqual(t, g.From, g.To)
		}
		again, err := decodeGaps(appendGaps(nil, gaps))
		require.NoError(t, err)
		require.Equal(t, gaps, again)
	})
}
