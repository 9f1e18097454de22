package frame_test

import (
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
)

var update = flag.Bool("update", false, "write the fixture anew")

// The fixture is a log of frames, and one that stands by itself at its end; a line each.
func TestGolden(t *testing.T) {
	const path = "testdata/v2.txt"
	r := rand.New(rand.NewPCG(11, 11))
	values := map[uint32]float64{}
	var frames []*frame.Frame
	for range 12 {
		frames = append(frames, logFrame(r, values))
	}
	if *update {
		e, lines := frame.NewEncoder(), []string{}
		for _, f := range frames {
			lines = append(lines, hex.EncodeToString(encode(t, e, f)))
		}
		lines = append(lines, hex.EncodeToString(frame.AppendEncode(nil, frames[0])), "")
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	require.Len(t, lines, len(frames)+1)
	d := frame.NewDecoder()
	var got frame.Frame
	for i, f := range append(frames, frames[0]) {
		b, err := hex.DecodeString(lines[i])
		require.NoError(t, err)
		require.NoError(t, d.Decode(&got, b))
		require.Equal(t, flat(f), flat(&got))
	}
}
