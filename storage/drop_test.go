package storage

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

// someShards are about half of the shards in which define's first series are.
func someShards(n int) *series.ShardSet {
	set := &series.ShardSet{Bits: 8}
	for i := range n {
		if s := series.Labels(key(fmt.Sprint(i))).Fingerprint().Shard(8); s%2 == 0 {
			set.Add(s)
		}
	}
	return set
}

// without leaves out the series of the shards.
func without(all map[string]written, shards *series.ShardSet) map[string]written {
	all = maps.Clone(all)
	maps.DeleteFunc(all, func(ls string, _ written) bool { return shards.Has(series.Labels(ls).Fingerprint()) })
	return all
}

// drop drops what the DB has of the shards in parts.
func drop(t *testing.T, db *DB, shards *series.ShardSet) {
	t.Helper()
	h, err := db.Holdings(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.DropShards(t.Context(), shards, h.Before))
}

// maintain does all that is due at a time long after what the tests write.
func maintain(db *DB, at int64) {
	for i := range int64(20) {
		db.Maintain(context.Background(), time.UnixMilli(at+i*10*time.Minute.Milliseconds()))
	}
}

// What is dropped is gone at once and for good, what other shards have is the same bit for bit, what comes
// later is there, and the space comes back.
func TestDropShards(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprint("sealed=", sealed), func(t *testing.T) {
			ctx := t.Context()
			mem := vfs.NewMem()
			var told []DropInfo
			opts := Options{Retention: century, Events: Events{
				Dropped:    func(i DropInfo) { told = append(told, i) },
				Background: func(what string, err error) { t.Error(what, err) },
			}}
			db := run(t, mem, opts)
			fillDays(t, db.DB, 2)
			if sealed {
				require.NoError(t, db.Seal(ctx))
			}
			shards := someShards(40)
			all := readAll(t, db.DB)
			want := without(all, shards)
			require.Greater(t, len(want), 5)
			require.Less(t, len(want), len(all)-5)
			drop(t, db.DB, shards)
			require.Equal(t, want, readAll(t, db.DB), "at once")
			held, err := db.Holdings(ctx)
			require.NoError(t, err)
			for s := range shards.All() {
				require.False(t, held.Shards.Contains(s))
			}
			require.NotZero(t, held.Shards.Len())

			db.stop()
			db = run(t, mem, opts)
			require.Equal(t, want, readAll(t, db.DB), "over a restart")

			maintain(db.DB, midnight+20*dayMillis)
			require.Equal(t, want, readAll(t, db.DB), "with the space back")
			require.Equal(t, sealed, len(told) > 0, "what is to be sealed is not written twice")
			require.Empty(t, db.maintenance.dropped, "nothing is left to hide")
			requireDays(t, db.DB, 2)
			values, err := db.LabelValues(ctx, "i", series.Selector{Mint: math.MinInt64, Maxt: math.MaxInt64})
			require.NoError(t, err)
			require.Len(t, values, len(want), "the head has forgotten the series, too")

			refs := define(t, db.DB, 40)
			put(t, db.DB, row(refs, midnight+77, 5)) // As old as what is gone.
			again := readAll(t, db.DB)
			require.Len(t, again, 40)
			require.NoError(t, db.Flush(ctx))
			db.stop()
			db = run(t, mem, opts)
			require.Equal(t, again, readAll(t, db.DB), "what comes later")
		})
	}
}

// What came after Holdings is not dropped, whether in the head or in a part; nor what the head had.
func TestDropShardsUpTo(t *testing.T) {
	ctx := t.Context()
	db := run(t, vfs.NewMem(), Options{Retention: century})
	refs, all := define(t, db.DB, 40), &series.ShardSet{}
	all.Add(0)
	put(t, db.DB, row(refs, longAgo, 1))
	require.NoError(t, db.Flush(ctx))
	put(t, db.DB, row(refs, longAgo+1, 2))
	h, err := db.Holdings(ctx)
	require.NoError(t, err)
	require.NoError(t, db.Flush(ctx))
	put(t, db.DB, row(refs, longAgo+2, 3))
	require.NoError(t, db.DropShards(ctx, all, h.Before))
	require.NoError(t, db.DropShards(ctx, all, 0), "nothing is taken back")
	want := map[string]written{}
	for i := range 40 {
		want[key(fmt.Sprint(i))] = written{longAgo + 1: bits(2), longAgo + 2: bits(3)}
	}
	require.Equal(t, want, readAll(t, db.DB))
	maintain(db.DB, longAgo+20*dayMillis)
	require.Equal(t, want, readAll(t, db.DB))
	require.NoError(t, db.DropShards(ctx, all, math.MaxUint32), "no part that is yet to come")
	put(t, db.DB, row(define(t, db.DB, 40), longAgo+3, 4))
	require.NoError(t, db.Flush(ctx))
	for i := range 40 {
		want[key(fmt.Sprint(i))] = written{longAgo + 3: bits(4)}
	}
	require.Equal(t, want, readAll(t, db.DB))
}

// A part of which little is dropped stays as it is, and one of which all is goes, with its mark.
func TestReclaimIsWorthIt(t *testing.T) {
	ctx := t.Context()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	refs := define(t, db.DB, 400)
	for i := range int64(200) {
		put(t, db.DB, row(refs, longAgo+i*1000, math.Sqrt(float64(i))))
		put(t, db.DB, row(refs[:1], longAgo+2*dayMillis+i*1000, float64(i)))
	}
	require.NoError(t, db.Flush(ctx))
	require.Len(t, db.parts.snapshot(), 2)
	one := &series.ShardSet{Bits: 8}
	one.Add(series.Labels(key("0")).Fingerprint().Shard(8))
	want := without(readAll(t, db.DB), one)
	drop(t, db.DB, one)
	maintain(db.DB, longAgo+20*dayMillis)
	require.Len(t, db.parts.snapshot(), 1)
	require.NotNil(t, db.parts.snapshot()[0].Hidden())
	require.True(t, db.parts.snapshot()[0].reclaimed)
	require.Equal(t, want, readAll(t, db.DB))
	db.stop()
	db = run(t, mem, Options{Retention: century})
	require.Equal(t, want, readAll(t, db.DB))
	require.Len(t, db.maintenance.dropped, 1)
}

func storeBytes(t *testing.T, fs vfs.FS) (total int64) {
	names, err := fs.List("data/store")
	require.NoError(t, err)
	for _, name := range names {
		info, err := fs.Stat("data/store/" + name)
		require.NoError(t, err)
		total += info.Size()
	}
	return total
}

// Half of the shards take about half of the space.
func TestSpaceOfDroppedShards(t *testing.T) {
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	refs := define(t, db.DB, 2000)
	for i := range int64(100) {
		f := row(refs, longAgo+i*1000, 0)
		for j := range f.Values {
			f.Values[j] = math.Sqrt(float64(i) * float64(j))
		}
		put(t, db.DB, f)
	}
	require.NoError(t, db.Flush(t.Context()))
	db.stop()
	before := storeBytes(t, mem)
	db = run(t, mem, Options{Retention: century})
	drop(t, db.DB, someShards(2000))
	maintain(db.DB, longAgo+20*dayMillis)
	db.stop()
	require.Less(t, storeBytes(t, mem), before*6/10)
}

// Who reads while shards are dropped and their space comes back reads whole samples or none of a shard, and
// everything of the others.
func TestReadWhileDropping(t *testing.T) {
	db := run(t, vfs.NewMem(), Options{Retention: century})
	fillDays(t, db.DB, 2)
	require.NoError(t, db.Seal(t.Context()))
	all := readAll(t, db.DB)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				got, err := read(db.DB, math.MinInt64, math.MaxInt64, equal("__name__", "m"))
				if err != nil {
					t.Error(err)
					return
				}
				for ls, samples := range got {
					for at, v := range samples {
						if all[ls][at] != v {
							t.Errorf("%s has %x at %d", ls, v, at)
							return
						}
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for s := range someShards(40).All() {
		one := &series.ShardSet{Bits: 8}
		one.Add(s)
		drop(t, db.DB, one)
		maintain(db.DB, midnight+20*dayMillis)
	}
	close(done)
	readers.Wait()
	require.Equal(t, without(all, someShards(40)), readAll(t, db.DB))
}

// Power is lost before each operation on the disk that changes something while shards are dropped, their
// space comes back, and the rest is sealed. They are there or not, the others always.
func TestPowerLossWhileDropping(t *testing.T) {
	ctx := t.Context()
	mem := vfs.NewCrashableMem()
	type crash struct {
		fs      *vfs.MemFS
		dropped bool
	}
	var (
		mu      sync.Mutex // of what follows
		armed   bool
		dropped bool
		crashes []crash
		rng     = rand.New(rand.NewPCG(5, 6))
	)
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			unsynced := []int{0, 50, 100}[rng.IntN(3)]
			crashes = append(crashes, crash{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng}), dropped})
		}
		return nil
	})
	set := func(v *bool) {
		mu.Lock()
		defer mu.Unlock()
		*v = !*v
	}
	db := run(t, errorfs.Wrap(mem, hook), Options{Retention: century, WALSegmentBytes: 4 << 10})
	fillDays(t, db.DB, 2)
	require.NoError(t, db.Seal(ctx))
	refs := define(t, db.DB, 40)
	put(t, db.DB, row(refs, midnight+77, 3))
	require.NoError(t, db.Flush(ctx))
	put(t, db.DB, row(refs, midnight+5*dayMillis, 1)) // Stays in the log.
	db.maintenance.Lock()
	db.maintenance.checkpointed = 0 // The last flush has lost its checkpoint.
	db.maintenance.Unlock()
	shards := someShards(40)
	all := readAll(t, db.DB)
	want := without(all, shards)
	for ls := range all {
		if want[ls] == nil {
			want[ls] = written{midnight + 5*dayMillis: bits(1)}
		}
	}
	set(&armed)
	drop(t, db.DB, shards)
	set(&dropped)
	for i := range 10 { // Not so late that the head would be flushed.
		db.maintenance.Lock()
		err := db.reclaim(ctx, time.UnixMilli(midnight+20*dayMillis).Add(time.Duration(i)*time.Hour))
		db.maintenance.Unlock()
		require.NoError(t, err)
	}
	require.NoError(t, db.Seal(ctx))
	set(&armed)
	require.Equal(t, want, readAll(t, db.DB))
	db.stop()
	require.Greater(t, len(crashes), 40)
	for i, c := range crashes {
		if !*thorough && i%3 != 0 {
			continue
		}
		again := run(t, c.fs, Options{Retention: century})
		got := readAll(t, again.DB)
		if !c.dropped && len(got[key("0")]) > 1 && len(got) == len(all) && !maps.EqualFunc(got, want, maps.Equal) {
			require.Equal(t, all, got, "crash %d", i)
			drop(t, again.DB, shards)
		}
		require.Equal(t, want, readAll(t, again.DB), "crash %d", i)
		maintain(again.DB, midnight+4*dayMillis)
		require.Equal(t, want, readAll(t, again.DB), "crash %d, space back", i)
		for _, p := range again.parts.snapshot() {
			require.NoError(t, p.Verify(again.store))
		}
		again.stop()
		again = run(t, c.fs, Options{Retention: century})
		require.Equal(t, want, readAll(t, again.DB), "crash %d, opened again", i)
		again.stop()
	}
}

// Random drops, writes, flushes, seals and restarts against what ought to be there.
func TestDropsAgainstModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			ctx := t.Context()
			r := rand.New(rand.NewPCG(seed, 9))
			mem := vfs.NewMem()
			db := run(t, mem, Options{Retention: century})
			inHead, inParts := map[string]written{}, map[string]written{}
			for step := range 120 {
				switch r.IntN(12) {
				case 0, 1:
					require.NoError(t, db.Flush(ctx))
					for ls, samples := range inHead {
						if inParts[ls] == nil {
							inParts[ls] = written{}
						}
						maps.Copy(inParts[ls], samples)
					}
					clear(inHead)
				case 2:
					shards := &series.ShardSet{Bits: uint8(r.IntN(11))}
					for s := range 1 << shards.Bits {
						if r.IntN(4) == 0 {
							shards.Add(series.Shard(s))
						}
					}
					drop(t, db.DB, shards)
					whole := shards.Within(8)
					maps.DeleteFunc(inParts, func(ls string, _ written) bool { return whole.Has(series.Labels(ls).Fingerprint()) })
				case 3:
					db.maintenance.Lock()
					require.NoError(t, db.reclaim(ctx, time.UnixMilli(longAgo+20*dayMillis).Add(time.Duration(step)*time.Hour)))
					db.maintenance.Unlock()
				case 4:
					db.stop()
					db = run(t, mem, Options{Retention: century})
				case 5:
					require.NoError(t, db.Seal(ctx))
					for ls, samples := range inHead {
						if inParts[ls] == nil {
							inParts[ls] = written{}
						}
						maps.Copy(inParts[ls], samples)
					}
					clear(inHead)
				default:
					at := longAgo + int64(step)*dayMillis/40
					put(t, db.DB, row(define(t, db.DB, 60), at, float64(step)))
					for i := range 60 {
						k := key(fmt.Sprint(i))
						if inHead[k] == nil {
							inHead[k] = written{}
						}
						inHead[k][at] = bits(float64(step))
					}
				}
				want := map[string]written{}
				for _, m := range []map[string]written{inHead, inParts} {
					for ls, samples := range m {
						if want[ls] == nil {
							want[ls] = written{}
						}
						maps.Copy(want[ls], samples)
					}
				}
				require.Equal(t, want, readAll(t, db.DB), "step %d", step)
			}
		})
	}
}

func TestDroppedFormat(t *testing.T) {
	d := dropped{0: 7, 3: math.MaxUint32, 255: 1}
	const golden = "01080300070" + "2ffffffff0ffb0101"
	require.Equal(t, golden, hex.EncodeToString(d.encode(8)))
	again, err := DecodeDropped(d.encode(8), 8)
	require.NoError(t, err)
	require.Equal(t, d, dropped(again))
	for n := range len(d.encode(8)) {
		_, err := DecodeDropped(d.encode(8)[:n], 8)
		require.ErrorIs(t, err, errDropped)
	}
	_, err = DecodeDropped(append(d.encode(8), 0), 8)
	require.ErrorIs(t, err, errDropped)
	_, err = DecodeDropped(d.encode(8), 7)
	require.ErrorIs(t, err, errDropped)
	require.Nil(t, d.hides(math.MaxUint32, 8))
	require.Equal(t, []series.Shard{0, 3}, slices.Collect(d.hides(6, 8).All()))
	require.Equal(t, uint32(math.MaxUint32), d.nextSeq())
}

func FuzzDropped(f *testing.F) {
	f.Add(dropped{0: 7, 3: math.MaxUint32, 255: 1}.encode(8))
	f.Add(dropped{}.encode(8))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDropped(b, 8)
		if err != nil {
			require.ErrorIs(t, err, errDropped)
			return
		}
		again, err := DecodeDropped(dropped(d).encode(8), 8)
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}
