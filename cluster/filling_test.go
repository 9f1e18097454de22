package cluster

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilling(t *testing.T) {
	f := Filling{Shards: 32, DaysDone: 3, DaysLeft: 28, Bytes: 1000, Samples: 2000}
	require.Equal(t, "01"+"20"+"03"+"1c"+"e807"+"d00f", hex.EncodeToString(f.append(nil)))
	got, err := decodeFilling(f.append(nil))
	require.NoError(t, err)
	require.Equal(t, f, got)
}

func FuzzDecodeFilling(f *testing.F) {
	f.Add((&Filling{Shards: 32, DaysDone: 3, DaysLeft: 28, Bytes: 1000, Samples: 2000}).append(nil))
	f.Add([]byte{fillingVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		filling, err := decodeFilling(b)
		if err != nil {
			require.Zero(t, filling)
			return
		}
		again, err := decodeFilling(filling.append(nil))
		require.NoError(t, err)
		require.Equal(t, filling, again)
	})
}
