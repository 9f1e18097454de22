package wal

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

var golden = flag.Bool("golden", false, "rewrite the printed fixtures in testdata")

// reseal makes the header at the start of a file whole again after a change.
func reseal(b []byte) {
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	copy(b[secondHeader:], b[:fileHeaderLen])
}

// TestReadsVersion2 reads a directory written by hand: a checkpoint, a
// segment with a torn tail, and one that follows it and ends in a filled page.
func TestReadsVersion2(t *testing.T) {
	dir := filepath.Join("testdata", "v2")
	var out strings.Builder
	names, err := filepath.Glob(filepath.Join(dir, "0*"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll(testDir, 0o755))
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		rewrite(t, mem, mem.PathJoin(testDir, filepath.Base(name)), b)
		fmt.Fprintf(&out, "%s\n", filepath.Base(name))
		info, err := DumpSegment(vfs.Default, name, func(e Entry) error {
			fmt.Fprintf(&out, "  %d +%d", e.Offset, e.Bytes)
			if e.Damaged {
				fmt.Fprintf(&out, " damaged\n")
			} else {
				fmt.Fprintf(&out, " kind %d %.40q\n", e.Kind, e.Payload)
			}
			return nil
		})
		require.NoError(t, err)
		fmt.Fprintf(&out, "  %+v\n", info)
	}
	w, err := Open(mem, testDir, Options{})
	require.NoError(t, err)
	fmt.Fprintf(&out, "replay\n")
	stats, err := w.Replay(func(seg uint64, kind Kind, payload []byte) error {
		fmt.Fprintf(&out, "  segment %d kind %d %q\n", seg, kind, payload)
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	stats.Duration = 0
	fmt.Fprintf(&out, "  %+v\n", stats)

	path := filepath.Join(dir, "printed.txt")
	if *golden {
		require.NoError(t, os.WriteFile(path, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
}
