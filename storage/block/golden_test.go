package block

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

var update = flag.Bool("update", false, "rewrite the fixtures in testdata")

const fixture = "testdata/v4"

func fixtureMeta() Meta {
	return Meta{Part: partAt(0, 7), ShardBits: 2, FlushedBefore: t0 + slot, FlushedSegment: 12}
}

// fixtureSeries has of each thing a few: names in common and not, more than one chunk, chunks that
// overlap, values of all kinds of bits.
func fixtureSeries() []chunk.Series {
	var all []chunk.Series
	for i := range int64(70) {
		ls := series.FromStrings("__name__", "requests_total", "code", fmt.Sprint(200+i%3), "pod", fmt.Sprintf("web-%d", i))
		if i%10 == 0 {
			ls = series.FromStrings("__name__", "up", "job", "web", "ünï", "cöde")
			if i > 0 {
				ls = series.FromStrings("Zone", fmt.Sprint(i), "__name__", "up")
			}
		}
		var a, late chunk.XORAppender
		for j := range int64(3) {
			a.Append(t0+j*15_000+i, float64(i*j))
		}
		chunks := []chunk.Chunk{a.Close()}
		if i%7 == 0 {
			late.Append(t0+20_000, math.Float64frombits(value.StaleNaN))
			late.Append(t0+7_000_000, math.Copysign(0, -1))
			chunks = append(chunks, late.Close())
		}
		if i%7 == 1 { // Two targets' times.
			ts, vs := make([]int64, 4), make([]float64, 4)
			for j := range ts {
				ts[j], vs[j] = t0+int64(j)*15_000+i%2*1000+int64(j*j), float64(i)
			}
			c, _ := chunk.EncodeFloats(nil, ts, vs)
			chunks[0] = c
		}
		all = append(all, oneSeries(ls, chunks))
	}
	return all
}

func printSeries(all []chunk.Series) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%016x %s\n", uint64(s.Fingerprint), s.Labels)
		for _, c := range s.Chunks {
			c = whole(c)
			fmt.Fprintf(&b, "  %s %d [%d, %d] %x\n", c.Enc, c.Samples, c.MinT, c.MaxT, c.Data)
		}
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(fixture, name)
	if *update {
		require.NoError(t, os.MkdirAll(fixture, 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// TestGoldenWrite: the rows of a part are, byte for byte, what this version writes.
func TestGoldenWrite(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	tables, meta := build(t, fs, db, fixtureMeta(), fixtureSeries())
	if *update {
		require.NoError(t, os.MkdirAll(fixture, 0o755))
		for i, path := range tables {
			require.NoError(t, os.WriteFile(filepath.Join(fixture, fmt.Sprintf("%d.sst", i)), readFile(t, fs, path), 0o644))
		}
	}
	require.NoError(t, db.Ingest(t.Context(), tables))
	require.NoError(t, Open(meta, newTestCache(t)).Verify(db))
	var b strings.Builder
	for _, row := range allRows(t, db) {
		fmt.Fprintf(&b, "%q\n%s", row.key, hex.Dump(row.value))
	}
	golden(t, "rows.txt", b.String())
}

// TestGoldenRead: tables that this version wrote are read.
func TestGoldenRead(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	files, err := filepath.Glob(filepath.Join(fixture, "*.sst"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	var tables []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		tables = append(tables, fs.PathJoin(buildDir, filepath.Base(file)))
		writeFile(t, fs, tables[len(tables)-1], b)
	}
	require.NoError(t, db.Ingest(t.Context(), tables))
	metas, err := List(db)
	require.NoError(t, err)
	require.Len(t, metas, 1)
	want := fixtureMeta()
	want.MinT, want.MaxT = t0, t0+7_000_000
	want.Series, want.Samples, want.ChunkBytes = metas[0].Series, metas[0].Samples, metas[0].ChunkBytes
	want.Bytes = metas[0].Bytes
	require.Equal(t, want, metas[0])
	p := Open(metas[0], newTestCache(t))
	require.NoError(t, p.Verify(db))
	got, err := p.Select(db, everything)
	require.NoError(t, err)
	golden(t, "series.txt", printSeries(got))
}
