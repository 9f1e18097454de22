package wal

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// enter appends a record of some bytes as one who is at work, and returns how long it took.
func enter(t *testing.T, w *WAL, bytes int) time.Duration {
	begin := time.Now()
	if err := w.Enter(); err != nil {
		t.Error(err)
		return 0
	}
	defer w.Leave()
	pos, err := w.Append(1, make([]byte, bytes))
	if err == nil {
		err = w.Wait(t.Context(), pos)
	}
	if err != nil {
		t.Error(err)
	}
	return time.Since(begin)
}

// slowFS takes a millisecond for a sync.
type slowFS struct{ vfs.FS }

func (s slowFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return slowFile{f}, err
}

type slowFile struct{ vfs.File }

func (f slowFile) SyncData() error {
	time.Sleep(time.Millisecond)
	return f.File.SyncData()
}

// Connections that each wait for their record share syncs, though they come one after the other.
func TestWritersShareSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := recoverLog(t, slowFS{vfs.NewMem()}, Options{})
		r := run(t, w)
		const writers, each = 4, 50
		before := syncs(t, w)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				for range each {
					time.Sleep(time.Duration(1+i) * 500 * time.Microsecond)
					enter(t, w, 100)
				}
			})
		}
		wg.Wait()
		require.Less(t, syncs(t, w)-before, each+20.0)

		waited := time.Duration(0)
		for range 10 {
			waited += enter(t, w, 100)
		}
		require.LessOrEqual(t, waited, 10*time.Millisecond+gatherTime, "who is alone waits for the others once")
		require.NoError(t, r.stop())
	})
}

// A record that nobody waits for is written soon all the same.
func TestNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := recoverLog(t, vfs.NewMem(), Options{})
		r := run(t, w)
		pos, err := w.Append(1, []byte("definition"))
		require.NoError(t, err)
		time.Sleep(gatherTime)
		synctest.Wait()
		select {
		case <-pos.batch.done:
		default:
			t.Error("the record is not written")
		}
		require.NoError(t, r.stop())
	})
}

// A batch ends with its page, unless it is smaller than what is left of that.
func TestBatchesFillPages(t *testing.T) {
	fs := vfs.NewMem()
	w, _ := recoverLog(t, fs, Options{})
	r := run(t, w)
	for range 20 {
		enter(t, w, 5000)
		require.Zero(t, w.Bytes()%pageBytes)
	}
	large := w.Bytes()
	for range 200 {
		enter(t, w, 80)
	}
	require.Less(t, w.Bytes()-large, int64(2*200*(80+recordHeaderLen)))
	require.NoError(t, r.stop())
	again, err := Open(fs, testDir, Options{})
	require.NoError(t, err)
	stats, err := again.Replay(func(_ uint64, _ Kind, payload []byte) error {
		require.Contains(t, []int{80, 5000}, len(payload))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 220, stats.Records)
	require.Zero(t, stats.Damaged)
	require.NoError(t, again.Close())
}
