package placement

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// life is a placement with everything in it.
func life(t testing.TB) *Placement {
	nodes := fleet(4, 2)
	nodes[3].Weight = 2
	p := found(t, 3, 2, nodes[:3])
	p, err := p.Join(nodes[3])
	require.NoError(t, err)
	p, err = p.Drain(id(1))
	require.NoError(t, err)
	p, err = p.Lose(id(2))
	require.NoError(t, err)
	p, err = p.SetFactor(3)
	require.NoError(t, err)
	return p.Next(2)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(name, got, 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func TestGolden(t *testing.T) {
	p := life(t)
	golden(t, "testdata/life.txt", []byte(p.String()))
	golden(t, "testdata/v1/life.bin", p.Append(nil))
	decoded, err := Decode(p.Append(nil))
	require.NoError(t, err)
	require.Equal(t, p, decoded)
}

func TestDecodeRefuses(t *testing.T) {
	good := life(t).Append(nil)
	for n := range good {
		_, err := Decode(good[:n])
		require.Error(t, err, "%d bytes", n)
	}
	_, err := Decode(append(good[:len(good):len(good)], 0))
	require.ErrorContains(t, err, "too many")
	_, err = Decode(append([]byte{9}, good[1:]...))
	require.ErrorContains(t, err, "version 9")
	_, err = Decode(make([]byte, MaxEncoded+1))
	require.ErrorContains(t, err, "more than")
}

func TestNodeID(t *testing.T) {
	want := NodeID{0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	require.Equal(t, "deadbeef-0102-0304-0506-0708090a0b0c", want.String())
	got, err := ParseNodeID(want.String())
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, bad := range []string{"", "deadbeef", "deadbeef-0102-0304-0506-0708090a0b0", "deadbeef-0102-0304-0506_0708090a0b0c", "xeadbeef-0102-0304-0506-0708090a0b0c"} {
		_, err := ParseNodeID(bad)
		require.Error(t, err, bad)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(life(f).Append(nil))
	f.Add(found(f, 0, 1, fleet(1, 1)).Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Decode(p.Append(nil))
		require.NoError(t, err)
		require.Equal(t, p, again)
		require.NoError(t, p.Next(1).Validate())
	})
}

// BenchmarkJoin plans for one more node in a large region.
func BenchmarkJoin(b *testing.B) {
	for _, c := range []struct {
		name  string
		nodes int
		bits  uint8
	}{{"10x256", 10, 8}, {"100x1024", 100, 10}, {"1000x4096", 1000, 12}} {
		b.Run(c.name, func(b *testing.B) {
			p := found(b, c.bits, 3, fleet(c.nodes, 3))
			p, err := p.Join(fleet(c.nodes+1, 3)[c.nodes])
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				p.Target()
			}
			b.ReportMetric(float64(len(p.Append(nil))), "bytes")
		})
	}
}
