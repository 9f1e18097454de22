package chunk

import (
	"flag"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the fixtures in testdata")

// noise is a sequence of numbers below n that stays the same for ever.
func noise(seed uint64) func(n int64) int64 {
	return func(n int64) int64 {
		seed = seed*6364136223846793005 + 1442695040888963407
		return int64(seed>>33) % n
	}
}

// skewed makes of r, which is below 1<<20, a number that is mostly below eight, and above it the
// more rarely the greater it is.
func skewed(r int64) int64 {
	return r>>12&7 + 8*int64(bits.TrailingZeros64(uint64(r)|1<<12))
}

// goldenColumns have every form of times and values, patches, exceptions, and blocks without zeros.
func goldenColumns(fn func(name string, ts []int64, vs []float64)) {
	regular := func(i, _ int64) int64 { return 15_000 * i }
	stale := math.Float64frombits(value.StaleNaN)
	for k, c := range []struct {
		name string
		n    int64
		t    func(i, r int64) int64
		v    func(i, r int64) float64
	}{
		{"one sample", 1, regular, func(_, _ int64) float64 { return 42 }},
		{"flat, negative", 120, regular, func(_, _ int64) float64 { return -2.5 }},
		{"flat, stale", 2, regular, func(_, _ int64) float64 { return stale }},
		{"line", 120, regular, func(i, _ int64) float64 { return float64(3*i) / 10 }},
		{"level", 130, regular, func(_, r int64) float64 { return float64(r%100) / 100 }},
		{"level, pages", 100, regular, func(_, r int64) float64 { return float64(4096 * (r % 50)) }},
		{"delta", 100, regular, func(i, r int64) float64 { return float64(100*i + r%60) }},
		{"delta with a reset", 100, regular, func(i, r int64) float64 { return float64(1000*(i%70) + r%60) }},
		{"delta without zeros", 70, regular, func(i, _ int64) float64 { return float64(i / 3 * (i / 3) * 1000) }},
		{"zeros left out", 70, regular, func(i, r int64) float64 { return float64(i % 2 * (r % 50_000)) }},
		{"delta of the delta", 70, regular, func(i, r int64) float64 { return float64(i*i*i + r%2) }},
		{"i*0.001", 70, regular, func(_, r int64) float64 { return float64(18_000+r%99) * 0.001 }},
		{"stale markers", 70, regular, func(i, r int64) float64 {
			if i%20 == 3 {
				return stale
			}
			return float64(r % 8)
		}},
		{"exceptions", 70, regular, func(i, r int64) float64 {
			switch i {
			case 0:
				return math.Copysign(0, -1)
			case 33:
				return math.Inf(1)
			case 69:
				return math.Pi
			}
			return float64(r % 8)
		}},
		{"bits", 40, regular, func(_, r int64) float64 { return float64(float32(r%1000) / 7) }},
		{"unary", 100, regular, func(_, r int64) float64 { return float64(1000 + skewed(r)) }},
		{"unary, zeros left out", 70, regular, func(i, r int64) float64 { return float64(i % 2 * skewed(r)) }},
		{"unary with a sign", 100, regular, func(_, r int64) float64 { return float64(1000 + skewed(r)*(r>>15&2-1)) }},
		{"unary, patched", 100, regular, func(i, r int64) float64 { return float64(skewed(r) + i/99*1e9) }},
		{"split", 40, regular, func(_, r int64) float64 { return float64(r%1000-500) / 7 }},
		{"split, left parts as they are", 140, regular, func(i, r int64) float64 {
			return math.Float64frombits(uint64(r*(1<<20+r)+i) * 0x9e3779b97f4a7c15)
		}},
		{"jitter", 70, func(i, r int64) int64 { return 15_000*i + r%11 }, func(_, _ int64) float64 { return 1 }},
		{"missed", 140, func(i, _ int64) int64 { return 15_000 * (i + i/60*2) }, func(_, _ int64) float64 { return 1 }},
		{"ever later", 70, func(i, r int64) int64 { return 1000*i*i + r%2 }, func(_, _ int64) float64 { return 1 }},
		{"drift", 70, func(i, r int64) int64 { return 15_000*i + 40*i*(i/12) + r%3 }, func(_, _ int64) float64 { return 1 }},
	} {
		random := noise(uint64(k))
		ts, vs := make([]int64, c.n), make([]float64, c.n)
		for i := range c.n {
			ts[i] = 1_700_000_000_000 + c.t(i, random(1<<20))
			vs[i] = c.v(i, random(1<<20))
		}
		fn(c.name, ts, vs)
	}
}

// goldenHistograms have both kinds, runs of one layout and of several, stale markers, counter
// resets and start timestamps.
func goldenHistograms(fn func(name string, chunks []Chunk)) {
	for k, c := range []struct {
		name  string
		habit histogramHabit
		n     int
	}{
		{"integer", histogramHabit{schema: 3}, 125},
		{"float gauge", histogramHabit{schema: -4, gauge: true, floats: true}, 60},
		{"custom", histogramHabit{custom: true}, 60},
		{"wild", histogramHabit{schema: 5, wild: true}, 100},
		{"float, wild", histogramHabit{schema: 8, wild: true, floats: true}, 80},
		{"starts", histogramHabit{schema: 0, starts: true}, 60},
		{"float starts, wild", histogramHabit{schema: 0, starts: true, floats: true, wild: true}, 60},
	} {
		var b Builder
		for _, s := range c.habit.random(rand.New(rand.NewPCG(uint64(k), 1)), c.n) {
			if err := b.Append(s); err != nil {
				panic(err)
			}
		}
		fn(c.name, b.Close(nil))
	}
}

// TestPackedGolden: Packed chunks are those of the fixture, and are read as what they were made of.
func TestPackedGolden(t *testing.T) {
	const path = "testdata/v1/packed.txt"
	var b strings.Builder
	packed := map[string][]Chunk{}
	goldenHistograms(func(name string, chunks []Chunk) {
		out, err := Recode(nil, chunks)
		require.NoError(t, err)
		packed[name] = out
		for _, c := range out {
			fmt.Fprintf(&b, "%s: %s %d [%d, %d] %x\n", name, c.Enc, c.Samples, c.MinT, c.MaxT, c.Data)
		}
	})
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())

	lines := strings.Split(string(want), "\n")
	goldenHistograms(func(name string, chunks []Chunk) {
		var got []Chunk
		for range packed[name] {
			c := Chunk{Enc: Packed}
			_, err := fmt.Sscanf(strings.TrimPrefix(lines[0], name+": "), "packed %d [%d, %d] %x", &c.Samples, &c.MinT, &c.MaxT, &c.Data)
			require.NoError(t, err, lines[0])
			got, lines = append(got, c), lines[1:]
		}
		requireSameHistograms(t, walkHistograms(t, chunks), walkHistograms(t, got))
	})
}

// TestDecimalGolden: Decimal chunks are, byte for byte, those of the fixture, and the fixture's are
// read as the samples that they were made of.
func TestDecimalGolden(t *testing.T) {
	const path = "testdata/v1/decimal.txt"
	var b strings.Builder
	goldenColumns(func(name string, ts []int64, vs []float64) {
		c, _ := EncodeFloats(nil, ts, vs)
		fmt.Fprintf(&b, "%s: %s %d [%d, %d] %x\n", name, c.Enc, c.Samples, c.MinT, c.MaxT, c.Data)
	})
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())

	lines := strings.Split(string(want), "\n")
	goldenColumns(func(name string, ts []int64, vs []float64) {
		c := Chunk{Enc: Decimal}
		_, err := fmt.Sscanf(strings.TrimPrefix(lines[0], name+": "), "decimal %d [%d, %d] %x", &c.Samples, &c.MinT, &c.MaxT, &c.Data)
		require.NoError(t, err, lines[0])
		lines = lines[1:]
		gotT, gotV, err := Decode(nil, nil, c)
		require.NoError(t, err)
		require.Equal(t, ts, gotT)
		require.Equal(t, bitsOf(vs), bitsOf(gotV))
	})
}

// TestRowGolden: rows are, byte for byte, those of the fixture: chunks that follow each other, of
// several encodings, and with their times in columns.
func TestRowGolden(t *testing.T) {
	const path = "testdata/v1/rows.txt"
	var ts []int64
	var vs []float64
	random := noise(3)
	for i := range int64(12) {
		ts, vs = append(ts, 1_700_000_000_000+i*15_000), append(vs, float64(random(50)))
	}
	wavering := slices.Clone(ts)
	for i := range wavering {
		wavering[i] += 200_000 + random(9)
	}
	var regular, jittered []Chunk
	for i := 0; i < len(ts); i += 4 {
		a, _ := EncodeFloats(nil, ts[i:i+4], vs[i:i+4])
		b, _ := EncodeFloats(nil, wavering[i:i+4], vs[i:i+4])
		regular, jittered = append(regular, a), append(jittered, b)
	}
	var x XORAppender
	x.Append(1_700_000_900_000, 7)
	all := slices.Concat(regular, jittered, []Chunk{x.Close()})
	var b strings.Builder
	for _, c := range jittered {
		column, err := c.AppendTimes(nil)
		require.NoError(t, err)
		fmt.Fprintf(&b, "column %x\n", column)
	}
	for _, columns := range [][]uint32{
		nil, {NoColumn, NoColumn, NoColumn, 5, 6, 4, NoColumn}, {0, 1, 2, 3, 4, 5, NoColumn},
	} {
		row, err := AppendRow(nil, all, columns)
		require.NoError(t, err)
		fmt.Fprintf(&b, "row %x\n", row)
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
	var row []byte
	lines := strings.Split(strings.TrimSpace(string(want)), "\n")
	_, err = fmt.Sscanf(lines[3], "row %x", &row)
	require.NoError(t, err)
	got, err := DecodeRow(nil, row, nil)
	require.NoError(t, err)
	require.Equal(t, all, got)
}
