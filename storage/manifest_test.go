package storage

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// manifestOf has records of the sizes as Pebble writes them; ends are where they end.
func manifestOf(t *testing.T, sizes []int) (b []byte, ends []int) {
	t.Helper()
	var buf bytes.Buffer
	w := record.NewWriter(&buf)
	r := rand.New(rand.NewPCG(1, 1))
	for _, size := range sizes {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		_, err := w.WriteRecord(data)
		require.NoError(t, err)
		require.NoError(t, w.Flush())
		ends = append(ends, buf.Len())
	}
	require.NoError(t, w.Close())
	return buf.Bytes(), ends
}

func TestManifestRecords(t *testing.T) {
	b, ends := manifestOf(t, []int{100, 3, 200, 32 << 10, 7, 32738, 1, 70_000, 50})
	whole, bad := wholeRecords(b)
	require.Equal(t, [2]int{len(b), len(b)}, [2]int{whole, bad})
	for i, end := range ends {
		whole, _ = wholeRecords(b[:end])
		require.Equal(t, end, whole)
		begin := 0
		if i > 0 {
			begin = ends[i-1]
		}
		for cut := begin + 1; cut < end; cut += 1 + (end-begin)/50 {
			whole, bad = wholeRecords(b[:cut])
			require.LessOrEqual(t, whole, begin)
			require.Negative(t, nextRecord(b[:cut], bad+1), "torn at %d", cut)
			damaged := bytes.Clone(b)
			damaged[cut] ^= 1
			whole, bad = wholeRecords(damaged)
			require.LessOrEqual(t, whole, begin)
			require.True(t, nextRecord(damaged, bad+1) >= 0 || flippedBit(damaged, bad), "flipped at %d", cut)
		}
	}
}

// A damaged list of tables refuses to open, and nothing is removed; one that ends in a torn record
// is told of.
func TestDamagedManifest(t *testing.T) {
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century})
	fill(t, db.DB, 3)
	want := readAll(t, db.DB)
	db.stop()
	files := filesOf(t, mem, "data")
	const path = "data/store/MANIFEST-000001"
	whole := files[path]

	files[path] = flipped(whole)
	disk := diskOf(t, files)
	_, err := Open("data", Options{FS: disk})
	require.ErrorIs(t, err, errManifest)
	require.ErrorContains(t, err, path)
	require.Equal(t, files, filesOf(t, disk, "data"))

	files[path] = append(bytes.Clone(whole), 1, 2, 3, 4, 100, 0, 1, 7, 7)
	var told []string
	again := run(t, diskOf(t, files), Options{Retention: century, Events: Events{
		Background: func(what string, err error) { told = append(told, what+": "+err.Error()) },
	}})
	require.Equal(t, []string{"open store: the list of tables ends in 9 bytes that are not whole"}, told)
	require.Equal(t, want, readAll(t, again.DB))
}
