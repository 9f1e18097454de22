package dedup

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var fixtures = map[string][]byte{
	"elect.v1": command{elect: election{
		pair: "eu-west", replica: "prometheus-0", seq: 7, at: 1_700_000_000_000, after: math.MinInt64, most: 1000,
	}}.encode(),
	"hear.v1":     command{heard: []hearing{{"eu-west", "prometheus-0", 1_700_000_000_000}, {"us", "b", -1}}}.encode(),
	"answer.v1":   encodeAnswer(outdated, term{seq: 8, replica: "prometheus-1", heard: 1_700_000_000_000, after: 1_699_999_999_000}),
	"snapshot.v1": fixtureTerms.encode(),
}

var fixtureTerms = &terms{seq: 9, pairs: map[string]term{
	"eu-west": {seq: 9, replica: "prometheus-0", heard: 1_700_000_000_000, after: math.MinInt64},
	"us":      {seq: 3, replica: "b", heard: 5, after: 4},
}}

// What is written stays the same, and what was written before can be read.
func TestFixtures(t *testing.T) {
	for name, data := range fixtures {
		path := filepath.Join("testdata", name)
		if *update {
			require.NoError(t, os.WriteFile(path, data, 0o644))
		}
		have, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, have, data, name)
	}
	s, err := decodeTerms(fixtures["snapshot.v1"])
	require.NoError(t, err)
	require.Equal(t, *fixtureTerms, s)
	st, tm, err := decodeAnswer(fixtures["answer.v1"])
	require.NoError(t, err)
	require.Equal(t, outdated, st)
	require.Equal(t, uint64(8), tm.seq)
	st, tm, err = decodeAnswer(encodeAnswer(full, term{}))
	require.NoError(t, err)
	require.Equal(t, full, st)
	require.Zero(t, tm)
}

func TestDecodersRefuse(t *testing.T) {
	readCommand := func(data []byte) error { _, err := decodeCommand(data); return err }
	for name, read := range map[string]func([]byte) error{
		"elect.v1": readCommand, "hear.v1": readCommand,
		"answer.v1":   func(data []byte) error { _, _, err := decodeAnswer(data); return err },
		"snapshot.v1": func(data []byte) error { _, err := decodeTerms(data); return err },
	} {
		data := slices.Clone(fixtures[name])
		require.NoError(t, read(data))
		for n := 1; n < len(data); n++ {
			require.Error(t, read(data[:n]), "%s %d", name, n)
		}
		require.Error(t, read(append(slices.Clone(data), 0)), name)
		data[0] = 2
		require.ErrorContains(t, read(data), "unknown version 2, not 1", name)
	}
	long := command{elect: election{pair: strings.Repeat("x", maxText+1), replica: "a"}}
	_, err := decodeCommand(long.encode())
	require.ErrorIs(t, err, errFormat)
	table := NewTable()
	st, _, err := decodeAnswer(table.Apply(long.encode()))
	require.NoError(t, err)
	require.Equal(t, bad, st)
	require.Error(t, table.Restore([]byte("x")))
	require.NoError(t, table.Reads(long.encode()), "it makes no sense to any node")
	newer := long.encode()
	newer[0]++
	require.ErrorContains(t, table.Reads(newer), "unknown version 2, not 1")
}

// Tables that apply the same commands, some by way of a snapshot, are the same.
func TestTablesAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	a, b := NewTable(), NewTable()
	names := []string{"p", "q", "r", "s"}
	for i := range 5000 {
		var c command
		if rng.IntN(3) == 0 {
			c.heard = []hearing{{names[rng.IntN(4)], names[rng.IntN(2)], int64(i)}}
		} else {
			pair := names[rng.IntN(4)]
			c.elect = election{pair: pair, replica: names[rng.IntN(2)], seq: a.get(pair).seq, at: int64(i) * 1e5, after: int64(i), most: 3}
			if rng.IntN(5) == 0 {
				c.elect.seq++
			}
		}
		data := c.encode()
		require.Equal(t, a.Apply(data), b.Apply(data))
		sa, err := a.Snapshot()
		require.NoError(t, err)
		sb, err := b.Snapshot()
		require.NoError(t, err)
		require.Equal(t, sa, sb)
		if rng.IntN(10) == 0 {
			b = NewTable()
			require.NoError(t, b.Restore(sa))
		}
	}
	require.NotZero(t, a.len())
}

func FuzzDecode(f *testing.F) {
	for _, data := range fixtures {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := decodeCommand(data); err == nil {
			again, err := decodeCommand(c.encode())
			require.NoError(t, err)
			require.Equal(t, c, again)
		}
		_, _, _ = decodeAnswer(data)
		if s, err := decodeTerms(data); err == nil {
			again, err := decodeTerms(s.encode())
			require.NoError(t, err)
			require.Equal(t, s, again)
		}
		_, _ = unseal(data)
	})
}
