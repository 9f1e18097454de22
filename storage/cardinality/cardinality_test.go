package cardinality

import (
	"flag"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestDistinct(t *testing.T) {
	for _, n := range []int{0, 1, 2, 99, 100, 101, 1000, 100_000} {
		d, halves := NewDistinct(100), [2]Distinct{NewDistinct(100), NewDistinct(100)}
		for i := range n {
			for range 2 {
				d.Add(fmt.Sprint(i))
			}
			halves[i%2].Add(fmt.Sprint(i))
			halves[i%3%2].Add(fmt.Sprint(i)) // Some are in both.
		}
		if n < 100 {
			require.Equal(t, uint64(n), d.Count())
		} else {
			require.InEpsilon(t, n, d.Count(), 0.3)
		}
		halves[0].Merge(halves[1])
		require.Equal(t, d.Count(), halves[0].Count())
	}
	d := NewDistinct(Values)
	for i := range 1_000_000 {
		d.AddPair("instance", fmt.Sprint(i))
	}
	require.InEpsilon(t, 1_000_000, d.Count(), 0.05)
	var none Distinct
	none.Add("a")
	none.Add("b")
	require.Zero(t, none.Count())
}

func some(from, to int) *Counts {
	c := &Counts{Series: uint64(to - from), Chunks: 3, MinTime: int64(from), MaxTime: int64(to), Pairs: NewDistinct(Pairs)}
	values := NewDistinct(Values)
	metrics := map[string]uint64{}
	for i := from; i < to; i++ {
		metrics[fmt.Sprint("m", i%3)]++
		values.Add(fmt.Sprint("v", i%7))
		c.Pairs.AddPair("i", fmt.Sprint("v", i%7))
	}
	c.Metrics, c.Labels = ranking(metrics, 100), ranking(metrics, 100)
	c.Names = []Name{{Name: "i", Bytes: 2 * c.Series, Values: values}}
	return c
}

func TestMerge(t *testing.T) {
	want := some(0, 20)
	got := Merge([]*Counts{some(3, 11), some(0, 3), some(11, 20)}, Of(10))
	require.Equal(t, uint64(9), got.Chunks)
	got.Chunks = 3
	require.Equal(t, want.Append(nil), got.Append(nil))
	require.Equal(t, []Ranked{{"i", 7}}, got.ByValues(10))
	require.Equal(t, []Ranked{{"i", 40}}, got.ByBytes(10))
	require.Equal(t, []Ranked{{"m0", 7}, {"m1", 7}}, Top(got.Metrics, 2))
	few := Merge([]*Counts{some(3, 11), some(0, 3)}, Limits{Ranked: 1})
	require.Len(t, few.Labels, 1)
	require.Empty(t, few.Names)
	require.Zero(t, Merge(nil, Of(1)).Series)
}

func TestGolden(t *testing.T) {
	const file = "testdata/counts.v1.bin"
	got := some(0, 20).Append(nil)
	if *update {
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, got)
	c, err := Decode(want)
	require.NoError(t, err)
	require.Equal(t, want, c.Append(nil))
	for n := range want {
		_, err := Decode(want[:n])
		require.Error(t, err)
	}
	_, err = Decode(append(want, 0))
	require.ErrorContains(t, err, "too many")
	want[0] = 9
	_, err = Decode(want)
	require.ErrorContains(t, err, "version 9")
}

func FuzzDecode(f *testing.F) {
	f.Add(some(0, 20).Append(nil))
	f.Add((&Counts{MinTime: math.MaxInt64}).Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Decode(c.Append(nil))
		require.NoError(t, err)
		require.Equal(t, c.Append(nil), again.Append(nil))
		Merge([]*Counts{c, again}, Of(1)).ByValues(1)
	})
}
