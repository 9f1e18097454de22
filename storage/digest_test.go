package storage

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

func allShards(bits uint8) *series.ShardSet {
	set := &series.ShardSet{Bits: bits}
	for s := range 1 << bits {
		set.Add(series.Shard(s))
	}
	return set
}

func digests(t testing.TB, db *DB, mint, maxt int64, bits uint8) []series.Digest {
	t.Helper()
	ds, err := db.Digests(t.Context(), DigestQuery{Shards: allShards(bits), Mint: mint, Maxt: maxt, Slot: testSlot})
	require.NoError(t, err)
	return ds
}

// dayOf a test's samples.
const dayStart = longAgo / dayMillis * dayMillis

// mixed puts samples of all kinds of a day, the frames in some order, and with a value for each time.
func mixed(t testing.TB, db *DB, order []int, change int) {
	refs := define(t, db, 40)
	for _, n := range order {
		f := &frame.Frame{}
		for i, ref := range refs {
			at := dayStart + int64(n)*60_000 + int64(i%3)*(int64(i)+1)
			rng := rand.New(rand.NewPCG(uint64(n), uint64(i)))
			switch {
			case i%10 == 7:
				h := histogram.Histogram{
					Schema: 1, Count: uint64(n) + 3, Sum: rng.Float64(), ZeroThreshold: 1e-128, ZeroCount: 1,
					PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []int64{1, int64(n)},
				}
				if n%50 == 9 {
					h.Sum = math.Float64frombits(value.StaleNaN)
				}
				f.Histograms = append(f.Histograms, frame.Histogram{Ref: ref, T: at, H: &h})
			case i%10 == 8:
				h := histogram.FloatHistogram{Schema: 0, Count: float64(n), Sum: rng.Float64(), CounterResetHint: histogram.GaugeType}
				f.Histograms = append(f.Histograms, frame.Histogram{Ref: ref, T: at, FH: &h})
			default:
				v := float64(rng.IntN(1000)) / 10
				if i%10 == 9 {
					v = rng.Float64()
				}
				if n == change && i == 0 {
					v = math.Float64frombits(math.Float64bits(v) ^ 1)
				}
				f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, at), append(f.Values, v)
			}
		}
		put(t, db, f)
	}
}

func inOrder(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// The digest of samples is the same in the head, flushed, with late ones in parts beside, sealed, put in
// another order, and imported; and with one bit changed it is another one.
func TestDigestsAreOfSamplesAlone(t *testing.T) {
	const n = 1440
	opts := Options{Retention: century}
	digest := func(db *DB) []series.Digest { return digests(t, db, dayStart, dayStart+dayMillis-1, 4) }
	db := run(t, vfs.NewMem(), opts).DB
	mixed(t, db, inOrder(n), -1)
	want := digest(db)
	require.Len(t, want, 16*12)
	samples := uint64(0)
	for _, d := range want {
		samples += d.Samples
	}
	require.EqualValues(t, 40*n, samples)
	require.NoError(t, db.Flush(t.Context()))
	require.Equal(t, want, digest(db), "flushed")
	require.NoError(t, db.Seal(t.Context()))
	require.Equal(t, want, digest(db), "sealed")

	late := run(t, vfs.NewMem(), opts).DB
	order := rand.New(rand.NewPCG(1, 1)).Perm(n)
	mixed(t, late, order[:500], -1)
	require.NoError(t, late.Flush(t.Context()))
	mixed(t, late, order[400:1100], -1)
	require.NoError(t, late.Flush(t.Context()))
	mixed(t, late, order[1000:], -1)
	require.Equal(t, want, digest(late), "in parts that overlap, and in the head")
	require.NoError(t, late.Seal(t.Context()))
	require.Equal(t, want, digest(late), "sealed of several parts")

	other := run(t, vfs.NewMem(), opts).DB
	set, err := db.Select(t.Context(), series.Selector{Mint: math.MinInt64, Maxt: math.MaxInt64})
	require.NoError(t, err)
	_, err = other.Import(t.Context(), set)
	require.NoError(t, err)
	require.Equal(t, want, digest(other), "imported")

	changed := run(t, vfs.NewMem(), opts).DB
	mixed(t, changed, inOrder(n), 700)
	differ := 0
	for i, d := range digest(changed) {
		if d != want[i] {
			differ++
			require.Equal(t, want[i].Samples, d.Samples)
		}
	}
	require.Equal(t, 1, differ, "one bit of one sample")
}

// Digests of more, and of fewer, shards are sums of each other, and so are those of slots.
func TestDigestsAddUp(t *testing.T) {
	db := run(t, vfs.NewMem(), Options{Retention: century}).DB
	mixed(t, db, inOrder(600), -1)
	require.NoError(t, db.Flush(t.Context()))
	const slots = 5
	mint, maxt := dayStart+1000, dayStart+slots*testSlot-1
	coarse, fine := digests(t, db, mint, maxt, 2), digests(t, db, mint, maxt, 14)
	sums := make([]series.Digest, len(coarse))
	for i, d := range fine {
		sums[i/slots>>12*slots+i%slots].Add(d)
	}
	require.Equal(t, coarse, sums)

	some := &series.ShardSet{Bits: 2}
	some.Add(1)
	some.Add(3)
	got, err := db.Digests(t.Context(), DigestQuery{Shards: some, Mint: mint, Maxt: maxt, Slot: testSlot})
	require.NoError(t, err)
	require.Equal(t, append(append([]series.Digest{}, coarse[slots:2*slots]...), coarse[3*slots:]...), got)
}

// What is deleted is in no digest.
func TestDigestsWithoutDeleted(t *testing.T) {
	db := run(t, vfs.NewMem(), Options{Retention: century}).DB
	mixed(t, db, inOrder(300), -1)
	require.NoError(t, db.Delete(t.Context(), dayStart, dayStart+100*60_000, equal("i", "0")))
	all := digests(t, db, dayStart, dayStart+dayMillis-1, 0)
	require.EqualValues(t, 40*300, all[0].Samples+all[1].Samples+all[2].Samples+101)
	require.NoError(t, db.CleanTombstones(t.Context()))
	require.Equal(t, all, digests(t, db, dayStart, dayStart+dayMillis-1, 0))
}

// Only what is missing is taken in, or wins, and nothing that was deleted.
func TestMend(t *testing.T) {
	opts := Options{Retention: century}
	whole, half := run(t, vfs.NewMem(), opts).DB, run(t, vfs.NewMem(), opts).DB
	mixed(t, whole, inOrder(300), -1)
	mixed(t, half, inOrder(200), 100) // Another value, which wins or does not.
	require.NoError(t, half.Flush(t.Context()))
	require.NoError(t, half.Delete(t.Context(), dayStart, dayStart+dayMillis, equal("i", "1")))
	sel := series.Selector{Mint: dayStart + 1, Maxt: dayStart + 250*60_000, Shards: allShards(3)}
	mend := func(to, from *DB) ImportInfo {
		set, err := from.Select(t.Context(), series.Selector{Mint: sel.Mint, Maxt: sel.Maxt})
		require.NoError(t, err)
		info, err := to.Mend(t.Context(), set, sel)
		require.NoError(t, err)
		return info
	}
	bits := func(db *DB) uint64 {
		all, err := read(db, dayStart, dayStart+dayMillis, equal("i", "0"))
		require.NoError(t, err)
		for _, w := range all {
			return w[dayStart+100*60_000]
		}
		return 0
	}
	wins := bits(whole) > bits(half)
	want := 39*50 + 14 // Series 1 was deleted; of the last minute, a third is not too late by some milliseconds.
	if wins {
		want++
	}
	info := mend(half, whole)
	require.EqualValues(t, want, info.Samples)
	require.Zero(t, mend(half, whole).Samples, "again")
	require.Zero(t, mend(half, whole).Parts)
	require.Equal(t, max(bits(whole), bits(half)), bits(half))
	got := mend(whole, half)
	if wins {
		require.Zero(t, got.Samples)
	} else {
		require.EqualValues(t, 1, got.Samples)
	}
}

func BenchmarkDigests(b *testing.B) {
	db := run(b, vfs.NewMem(), Options{Retention: century}).DB
	const n, samples = 2000, 480
	refs := define(b, db, n)
	gen := rand.New(rand.NewPCG(1, 1))
	for i := range int64(samples) {
		f := row(refs, dayStart+i*15_000, 0)
		for k := range f.Values {
			f.Values[k] = float64(gen.IntN(100_000)) / 100
		}
		put(b, db, f)
	}
	require.NoError(b, db.Flush(context.Background()))
	for b.Loop() {
		ds := digests(b, db, dayStart, dayStart+dayMillis-1, 8)
		require.NotEmpty(b, ds)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*samples), "ns/sample")
}
