package move

import (
	"flag"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func someState() *state {
	return &state{
		Version: 1, Replicas: []replica{{3, 41}, {7, 44}}, Before: 1_700_006_400_000, Lost: []Gap{{From: 1, To: 2}},
	}
}

func TestGolden(t *testing.T) {
	const name = "testdata/v1/fill.json"
	got := someState().encode()
	if *update {
		require.NoError(t, os.MkdirAll("testdata/v1", 0o755))
		require.NoError(t, os.WriteFile(name, got, 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
	decoded, err := decodeState(want)
	require.NoError(t, err)
	require.Equal(t, someState(), decoded)
}

func TestLoad(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("data", 0o755))
	m := &Mover{opts: Options{FS: fs, Dir: "data"}}
	s, err := m.load()
	require.NoError(t, err)
	require.Nil(t, s, "there is none")
	for _, before := range []int64{5, 3} {
		want := someState()
		want.Before = before
		require.NoError(t, m.save(want))
		s, err = m.load()
		require.NoError(t, err)
		require.Equal(t, want, s)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(someState().encode())
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"replicas":[{"shard":7},{"shard":3}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := decodeState(text)
		if err != nil {
			return
		}
		again, err := decodeState(s.encode())
		require.NoError(t, err)
		require.Equal(t, s.encode(), again.encode())
	})
}
