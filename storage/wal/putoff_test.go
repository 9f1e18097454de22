package wal

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

func TestWorthNow(t *testing.T) {
	for _, tc := range []struct {
		name    string
		offset  int64
		lengths []int
		want    int // records
	}{
		{"one", 0, []int{100}, 1},
		{"one over a page", 0, []int{5000}, 1},
		{"all fit", 0, []int{1000, 1000, 1000, 900}, 4},
		{"the last begins a page", 0, []int{1300, 1300, 1300, 400}, 3},
		{"hardly better", 0, []int{2200, 2200, 2200}, 3},
		{"behind a page begun", 2048, []int{1300, 600, 600}, 2},
		{"two", 0, []int{3000, 1050, 3500, 1500}, 2},
		{"many", 0, []int{30_000, 30_000, 1_500}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var buf []byte
			n, records := 0, 0
			for i, length := range tc.lengths {
				buf = append(appendOpen(buf, 1, make([]byte, length)), make([]byte, length)...)
				if i+1 == tc.want {
					n = len(buf)
				}
			}
			for rest := buf[:worthNow(buf, tc.offset)]; len(rest) > 0; records++ {
				rest = rest[recordHeaderLen+payloadLen(rest):]
			}
			require.Equal(t, tc.want, records)
			require.Equal(t, n, worthNow(buf, tc.offset))
		})
	}
}

// Records that are put off are in the log in their order when their writers are told so, and pages are
// fuller.
func TestPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		w, _ := recoverLog(t, slowFS{mem}, Options{})
		r := run(t, w)
		const writers, each = 4, 100
		var mu sync.Mutex
		var order, bytes int
		var wg sync.WaitGroup
		longest := time.Duration(0)
		for i := range writers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), 1))
				for n := range each {
					record := make([]byte, 900+1000*((n+i)%2)+rng.IntN(200))
					begin := time.Now()
					if err := w.Enter(); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					binary.LittleEndian.PutUint64(record, uint64(order))
					order++
					bytes += len(record)
					pos, err := w.Append(1, record)
					mu.Unlock()
					if err == nil {
						err = w.Wait(t.Context(), pos)
					}
					if err != nil {
						t.Error(err)
					}
					w.Leave()
					mu.Lock()
					longest = max(longest, time.Since(begin))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		t.Logf("%.2f bytes for one of a record", float64(w.Bytes())/float64(bytes))
		require.Less(t, w.Bytes(), int64(bytes)*3/2, "which writers meet in a batch is chance")
		require.LessOrEqual(t, longest, 4*gatherTime, "a record is put off a few times at most")
		require.NoError(t, r.stop())
		again, err := Open(mem, testDir, Options{})
		require.NoError(t, err)
		next := uint64(0)
		_, err = again.Replay(func(_ uint64, _ Kind, payload []byte) error {
			require.Equal(t, next, binary.LittleEndian.Uint64(payload))
			next++
			return nil
		})
		require.NoError(t, err)
		require.EqualValues(t, writers*each, next)
		require.NoError(t, again.Close())
	})
}
