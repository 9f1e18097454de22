package cluster

import (
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGaps(t *testing.T) {
	gaps := []Gap{
		{Node: node(1).ID, From: 1000, To: 2000},
		{Node: node(2).ID, From: -5, To: math.MaxInt64, Forgot: true},
		{Node: node(3).ID, From: math.MinInt64, To: math.MaxInt64},
	}
	text := hex.EncodeToString(appendGaps(nil, gaps[:2]))
	require.Equal(t, "02"+"00000000000000000000000000000001"+"00"+"d00f"+"e807"+
		"00000000000000000000000000000002"+"01"+"09"+"84808080808080808001", text)
	got, err := decodeGaps(appendGaps(nil, gaps))
	require.NoError(t, err)
	require.Equal(t, gaps, got)
}

func FuzzDecodeGaps(f *testing.F) {
	f.Add(appendGaps(nil, []Gap{{Node: node(1).ID, From: 1000, To: 2000}, {Node: node(2).ID, From: -5, To: math.MaxInt64}}))
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
