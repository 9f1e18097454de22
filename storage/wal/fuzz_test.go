package wal

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// salted is a header with a known salt, so that fuzzing can keep to a file.
var salted = fileHeader{kind: segmentFile, number: 1, salt: 42}

// sealed is a file with these payloads, all synced one by one.
func sealed(payloads ...string) []byte {
	b := salted.appendTo(nil)
	for _, p := range payloads {
		at := len(b)
		b = append(appendOpen(b, 1, []byte(p)), p...)
		seal(b[at:], salted.seed(), int64(at), int64(at))
	}
	return b
}

// FuzzSegment reads any bytes as a segment. What comes out must be what its bytes say, and all bytes
// must be accounted for.
func FuzzSegment(f *testing.F) {
	f.Add(sealed("a", "", "a longer record that follows")[firstRecord:], false)
	f.Add(sealed("x", string(sealed("within")[firstRecord:]), "y")[firstRecord:], true)
	f.Add(bytes.Repeat(marker[:], 100), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, body []byte, whole bool) {
		b := body
		if !whole || len(body) < firstRecord {
			b = append(salted.appendTo(nil), body...)
		}
		fs := vfs.NewMem()
		require.NoError(t, fs.MkdirAll(testDir, 0o755))
		path := directory{fs: fs, path: testDir}.segment(1)
		rewrite(t, fs, path, b)

		at := int64(0)
		var payloads []string
		info, err := DumpSegment(fs, path, func(e Entry) error {
			if at == 0 && e.Offset > 0 {
				at = firstRecord
			}
			require.Equal(t, at, e.Offset)
			at += e.Bytes
			if e.Damaged {
				return nil
			}
			payloads = append(payloads, string(e.Payload))
			// The marker, kind, length and checksum are those of the payload that was delivered.
			again := appendOpen(nil, e.Kind, e.Payload)
			require.Equal(t, again[:12], b[e.Offset:e.Offset+12])
			require.Equal(t, e.Payload, append([]byte{}, b[e.Offset+recordHeaderLen:at]...))
			return nil
		})
		if err != nil {
			return // A version to come.
		}
		if info.Readable && at == 0 {
			at = firstRecord
		}
		require.Equal(t, int64(len(b)), max(at, int64(min(len(b), firstRecord))))

		w, err := Open(fs, testDir, Options{})
		require.NoError(t, err)
		var replayed []string
		_, err = w.Replay(func(_ uint64, _ Kind, payload []byte) error {
			replayed = append(replayed, string(payload))
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, w.Close())
		if info.Number == 1 && !info.Checkpoint {
			require.Equal(t, payloads, replayed)
		}
	})
}

// FuzzCheckpoint reads any bytes as the body of a checkpoint.
func FuzzCheckpoint(f *testing.F) {
	f.Add(sealed("a", "b")[firstRecord:])
	f.Fuzz(func(t *testing.T, body []byte) {
		h := salted
		h.kind = checkpointFile
		fs := vfs.NewMem()
		require.NoError(t, fs.MkdirAll(testDir, 0o755))
		rewrite(t, fs, directory{fs: fs, path: testDir}.checkpoint(1), append(h.appendTo(nil), body...))
		w, err := Open(fs, testDir, Options{})
		require.NoError(t, err)
		stats, err := w.Replay(func(uint64, Kind, []byte) error { return nil })
		require.NoError(t, err)
		require.Positive(t, stats.Damaged, "its segment is missing")
		require.NoError(t, w.Close())
	})
}
