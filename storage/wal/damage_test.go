package wal

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// contents and rewrite take a file out of a file system and put it back.
func contents(tb testing.TB, fs vfs.FS, path string) []byte {
	tb.Helper()
	f, err := fs.Open(path)
	require.NoError(tb, err)
	b, err := io.ReadAll(f)
	require.NoError(tb, err)
	require.NoError(tb, f.Close())
	return b
}

func rewrite(tb testing.TB, fs vfs.FS, path string, b []byte) {
	tb.Helper()
	f, err := fs.Create(path, category)
	require.NoError(tb, err)
	_, err = f.Write(bytes.Clone(b))
	require.NoError(tb, err)
	require.NoError(tb, f.Close())
}

// small is a log of three segments with few and short records.
func small(tb testing.TB) (*vfs.MemFS, []string) {
	fs := vfs.NewMem()
	w := openRunning(tb, fs, testDir, Options{})
	var want []string
	for seg := range 3 {
		for i := range 4 {
			payload := fmt.Sprintf("record %d of segment %d", i, seg)
			want = append(want, payload)
			pos, err := w.Append(1, []byte(payload))
			require.NoError(tb, err)
			require.NoError(tb, w.Wait(tb.Context(), pos))
		}
		if seg < 2 {
			_, err := w.BeginCut().Finish()
			require.NoError(tb, err)
		}
	}
	return fs, want
}

// replayAll returns all payloads, and what the events said.
func replayAll(tb testing.TB, fs vfs.FS) (got []string, torn []TornTail, damage []Damage) {
	tb.Helper()
	w, err := Open(fs, testDir, Options{Events: Events{
		TornTail: func(t TornTail) { torn = append(torn, t) },
		Damaged:  func(d Damage) { damage = append(damage, d) },
	}})
	require.NoError(tb, err)
	_, err = w.Replay(func(_ uint64, _ Kind, payload []byte) error {
		got = append(got, string(payload))
		return nil
	})
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return got, torn, damage
}

// TestFlippedBits flips bits in every byte of a log: at most the record that has the byte is lost,
// which is told, and nothing else changes.
func TestFlippedBits(t *testing.T) {
	fs, want := small(t)
	for seg := range 3 {
		path := directory{fs: fs, path: testDir}.segment(uint64(seg + 1))
		whole := contents(t, fs, path)
		starts := startsOf(t, fs, path)
		for at := range whole {
			if at > fileHeaderLen && at < secondHeader {
				continue // Nothing is kept there.
			}
			for _, mask := range []byte{0x01, 0x80, 0xFF} {
				b := bytes.Clone(whole)
				b[at] ^= mask
				rewrite(t, fs, path, b)
				got, torn, damage := replayAll(t, fs)
				if at < firstRecord {
					require.Equal(t, want, got, "byte %d", at)
					require.Empty(t, damage)
					continue
				}
				lost := seg*4 - 1
				for _, s := range starts {
					if int64(at) >= s {
						lost++
					}
				}
				left := append(append([]string{}, want[:lost]...), want[lost+1:]...)
				require.Equal(t, left, got, "byte %d of segment %d", at, seg+1)
				if lost == len(want)-1 { // The last batch can't be told from a torn one.
					require.Len(t, torn, 1)
					require.Empty(t, damage)
					continue
				}
				require.Empty(t, torn)
				require.Len(t, damage, 1)
				require.Equal(t, path, damage[0].Path)
				require.Equal(t, int64(recordHeaderLen+len(want[lost])), damage[0].Bytes)
			}
		}
		rewrite(t, fs, path, whole)
	}
}

func startsOf(tb testing.TB, fs vfs.FS, path string) (starts []int64) {
	info, err := DumpSegment(fs, path, func(e Entry) error {
		require.False(tb, e.Damaged)
		starts = append(starts, e.Offset)
		return nil
	})
	require.NoError(tb, err)
	require.True(tb, info.Readable)
	return starts
}

// TestCutShort ends a log at every byte: what is before is delivered. In the last segment that is
// a torn tail, in another one damage.
func TestCutShort(t *testing.T) {
	fs, want := small(t)
	for seg := range 3 {
		path := directory{fs: fs, path: testDir}.segment(uint64(seg + 1))
		whole := contents(t, fs, path)
		starts := startsOf(t, fs, path)
		for at := range whole {
			if at > fileHeaderLen && at < secondHeader {
				continue
			}
			rewrite(t, fs, path, whole[:at])
			got, torn, damage := replayAll(t, fs)
			left := append([]string{}, want[:seg*4]...)
			atRecord := at == firstRecord || at == fileHeaderLen || at == secondHeader
			for i, s := range starts {
				if end := s + int64(recordHeaderLen+len(want[seg*4+i])); end <= int64(at) {
					left = append(left, want[seg*4+i])
					atRecord = atRecord || end == int64(at)
				}
			}
			left = append(left, want[seg*4+4:]...)
			require.Equal(t, left, got, "%d bytes of segment %d", at, seg+1)
			switch {
			case seg < 2:
				require.Len(t, damage, 1, "%d bytes of segment %d", at, seg+1)
				require.Empty(t, torn)
			case at <= firstRecord || atRecord:
				require.Empty(t, damage)
			default:
				require.Empty(t, damage)
				require.Len(t, torn, 1)
			}
		}
		rewrite(t, fs, path, whole)
	}
}

func TestMissingFiles(t *testing.T) {
	fs, want := small(t)
	dir := directory{fs: fs, path: testDir}
	for seg := range 2 {
		path := dir.segment(uint64(seg + 1))
		whole := contents(t, fs, path)
		require.NoError(t, fs.Remove(path))
		got, _, damage := replayAll(t, fs)
		require.Len(t, got, len(want)-4)
		require.Equal(t, []Damage{{Path: path}}, damage)
		rewrite(t, fs, path, whole)
	}

	// Both headers of a segment gone: all of it is lost, and nothing else.
	path := dir.segment(2)
	b := contents(t, fs, path)
	b[0], b[secondHeader] = 'X', 'X'
	rewrite(t, fs, path, b)
	got, _, damage := replayAll(t, fs)
	require.Len(t, got, len(want)-4)
	require.Equal(t, []Damage{{Path: path, Bytes: int64(len(b)), Holes: 1}}, damage)
}

// TestForeignRecords: neither a whole record within a payload nor one of an older file in the same
// place passes for one of the log.
func TestForeignRecords(t *testing.T) {
	fs, _ := small(t)
	path := directory{fs: fs, path: testDir}.segment(1)
	old := contents(t, fs, path)

	fs = vfs.NewMem()
	w := openRunning(t, fs, testDir, Options{})
	pos, err := w.Append(1, old[firstRecord:])
	require.NoError(t, err)
	require.NoError(t, w.Wait(t.Context(), pos))
	b := contents(t, fs, path)
	b[firstRecord] ^= 1 // The payload is now in the open.
	rewrite(t, fs, path, append(b, old[firstRecord:]...))
	got, torn, _ := replayAll(t, fs)
	require.Empty(t, got)
	require.Len(t, torn, 1)
}

func TestNewerVersionIsRefused(t *testing.T) {
	fs, _ := small(t)
	path := directory{fs: fs, path: testDir}.segment(3)
	h := fileHeader{kind: segmentFile, number: 3}
	b := h.appendTo(nil)
	b[8] = version + 1
	reseal(b)
	rewrite(t, fs, path, b)
	_, err := Open(fs, testDir, Options{})
	require.ErrorContains(t, err, "newer program")
	require.ErrorContains(t, err, path)
}
