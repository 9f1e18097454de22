package wal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

// A state is a disk as power loss may leave it, and what had been acknowledged by then.
type state struct {
	fs    *vfs.MemFS
	what  string
	acked uint64 // all records up to this
}

// A camera takes states before each operation that changes the disk.
type camera struct {
	fs     *vfs.MemFS
	rng    *rand.Rand
	mu     sync.Mutex
	acked  uint64
	states []state
}

func (c *camera) String() string { return "camera" }

func (c *camera) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, percent := range []int{0, 30, 70, 100} {
		c.states = append(c.states, state{
			fs:    c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}),
			what:  fmt.Sprintf("operation %d on %s, %d%% of unsynced", op.Kind, op.Path, percent),
			acked: c.acked,
		})
	}
	return nil
}

func (c *camera) ack(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked = n
}

// work appends records from a number on, in groups of several, with cuts and checkpoints between,
// and returns the last one acknowledged.
func work(tb testing.TB, r *running, from, groups uint64, acked func(uint64)) uint64 {
	n := from - 1
	for g := range groups {
		var pos Pos
		for range 1 + g%4 {
			n++
			var err error
			pos, err = r.Append(Kind(1+n%200), payloadOf(n))
			require.NoError(tb, err)
		}
		require.NoError(tb, r.Wait(tb.Context(), pos))
		acked(n)
		if g%6 == 5 {
			seg, err := r.BeginCut().Finish()
			require.NoError(tb, err)
			require.NoError(tb, r.Checkpoint(seg, standFor(n)))
		}
	}
	return n
}

// standFor writes a checkpoint for the records up to n.
func standFor(n uint64) func(emit func([]byte) error) error {
	return func(emit func([]byte) error) error {
		for i := uint64(1); i <= n; i++ {
			if err := emit(payloadOf(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

// check fails unless all that was acknowledged is in h, everything at most once and in order, and
// nothing is called damage that is not.
func check(tb testing.TB, h history, acked uint64, what string) {
	tb.Helper()
	require.Empty(tb, h.damage, what)
	require.True(tb, slices.IsSorted(h.numbers), "%s: %v", what, h.numbers)
	require.Equal(tb, len(h.numbers), len(slices.Compact(slices.Clone(h.numbers))), "%s: %v", what, h.numbers)
	require.GreaterOrEqual(tb, len(h.numbers), int(acked), what)
	require.True(tb, slices.Equal(upTo(acked), h.numbers[:acked]), what)
}

func TestPowerLossAtEveryOperation(t *testing.T) {
	fs := vfs.NewCrashableMem()
	c := &camera{fs: fs, rng: rand.New(rand.NewPCG(1, 2))}
	opts := Options{SegmentBytes: 20 << 10}
	w, _ := recoverLog(t, errorfs.Wrap(fs, c), opts)
	r := run(t, w)
	acked := work(t, r, 1, 20, c.ack)
	require.NoError(t, r.stop())
	require.Greater(t, len(c.states), 300)

	rng := rand.New(rand.NewPCG(3, 4))
	for i, s := range c.states {
		w, h := recoverLog(t, s.fs, opts)
		check(t, h, s.acked, s.what)
		if len(h.numbers) > 0 {
			require.LessOrEqual(t, h.numbers[len(h.numbers)-1], acked, s.what)
		}
		// Power is lost again when the replay is done: the same records come.
		again := s.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
		w2, h2 := recoverLog(t, again, opts)
		require.Equal(t, h.numbers, h2.numbers, s.what)
		require.NoError(t, w2.Close())

		// Life goes on, and a torn tail is not told again.
		r := run(t, w)
		more := uint64(1000 + i)
		require.NoError(t, r.put(more))
		require.NoError(t, r.stop())
		after := s.fs.CrashClone(vfs.CrashCloneCfg{})
		w3, h3 := recoverLog(t, after, opts)
		require.Equal(t, append(h.numbers, more), h3.numbers, s.what)
		require.Empty(t, h3.torn, s.what)
		require.Empty(t, h3.damage, s.what)
		require.NoError(t, w3.Close())
	}
}

// TestPowerLossWhileOthersAppend does the same to writers that share batches.
func TestPowerLossWhileOthersAppend(t *testing.T) {
	fs := vfs.NewCrashableMem()
	const writers, each = 6, 25
	var mu sync.Mutex
	acked := map[uint64]bool{}
	type shot struct {
		fs    *vfs.MemFS
		acked []uint64
	}
	var shots []shot
	rng := rand.New(rand.NewPCG(5, 6))
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpFileSyncData && op.Kind != errorfs.OpFileSync {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		s := shot{}
		for n := range acked {
			s.acked = append(s.acked, n)
		}
		s.fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: len(shots) % 3 * 40, RNG: rng})
		shots = append(shots, s)
		return nil
	})
	w, _ := recoverLog(t, errorfs.Wrap(fs, hook), Options{SegmentBytes: 50 << 10})
	r := run(t, w)
	var wg sync.WaitGroup
	for i := range uint64(writers) {
		wg.Go(func() {
			for j := range uint64(each) {
				n := 1 + i*each + j
				if err := r.put(n); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.stop())
	for _, s := range shots {
		w, h := recoverLog(t, s.fs, Options{})
		require.Subset(t, h.numbers, s.acked)
		require.Empty(t, h.damage)
		require.NoError(t, w.Close())
	}
}

// TestProcessCrash: in every mode the operating system has what was acknowledged.
func TestProcessCrash(t *testing.T) {
	for _, mode := range []Mode{Batch, Interval, Off} {
		fs := vfs.NewCrashableMem()
		w, _ := recoverLog(t, fs, Options{Sync: mode, SegmentBytes: 20 << 10})
		r := run(t, w)
		n := work(t, r, 1, 10, func(uint64) {})
		killed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		require.NoError(t, r.stop())
		w, h := recoverLog(t, killed, Options{})
		check(t, h, n, mode.String())
		require.NoError(t, w.Close())
	}
}
