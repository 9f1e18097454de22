package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testDir = "wal"

// payloadOf is the payload of the record with a number: of a length and content of its own.
func payloadOf(n uint64) []byte {
	rng := rand.New(rand.NewPCG(n, 1))
	b := make([]byte, 8+rng.IntN(3000))
	binary.LittleEndian.PutUint64(b, n)
	for i := range b[8:] {
		b[8+i] = byte(rng.Uint32())
	}
	return b
}

// A history is what a replay delivered, by the records' numbers.
type history struct {
	stats   ReplayStats
	numbers []uint64
	torn    []TornTail
	damage  []Damage
}

// recoverLog opens and replays the log, checking each record's bytes, and returns it not yet running.
// A checkpoint's record is the number of a record it stands for.
func recoverLog(tb testing.TB, fs vfs.FS, opts Options) (*WAL, history) {
	tb.Helper()
	var h history
	opts.Events.TornTail = func(t TornTail) { h.torn = append(h.torn, t) }
	opts.Events.Damaged = func(d Damage) { h.damage = append(h.damage, d) }
	w, err := Open(fs, testDir, opts)
	require.NoError(tb, err)
	h.stats, err = w.Replay(func(_ uint64, kind Kind, payload []byte) error {
		if len(payload) < 8 {
			return fmt.Errorf("payload of %d bytes was never appended", len(payload))
		}
		n := binary.LittleEndian.Uint64(payload)
		if kind != KindCheckpoint {
			if kind != Kind(1+n%200) {
				return fmt.Errorf("record %d has kind %d", n, kind)
			}
			if !bytes.Equal(payload, payloadOf(n)) {
				return fmt.Errorf("record %d has wrong bytes", n)
			}
		}
		h.numbers = append(h.numbers, n)
		return nil
	})
	require.NoError(tb, err)
	require.Equal(tb, len(h.numbers), h.stats.Records)
	return w, h
}

// running is a log that runs until stop.
type running struct {
	*WAL
	tb   testing.TB
	end  context.CancelFunc
	done sync.WaitGroup
	err  error
}

func run(tb testing.TB, w *WAL) *running {
	r := &running{WAL: w, tb: tb}
	ctx, cancel := context.WithCancel(tb.Context())
	r.end = cancel
	r.done.Go(func() { r.err = w.Run(ctx) })
	return r
}

// stop ends Run and closes the log; the error is the first of both.
func (r *running) stop() error {
	r.end()
	r.done.Wait()
	return errors.Join(r.err, r.Close())
}

func (r *running) put(n uint64) error {
	pos, err := r.Append(Kind(1+n%200), payloadOf(n))
	if err != nil {
		return err
	}
	return r.Wait(r.tb.Context(), pos)
}

func upTo(n uint64) []uint64 {
	var all []uint64
	for i := uint64(1); i <= n; i++ {
		all = append(all, i)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	for _, mode := range []Mode{Batch, Interval, Off} {
		t.Run(mode.String(), func(t *testing.T) {
			fs := vfs.NewMem()
			opts := Options{Sync: mode, SegmentBytes: 16 << 10}
			n := uint64(0)
			for range 3 { // Each time goes on behind the last.
				w, h := recoverLog(t, fs, opts)
				require.Equal(t, upTo(n), h.numbers)
				require.Empty(t, h.torn)
				require.Empty(t, h.damage)
				r := run(t, w)
				for range 30 {
					n++
					require.NoError(t, r.put(n))
				}
				require.Positive(t, r.Bytes())
				require.NoError(t, r.stop())
			}
			w, h := recoverLog(t, fs, opts)
			require.Equal(t, upTo(n), h.numbers)
			require.Greater(t, h.stats.Segments, 5)
			first, last := w.Segments()
			require.Equal(t, uint64(1), first)
			require.Equal(t, uint64(h.stats.Segments), last)
			require.NoError(t, w.Close())
		})
	}
}

func TestConcurrentAppend(t *testing.T) {
	fs := vfs.NewMem()
	reg := prometheus.NewRegistry()
	w, _ := recoverLog(t, fs, Options{SegmentBytes: 64 << 10, BufferBytes: 8 << 10, Registerer: reg})
	r := run(t, w)
	const writers, each = 8, 100
	var wg sync.WaitGroup
	for i := range uint64(writers) {
		wg.Go(func() {
			for j := range uint64(each) {
				if err := r.put(1 + i*each + j); err != nil {
					t.Error(err)
				}
				if j%40 == 0 {
					if _, err := r.BeginCut().Finish(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.stop())
	families, err := reg.Gather()
	require.NoError(t, err)
	require.NotEmpty(t, families)

	w, h := recoverLog(t, fs, Options{})
	require.ElementsMatch(t, upTo(writers*each), h.numbers)
	last := map[uint64]uint64{} // Each writer's records are in its order.
	for _, n := range h.numbers {
		writer := (n - 1) / each
		require.Greater(t, n, last[writer])
		last[writer] = n
	}
	require.NoError(t, w.Close())
}

func TestSizes(t *testing.T) {
	fs := vfs.NewMem()
	w := openRunning(t, fs, testDir, Options{MaxRecordBytes: 3 << 20, BufferBytes: 1 << 20})
	sizes := []int{0, 1, pieceBytes - recordHeaderLen, pieceBytes, pieceBytes + 1, 3 << 20, 2}
	for _, size := range sizes {
		pos, err := w.Append(7, bytes.Repeat([]byte{marker[0]}, size))
		require.NoError(t, err)
		require.NoError(t, w.Wait(t.Context(), pos))
	}
	_, err := w.Append(7, make([]byte, 3<<20+1))
	require.ErrorIs(t, err, ErrTooLarge)
	require.Panics(t, func() { _, _ = w.Append(KindCheckpoint, nil) })

	again, err := Open(fs, testDir, Options{})
	require.NoError(t, err)
	var got []int
	_, err = again.Replay(func(_ uint64, kind Kind, payload []byte) error {
		require.Equal(t, Kind(7), kind)
		got = append(got, len(payload))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, sizes, got)
	require.NoError(t, again.Close())
}

func TestCutSeparates(t *testing.T) {
	fs := vfs.NewMem()
	w, _ := recoverLog(t, fs, Options{FirstSegment: 40})
	_, err := w.Append(1, []byte("before"))
	require.NoError(t, err)
	seg, err := w.BeginCut().Finish() // It needs no Run.
	require.NoError(t, err)
	require.Equal(t, uint64(41), seg)
	again, err := w.BeginCut().Finish()
	require.NoError(t, err)
	require.Equal(t, seg, again, "an empty segment is not cut")
	_, err = w.Append(1, []byte("after"))
	require.NoError(t, err)
	require.NoError(t, w.Close())

	w, err = Open(fs, testDir, Options{})
	require.NoError(t, err)
	var got []string
	_, err = w.Replay(func(seg uint64, _ Kind, payload []byte) error {
		got = append(got, fmt.Sprintf("%d %s", seg, payload))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"40 before", "41 after"}, got)
	require.NoError(t, w.Close())
}

func TestEnds(t *testing.T) {
	fs := vfs.NewMem()
	w, err := Open(fs, testDir, Options{})
	require.NoError(t, err)
	_, err = w.Append(1, nil)
	require.ErrorContains(t, err, "before its replay")
	require.NoError(t, w.Wait(t.Context(), Pos{}))
	_, err = w.Replay(func(uint64, Kind, []byte) error { return nil })
	require.NoError(t, err)

	pos, err := w.Append(1, []byte("x"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.Wait(ctx, pos), context.Canceled)
	require.NoError(t, w.Run(ctx), "it drains")
	require.NoError(t, w.Wait(t.Context(), pos))
	_, err = w.Append(1, nil)
	require.ErrorIs(t, err, ErrClosed)
	seg, err := w.BeginCut().Finish()
	require.NoError(t, err, "a last checkpoint is possible")
	require.NoError(t, w.Checkpoint(seg, func(func([]byte) error) error { return nil }))
	require.NoError(t, w.Close())
	require.NoError(t, w.Close())
	_, err = w.BeginCut().Finish()
	require.ErrorIs(t, err, ErrClosed)
}

func TestReplayStopsAtCallersError(t *testing.T) {
	fs := vfs.NewMem()
	r := run(t, first(recoverLog(t, fs, Options{})))
	require.NoError(t, r.put(1))
	require.NoError(t, r.stop())
	w, err := Open(fs, testDir, Options{})
	require.NoError(t, err)
	stop := errors.New("stop")
	_, err = w.Replay(func(uint64, Kind, []byte) error { return stop })
	require.ErrorIs(t, err, stop)
	require.NoError(t, w.Close())
}

func first[A, B any](a A, _ B) A { return a }

func TestFullBufferBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := recoverLog(t, vfs.NewMem(), Options{BufferBytes: 1000, StallTimeout: time.Second})
		payload := make([]byte, 600)
		_, err := w.Append(1, payload)
		require.NoError(t, err)
		begin := time.Now()
		_, err = w.Append(1, payload)
		require.ErrorIs(t, err, ErrStalled)
		require.Equal(t, time.Second, time.Since(begin))

		var blocked sync.WaitGroup
		blocked.Go(func() {
			_, err := w.Append(1, payload)
			require.NoError(t, err)
		})
		synctest.Wait()
		r := run(t, w)
		blocked.Wait()

		require.NoError(t, r.stop())
		_, err = w.Append(1, payload)
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestOptions(t *testing.T) {
	for _, m := range []Mode{Batch, Interval, Off} {
		got, err := ParseMode(m.String())
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	_, err := ParseMode("sometimes")
	require.ErrorContains(t, err, "sometimes")
	require.Equal(t, "Mode(9)", Mode(9).String())
	for _, o := range []Options{
		{Sync: 9},
		{Interval: -1},
		{SegmentBytes: -1},
		{SegmentBytes: 2 << 30},
		{MaxRecordBytes: 65 << 20},
		{BufferBytes: -1},
		{StallTimeout: -1},
	} {
		_, err := Open(vfs.NewMem(), testDir, o)
		require.Error(t, err)
	}
}
