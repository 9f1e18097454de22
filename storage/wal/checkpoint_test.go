package wal

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

func list(tb testing.TB, fs vfs.FS) string {
	names, err := fs.List(testDir)
	require.NoError(tb, err)
	slices.Sort(names)
	return strings.ReplaceAll(strings.Join(names, " "), "0000000000000", "")
}

func TestCheckpointReplaces(t *testing.T) {
	fs := vfs.NewMem()
	w, _ := recoverLog(t, fs, Options{})
	var infos []CheckpointInfo
	w.opts.Events.Checkpointed = func(i CheckpointInfo) { infos = append(infos, i) }
	r := run(t, w)
	n := work(t, r, 1, 14, func(uint64) {})
	require.Equal(t, "003.checkpoint 003.wal", list(t, fs))
	require.Len(t, infos, 2)
	require.Equal(t, uint64(3), infos[1].Segment)
	require.Equal(t, 1, infos[1].SegmentsRemoved)
	require.Positive(t, infos[1].Bytes)

	require.ErrorContains(t, r.Checkpoint(99, standFor(1)), "no segment 99")
	seg, err := r.BeginCut().Finish()
	require.NoError(t, err)
	wrong := errors.New("wrong")
	require.ErrorIs(t, r.Checkpoint(seg, func(emit func([]byte) error) error {
		require.NoError(t, emit(payloadOf(1)))
		return wrong
	}), wrong)
	require.ErrorIs(t, r.Checkpoint(seg, func(emit func([]byte) error) error {
		return emit(make([]byte, maxPayload+1))
	}), ErrTooLarge)
	require.Equal(t, "003.checkpoint 003.wal 004.wal", list(t, fs), "nothing changed")
	require.NoError(t, r.stop())

	w, h := recoverLog(t, fs, Options{})
	check(t, h, n, "after checkpoints")
	require.Equal(t, uint64(3), h.stats.Checkpoint)
	require.NoError(t, w.Close())
}

// before is a disk just before an operation.
type before struct {
	fs *vfs.MemFS
	op errorfs.Op
}

// checkpointed makes a log with an older checkpoint and more records, writes a newer one, and returns
// the disk before each step of that, and after.
func checkpointed(t *testing.T, percent int) (steps []before, n uint64) {
	fs := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(uint64(percent), 0))
	shooting := false
	w, _ := recoverLog(t, errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if shooting && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			shot := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			steps = append(steps, before{shot, op})
		}
		return nil
	})), Options{SegmentBytes: 10 << 10})
	r := run(t, w)
	n = work(t, r, 1, 11, func(uint64) {})
	seg, err := r.BeginCut().Finish()
	require.NoError(t, err)
	shooting = true
	require.NoError(t, r.Checkpoint(seg, standFor(n)))
	shooting = false
	require.NoError(t, r.stop())
	return append(steps, before{fs: fs.CrashClone(vfs.CrashCloneCfg{})}), n
}

func TestPowerLossDuringCheckpoint(t *testing.T) {
	for _, percent := range []int{0, 50, 100} {
		steps, n := checkpointed(t, percent)
		require.Greater(t, len(steps), 8)
		for _, s := range steps {
			w, h := recoverLog(t, s.fs, Options{})
			check(t, h, n, s.op.Path)
			require.NoError(t, w.Close())
			names := list(t, s.fs)
			require.NotContains(t, names, "tmp")
			require.Equal(t, 1, strings.Count(names, "checkpoint"), names)
			oldest := names[:strings.Index(names, ".")]
			require.Contains(t, names, oldest+".checkpoint", "segments before the checkpoint are left: %s", names)
		}
	}
}

// TestDamagedCheckpointFallsBack damages the newest checkpoint at each step of its making: as long
// as the older state is complete it is used, and else what can be read.
func TestDamagedCheckpointFallsBack(t *testing.T) {
	fellBack, partial := 0, 0
	for _, percent := range []int{0, 50, 100} {
		steps, n := checkpointed(t, percent)
		for _, s := range steps {
			numbers, err := directory{fs: s.fs, path: testDir}.list(checkpointSuffix)
			require.NoError(t, err)
			newest := directory{fs: s.fs, path: testDir}.checkpoint(numbers[len(numbers)-1])
			if numbers[len(numbers)-1] == 2 {
				continue // The newer one is not there yet.
			}
			b := contents(t, s.fs, newest)
			b[firstRecord+recordHeaderLen+8] ^= 1
			rewrite(t, s.fs, newest, b)
			w, h := recoverLog(t, s.fs, Options{})
			require.NotEmpty(t, h.damage)
			require.Equal(t, newest, h.damage[0].Path)
			if len(numbers) == 2 {
				require.Equal(t, upTo(n), h.numbers)
				fellBack++
			} else {
				require.Equal(t, upTo(n)[1:], h.numbers)
				partial++
			}
			require.NoError(t, w.Close())
		}
	}
	require.Positive(t, fellBack)
	require.Positive(t, partial)
}

// TestDamagedFirstCheckpoint: the older base is no checkpoint at all.
func TestDamagedFirstCheckpoint(t *testing.T) {
	fs := vfs.NewMem()
	keep := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRemove {
			return syscall.EIO
		}
		return nil
	})
	r := run(t, first(recoverLog(t, errorfs.Wrap(fs, keep), Options{})))
	require.NoError(t, r.put(1))
	seg, err := r.BeginCut().Finish()
	require.NoError(t, err)
	require.NoError(t, r.put(2))
	require.ErrorContains(t, r.Checkpoint(seg, standFor(1)), "remove what checkpoint 2 replaces")
	require.NoError(t, r.stop())
	path := directory{fs: fs, path: testDir}.checkpoint(seg)
	b := contents(t, fs, path)
	rewrite(t, fs, path, b[:len(b)-1])

	w, h := recoverLog(t, fs, Options{})
	require.Equal(t, []uint64{1, 2}, h.numbers)
	require.Zero(t, h.stats.Checkpoint)
	require.Len(t, h.damage, 1)
	require.NoError(t, w.Close())
	require.Equal(t, "001.wal 002.checkpoint 002.wal", list(t, fs), "nothing is removed beside a damaged checkpoint")

	rewrite(t, fs, path, b)
	w, h = recoverLog(t, fs, Options{})
	require.Equal(t, []uint64{1, 2}, h.numbers)
	require.Equal(t, seg, h.stats.Checkpoint)
	require.NoError(t, w.Close())
	require.Equal(t, "002.checkpoint 002.wal", list(t, fs))
}

// TestCheckpointErrors fails each operation of a checkpoint: the log goes on, and nothing is lost.
func TestCheckpointErrors(t *testing.T) {
	for at := int64(1); ; at++ {
		fs := vfs.NewCrashableMem()
		f := &fault{err: syscall.ENOSPC, first: 1 << 60}
		r := run(t, first(recoverLog(t, errorfs.Wrap(fs, f), Options{})))
		n := work(t, r, 1, 5, func(uint64) {})
		seg, err := r.BeginCut().Finish()
		require.NoError(t, err)
		f.ops.Store(0)
		f.first, f.last = at, at+1
		err = r.Checkpoint(seg, standFor(n))
		if f.hit.Load() == 0 {
			require.NoError(t, err)
			require.NoError(t, r.stop())
			require.Greater(t, at, int64(6))
			return
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.NoError(t, r.put(n+1))
		again, err := r.BeginCut().Finish()
		require.NoError(t, err)
		require.NoError(t, r.put(n+2))
		require.NoError(t, r.Checkpoint(again, standFor(n+1)), "the next one works")
		require.NoError(t, r.stop())
		w, h := recoverLog(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
		check(t, h, n+2, f.String())
		require.Equal(t, again, h.stats.Checkpoint)
		require.NoError(t, w.Close())
	}
}

// TestCheckpointWhileAppending takes checkpoints beside a writer.
func TestCheckpointWhileAppending(t *testing.T) {
	fs := vfs.NewMem()
	r := run(t, first(recoverLog(t, fs, Options{SegmentBytes: 8 << 10})))
	written := make(chan uint64, 1)
	go func() {
		n := uint64(0)
		for n < 300 {
			if err := r.put(n + 1); err != nil {
				t.Error(err)
				break
			}
			n++
		}
		written <- n
	}()
	for n := uint64(0); n == 0; {
		seg, err := r.BeginCut().Finish()
		require.NoError(t, err)
		upto := uint64(0)
		scanFS(t, fs, seg, func(n uint64) { upto = max(upto, n) })
		require.NoError(t, r.Checkpoint(seg, standFor(upto)))
		select {
		case n = <-written:
			require.Equal(t, uint64(300), n)
		default:
		}
	}
	require.NoError(t, r.stop())
	w, h := recoverLog(t, fs, Options{})
	check(t, h, 300, "beside a writer")
	require.NoError(t, w.Close())
}

// scanFS reads the numbers of the records before a segment, those of the checkpoint too.
func scanFS(t *testing.T, fs vfs.FS, seg uint64, fn func(uint64)) {
	for _, suffix := range []string{checkpointSuffix, segmentSuffix} {
		dir := directory{fs: fs, path: testDir}
		numbers, err := dir.list(suffix)
		require.NoError(t, err)
		for _, n := range numbers {
			if suffix == segmentSuffix && n >= seg {
				break
			}
			_, err := DumpSegment(fs, dir.name(n, suffix), func(e Entry) error {
				if e.Kind != kindEnd {
					fn(binary.LittleEndian.Uint64(e.Payload))
				}
				return nil
			})
			require.NoError(t, err)
		}
	}
}
