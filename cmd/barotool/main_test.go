package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

var update = flag.Bool("update", false, "rewrite the fixtures in testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const longAgo = int64(1_700_006_400_000)

// do runs a command line in this process.
func do(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

// fill makes a data directory: parts, one of which has replaced others, a tombstone, and samples in
// the log. It calls live while the store is open.
func fill(t *testing.T, dir string, live func()) {
	t.Helper()
	const never = 1_000_000 * time.Hour // Nothing happens by itself.
	db, err := storage.Open(dir, storage.Options{Retention: never, Grace: never, SealAfter: never, WALSync: wal.Off})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- db.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-ran)
		require.NoError(t, db.Close())
	}()
	refs, err := db.Refs(ctx, nil, []series.Labels{
		series.FromStrings("__name__", "up", "job", "a"), series.FromStrings("__name__", "up", "job", "b"),
		series.FromStrings("__name__", "load", "job", "a"), series.FromStrings("__name__", "seconds", "job", "a"),
	})
	require.NoError(t, err)
	put := func(from int64, n int) {
		for i := range int64(n) {
			at := from + i*15_000 + i*i%7
			f := frame.Frame{
				Refs: refs[:3], Times: []int64{at, at, at}, Values: []float64{1, float64(i % 2), float64(i*i) / 4},
				Histograms: []frame.Histogram{{Ref: refs[3], T: at, H: &histogram.Histogram{
					Count: 2, Sum: 3.5, PositiveSpans: []histogram.Span{{Offset: 1, Length: 1}}, PositiveBuckets: []int64{2},
				}}},
			}
			rejected, err := db.Append(ctx, &f)
			require.NoError(t, err)
			require.Empty(t, rejected)
		}
	}
	put(longAgo, 6)
	require.NoError(t, db.Flush(ctx))
	put(longAgo+8*time.Hour.Milliseconds(), 4)
	require.NoError(t, db.Flush(ctx))
	require.NoError(t, db.Seal(ctx))
	put(longAgo+24*time.Hour.Milliseconds(), 3)
	require.NoError(t, db.Delete(ctx, longAgo, longAgo+15_000, labels.MustNewMatcher(labels.MatchEqual, "job", "b")))
	moved := &series.ShardSet{Bits: 8}
	moved.Add(series.FromStrings("__name__", "up", "job", "b").Fingerprint().Shard(8))
	h, err := db.Holdings(ctx)
	require.NoError(t, err)
	require.NoError(t, db.DropShards(ctx, moved, h.Before))
	put(longAgo+48*time.Hour.Milliseconds(), 2)
	live()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func requireJSON(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var v struct{ Type string }
		require.NoError(t, json.Unmarshal([]byte(line), &v), line)
		require.NotEmpty(t, v.Type)
	}
}

func TestDump(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, func() {
		code, out, errOut := do("dump", dir)
		require.Equal(t, 0, code, errOut)
		require.Contains(t, out, "part raw/2023-11-15T00:00Z/")
	})
	before := files(t, dir)
	code, listed, errOut := do("dump", dir)
	require.Equal(t, 0, code, errOut)
	golden(t, "directory.txt", listed)

	part := strings.TrimSuffix(strings.Fields(strings.SplitN(listed, "\npart ", 2)[1])[0], ":")
	code, out, errOut := do("dump", dir, "--part="+part, "--series={job=~\".+\"}", "--samples", "--index")
	require.Equal(t, 0, code, errOut)
	golden(t, "part.txt", out)
	code, out, errOut = do("dump", dir, "--part="+part, "--series=up", "--limit=1")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, 1, strings.Count(out, `{__name__="up"`))

	logs, err := filepath.Glob(filepath.Join(dir, "wal", "*"))
	require.NoError(t, err)
	var text, objects strings.Builder
	for _, path := range logs {
		code, out, errOut = do("dump", path, "--samples")
		require.Equal(t, 0, code, errOut)
		text.WriteString(out)
		code, out, errOut = do("dump", path, "--samples", "--format=json")
		require.Equal(t, 0, code, errOut)
		objects.WriteString(out)
	}
	golden(t, "log.txt", text.String())
	requireJSON(t, objects.String())
	_, out, _ = do("dump", dir, "--part="+part, "--series=up", "--samples", "--index", "--format=json")
	requireJSON(t, out)
	_, out, _ = do("dump", dir, "--format=json")
	golden(t, "directory.json", out)
	requireJSON(t, out)
	require.Equal(t, before, files(t, dir), "nothing was changed")
}

// files are all files with their content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	}))
	return all
}

// flip changes a byte of a file.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[at] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o644))
}

func TestDumpOfDamage(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, func() {})
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	require.NoError(t, err)
	last := segments[len(segments)-1]
	_, whole, _ := do("dump", last)
	flip(t, last, 4250)
	code, out, errOut := do("dump", last)
	require.Equal(t, 1, code)
	require.Equal(t, "barotool: there is damage\n", errOut)
	require.Contains(t, out, "damaged: "+filepath.Base(last)+" at ")
	require.Equal(t, strings.Count(whole, "\n"), strings.Count(out, "\n"), "the other records are there")
	code, out, _ = do("dump", dir)
	require.Equal(t, 1, code)
	require.Contains(t, out, "damaged: "+filepath.Base(last))

	tables, err := filepath.Glob(filepath.Join(dir, "store", "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	for _, path := range tables {
		flip(t, path, 20)
	}
	code, out, _ = do("dump", dir)
	require.Equal(t, 1, code)
	require.Contains(t, out, "damaged: store: ")
	require.Contains(t, out, "format ", "what is whole is there")
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.txt")
	require.NoError(t, os.WriteFile(other, []byte("x"), 0o644))
	foreign := filepath.Join(dir, "foreign.wal")
	require.NoError(t, os.WriteFile(foreign, []byte("x"), 0o644))
	data := filepath.Join(dir, "data")
	fill(t, data, func() {})
	for _, tc := range []struct {
		args        []string
		code        int
		out, errOut string
	}{
		{[]string{"--help"}, 0, "Looks into Barograph's files.", ""},
		{[]string{"--version"}, 0, "barotool, version", ""},
		{[]string{"dump", "--help"}, 0, "--series", ""},
		{[]string{"dump"}, 2, "", "required argument 'path' not provided"},
		{[]string{"dump", "--format=xml", dir}, 2, "", "text"},
		{[]string{"dump", "/does/not/exist"}, 1, "", "no such file"},
		{[]string{"dump", other}, 1, "", "is neither a folder nor"},
		{[]string{"dump", foreign}, 1, "damaged", "there is damage"},
		{[]string{"dump", dir}, 1, "", "open store"},
		{[]string{"dump", data, "--part=raw/x"}, 1, "", `there is no part "raw/x"`},
		{[]string{"dump", data, "--part=raw/x", "--series={"}, 1, "", "--series: "},
	} {
		code, out, errOut := do(tc.args...)
		require.Equal(t, tc.code, code, "%q: %s", tc.args, errOut)
		require.Contains(t, out, tc.out, "%q", tc.args)
		require.Contains(t, errOut, tc.errOut, "%q", tc.args)
	}
}
