package querier

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSuspects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.active")
	now := time.Unix(1_700_000_000, 0)
	open := func() *activeFile {
		a, err := openActiveFile(path, 3, now)
		require.NoError(t, err)
		return a
	}
	long := "sum(up)" + strings.Repeat(" ", 5000)

	a := open()
	require.Empty(t, a.suspects)
	a.begin(2, long, now)
	a.begin(0, "good", now)
	a.end(0)
	require.NoError(t, a.close()) // For the file, an end without end is a crash.

	a = open()
	require.Len(t, a.suspects, 1)
	require.Equal(t, long[:slotSize-slotHeader], a.suspects[0].text)
	require.Equal(t, now, a.suspects[0].started)
	require.NoError(t, a.refuse(long, now), "once may be chance")
	a.begin(1, long, now)
	require.NoError(t, a.close())

	a = open()
	require.EqualValues(t, 2, a.suspects[0].crashes)
	err := a.refuse(long, now)
	require.ErrorContains(t, err, "err-barograph-query-suspect")
	require.Equal(t, Execution, KindOf(err))
	require.NoError(t, a.refuse("sum(up)", now), "another query")
	require.NoError(t, a.refuse(long, now.Add(refusedFor)), "not for ever")
	require.NoError(t, a.close())

	now = now.Add(suspectFor / 2)
	a = open()
	require.Len(t, a.suspects, 1, "remembered over a stop without a crash")
	require.NoError(t, a.refuse(long, now), "did not run this time")
	require.NoError(t, a.close())
	now = now.Add(suspectFor)
	a = open()
	require.Empty(t, a.suspects)
	require.NoError(t, a.close())
}

func TestSuspectIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.active")
	for range crashesBad {
		a, err := openActiveFile(path, 1, time.Now())
		require.NoError(t, err)
		a.begin(0, "sum(up)", time.Now())
		require.NoError(t, a.close())
	}
	e := newTestEngine(t, &fakeStore{series: 1, samples: 10}, Options{ActiveQueries: path})
	_, err := e.Instant(context.Background(), "sum(up)", unix(60), QueryOptions{})
	require.ErrorContains(t, err, "err-barograph-query-suspect")
	r, err := e.Instant(context.Background(), "up", unix(60), QueryOptions{})
	require.NoError(t, err)
	r.Close()
	require.Zero(t, e.active.failures.Load())
}

func TestActiveFileOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.active")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", 5000)), 0o600))
	a, err := openActiveFile(path, 1, time.Now())
	require.NoError(t, err)
	require.Empty(t, a.suspects)
	require.NoError(t, a.close())

	_, err = openActiveFile(filepath.Join(path, "below a file"), 1, time.Now())
	require.Error(t, err)
}

func FuzzDecodeActive(f *testing.F) {
	image := make([]byte, slotSize)
	copy(image, activeMagic)
	f.Add(image)
	r := record{state: stateRunning, crashes: 3, started: time.UnixMilli(12345), hash: 7, text: "up"}
	f.Add(append(image, encodeSlot(r)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range decodeActive(b) {
			again, ok := decodeSlot(encodeSlot(r))
			require.True(t, ok)
			require.Equal(t, r, again)
		}
	})
}
