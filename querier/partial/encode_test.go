package partial

import (
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

var update = flag.Bool("update", false, "rewrite golden files")

// sortedQuantile is quantile as it is defined.
func sortedQuantile(q float64, vs []float64) float64 {
	vs = slices.Clone(vs)
	slices.Sort(vs)
	rank := q * (float64(len(vs)) - 1)
	i := int(rank)
	if weight := rank - float64(i); weight != 0 {
		return vs[i]*(1-weight) + vs[min(i+1, len(vs)-1)]*weight
	}
	return vs[i]
}

func randomSet(rng *rand.Rand, op Op, steps int, param float64) *Set {
	s := &Set{Aggregate: *aggregate(op, steps, param)}
	for i := range rng.IntN(4) {
		c := s.New()
		for j := range rng.IntN(6) {
			c.Add(name(10*i+j), randomSeries(rng, steps, true, rng.IntN(2) == 0))
		}
		s.Groups = append(s.Groups, GroupColumn{Labels: series.FromStrings("g", string(rune('a'+i))), First: series.Fingerprint(rng.Uint64()), Column: c})
	}
	return s
}

func noLimit(int64) error { return nil }

func roundTrip(t testing.TB, s *Set) *Set {
	t.Helper()
	b := s.Append(nil)
	got, err := Decode(b, noLimit)
	require.NoError(t, err)
	require.Equal(t, b, got.Append(nil), "what was decoded is encoded to the same")
	return got
}

// Merging what was decoded is merging, bit for bit.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		op := all[seed%uint64(len(all))]
		steps := []int{1, 3, 50, 5000}[seed/uint64(len(all))%4]
		if steps == 5000 && seed > 44 {
			continue
		}
		make := func() []*Set {
			rng := rand.New(rand.NewPCG(seed, 1))
			param := []float64{0.5, 3, 8}[rng.IntN(3)]
			return []*Set{randomSet(rng, op, steps, param), randomSet(rng, op, steps, param), randomSet(rng, op, steps, param)}
		}
		sets, decoded := make(), make()
		for i, s := range decoded {
			decoded[i] = roundTrip(t, s)
		}
		want, ok := Merge(sets...)
		got, gotOK := Merge(decoded...)
		require.Equal(t, ok, gotOK)
		if !ok {
			continue
		}
		require.Equal(t, want.Append(nil), got.Append(nil))
		for i := range want.Groups {
			wantResults, wantNotes, wantOK := want.Groups[i].Column.Finish()
			results, notes, ok := got.Groups[i].Column.Finish()
			require.Equal(t, wantOK, ok)
			require.Equal(t, wantNotes, notes)
			requireSame(t, wantResults, results)
		}
	}
}

func requireSame(t *testing.T, want, got []Result) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Labels, got[i].Labels)
		require.True(t, slices.EqualFunc(want[i].Floats, got[i].Floats, func(a, b float64) bool {
			return math.Float64bits(a) == math.Float64bits(b)
		}))
		require.Len(t, got[i].Histograms, len(want[i].Histograms))
		for j, h := range want[i].Histograms {
			require.True(t, h == nil && got[i].Histograms[j] == nil || h.Equals(got[i].Histograms[j]))
		}
	}
}

func TestGolden(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var b []byte
	for _, op := range all {
		b = appendBytes(b, randomSet(rng, op, 9, 2).Append(nil))
	}
	const file = "testdata/v1.bin"
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, b, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, b)
	d := decoder{b: want}
	for range all {
		_, err := Decode(d.bytes(), noLimit)
		require.NoError(t, err)
	}
}

func TestDecodeAsksBeforeItAllocates(t *testing.T) {
	s := &Set{Aggregate: *aggregate(Sum, MaxSteps, 0)}
	s.Groups = append(s.Groups, GroupColumn{Column: s.New()})
	b := s.Append(nil)
	require.Less(t, len(b), 32)
	errFull := errors.New("full")
	_, err := Decode(b, func(n int64) error {
		if n > 1<<20 {
			return errFull
		}
		return nil
	})
	require.ErrorIs(t, err, errFull)
}

// A steady counter's rate over many steps takes little more than its changes.
func TestEncodingIsCompact(t *testing.T) {
	s := &Set{Aggregate: *aggregate(Sum, 240, 0)}
	c := s.New()
	for i := range 100 {
		vs := make([]float64, 240)
		for j := range vs {
			vs[j] = float64(10 + i%7 + j%3)
		}
		c.Add(nil, Values{Floats: vs})
	}
	s.Groups = append(s.Groups, GroupColumn{Column: c})
	require.Less(t, len(s.Append(nil)), 300)
}

func FuzzDecode(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, op := range all {
		f.Add(randomSet(rng, op, 7, 2).Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		errFull := errors.New("full")
		read := func() (*Set, error) {
			left := int64(1 << 20)
			return Decode(b, func(n int64) error {
				if left -= n; left < 0 {
					return errFull
				}
				return nil
			})
		}
		s, err := read()
		if err != nil {
			if !errors.Is(err, errFull) {
				require.ErrorIs(t, err, ErrCorrupt)
			}
			return
		}
		other, err := read()
		require.NoError(t, err)
		again, err := Decode(s.Append(nil), noLimit)
		require.NoError(t, err)
		require.Equal(t, s.Append(nil), again.Append(nil))
		if merged, ok := Merge(s, other); ok {
			for _, g := range merged.Groups {
				g.Column.Finish()
			}
		}
	})
}
