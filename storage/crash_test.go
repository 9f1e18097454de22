package storage

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	firstCrashes   = 15
	sampledCrashes = 60
)

// ledger is what was acknowledged, in order.
type ledger struct {
	labels []series.Labels
	frames []frame.Frame
	acked  atomic.Int64 // frames
}

// expect returns the samples of the first n frames by series.
func (l *ledger) expect(n int64, refs map[series.Ref]int) map[int]written {
	out := map[int]written{}
	for _, f := range l.frames[:n] {
		for i, r := range f.Refs {
			s := refs[r]
			if out[s] == nil {
				out[s] = written{}
			}
			v := f.Values[i]
			if old, ok := out[s][f.Times[i]]; ok && !series.Better(v, math.Float64frombits(old)) {
				continue
			}
			out[s][f.Times[i]] = math.Float64bits(v)
		}
	}
	return out
}

// Power goes at every point at which a file is synced, just before and so also just after the sync
// before it. Whatever was acknowledged by then must be there with its bits.
func TestPowerLossAtEverySync(t *testing.T) {
	const (
		nSeries = 20
		nFrames = 60
		slot    = int64(7_200_000)
	)
	for _, unsynced := range []int{0, 50} {
		t.Run(fmt.Sprintf("unsynced=%d", unsynced), func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			rng := rand.New(rand.NewPCG(uint64(unsynced), 7))
			lost := rand.New(rand.NewPCG(uint64(unsynced), 8)) // mu guards it
			l := &ledger{}
			type crash struct {
				fs    *vfs.MemFS
				acked int64
				at    errorfs.Op
			}
			var mu sync.Mutex
			var crashes []crash
			hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
				switch op.Kind {
				case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpRename, errorfs.OpRemove:
					acked := l.acked.Load()
					mu.Lock()
					crashes = append(crashes, crash{
						mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: lost}), acked, op,
					})
					mu.Unlock()
				}
				return nil
			})
			db := run(t, errorfs.Wrap(mem, hook), Options{WALSegmentBytes: 4 << 10, CheckpointBytes: 16 << 10})
			refs := map[series.Ref]int{}
			for i := range nSeries {
				l.labels = append(l.labels, series.FromStrings("__name__", "m", "i", fmt.Sprint(i)))
			}
			got, err := db.Refs(context.Background(), nil, l.labels)
			require.NoError(t, err)
			for i, r := range got {
				refs[r] = i
			}
			begin := time.Now().UnixMilli()/slot*slot - 2*slot
			for n := range nFrames {
				f := frame.Frame{}
				for i, r := range got {
					late := int64(0)
					if rng.IntN(4) == 0 {
						late = int64(rng.IntN(int(slot)))
					}
					f.Refs = append(f.Refs, r)
					f.Times = append(f.Times, begin+int64(n)*slot/20-late)
					f.Values = append(f.Values, float64(i*1000+n)+rng.Float64())
				}
				l.frames = append(l.frames, f)
				rejected, err := db.Append(context.Background(), &f)
				require.NoError(t, err)
				require.Empty(t, rejected)
				l.acked.Add(1)
				if n%15 == 14 {
					db.Maintain(context.Background(), time.UnixMilli(begin+int64(n)*slot/20))
				}
			}
			require.NoError(t, db.Flush(context.Background()))
			db.stop()
			require.Greater(t, len(crashes), nFrames)
			for i, c := range crashes {
				if !*thorough && i >= firstCrashes && rng.IntN(len(crashes)) >= sampledCrashes {
					continue
				}
				again := run(t, c.fs, Options{WALSegmentBytes: 4 << 10})
				all := readAll(t, again.DB)
				for s, want := range l.expect(c.acked, refs) {
					have := all[string(l.labels[s])]
					for ts, bits := range want {
						got, ok := have[ts]
						// A later frame may have been written, too, with a better value.
						if !ok || (got != bits && !series.Better(math.Float64frombits(got), math.Float64frombits(bits))) {
							t.Fatalf("crash %d at %v %s: series %d at %d: have %x (%v), acknowledged %x",
								i, c.at.Kind, c.at.Path, s, ts, got, ok, bits)
						}
					}
				}
				again.stop()
			}
			t.Logf("%d crashes", len(crashes))
		})
	}
}

// Power goes, and goes again while the log is read and cut anew.
func TestPowerLossDuringRecovery(t *testing.T) {
	mem := vfs.NewCrashableMem()
	db := run(t, mem, Options{WALSegmentBytes: 2 << 10})
	ls := []series.Labels{series.FromStrings("__name__", "m")}
	refs, err := db.Refs(context.Background(), nil, ls)
	require.NoError(t, err)
	now := time.Now().UnixMilli()
	want := written{}
	for n := range int64(200) {
		f := frame.Frame{Refs: refs, Times: []int64{now + n}, Values: []float64{float64(n)}}
		_, err := db.Append(context.Background(), &f)
		require.NoError(t, err)
		want[now+n] = math.Float64bits(float64(n))
	}
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	for range 3 {
		var crashed atomic.Pointer[vfs.MemFS]
		disk := after
		hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				crashed.Store(disk.CrashClone(vfs.CrashCloneCfg{}))
			}
			return nil
		})
		again, err := Open("data", Options{FS: errorfs.Wrap(disk, hook)})
		require.NoError(t, err)
		require.Equal(t, want, readAll(t, again)[string(ls[0])])
		require.NoError(t, again.Close())
		require.NotNil(t, crashed.Load())
		after = crashed.Load()
	}
}
