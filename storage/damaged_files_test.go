package storage

import (
	"cmp"
	"context"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// filesOf reads all files below a folder.
func filesOf(t *testing.T, fs vfs.FS, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	names, err := fs.List(dir)
	require.NoError(t, err)
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		require.NoError(t, err)
		if info.IsDir() {
			maps.Copy(all, filesOf(t, fs, path))
			continue
		}
		f, err := fs.Open(path)
		require.NoError(t, err)
		all[path], err = io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	return all
}

// diskOf is a disk with these files.
func diskOf(t *testing.T, files map[string][]byte) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	for path, b := range files {
		require.NoError(t, fs.MkdirAll(fs.PathDir(path), 0o755))
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		_, err = f.Write(slices.Clone(b)) // With invariants, MemFS spoils what it is given.
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	return fs
}

// corruptionsOf adds up the counters of damage.
func corruptionsOf(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	total := 0.0
	for _, f := range families {
		if strings.Contains(f.GetName(), "corrupt") || strings.Contains(f.GetName(), "truncated") {
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue()
			}
		}
	}
	return total
}

// Each file of a data directory is damaged in several ways. The store then refuses to open, with an
// error, or tells what is lost: nothing is missing that no counter and no error speaks of, no value
// is wrong, and at most one part's samples, or those of the log, are concerned. Only of the end of
// the log, and of the list of tables, can nobody say how far it went.
func TestDamagedFiles(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewMem()
	db := run(t, mem, Options{Retention: century, WALSegmentBytes: 32 << 10})
	fill(t, db.DB, 3)
	put(t, db.DB, row(define(t, db.DB, 50), longAgo+10*testSlot, 1))
	require.NoError(t, db.Flush(ctx))
	logged := longAgo + 20*testSlot
	for i := range int64(30) {
		put(t, db.DB, row(define(t, db.DB, 50), logged+i, float64(i)))
	}
	d := damagedStore{t: t, want: readAll(t, db.DB), spans: [][2]int64{{logged, logged + testSlot}}}
	for _, p := range db.parts.snapshot() {
		d.spans = append(d.spans, [2]int64{p.Meta().MinT, p.Meta().MaxT})
	}
	db.stop()
	files := filesOf(t, mem, "data")
	paths := slices.Sorted(maps.Keys(files))
	last := slices.MaxFunc(paths, func(a, b string) int { // The last segment of the log.
		return cmp.Or(cmp.Compare(filepath.Ext(a), filepath.Ext(b)), cmp.Compare(a, b))
	})
	kinds := map[string]int{}
	for _, path := range paths {
		whole := files[path]
		for name, damaged := range map[string][]byte{
			"flipped": flipped(whole), "cut": whole[:len(whole)/2], "emptied": {}, "deleted": nil,
		} {
			if len(whole) == 0 && name != "deleted" {
				continue
			}
			others := maps.Clone(files)
			if others[path] = damaged; name == "deleted" {
				delete(others, path)
			}
			d.what = name + " " + path
			d.untold = path == last && name != "flipped"
			d.many = strings.Contains(path, "MANIFEST") && name == "cut"
			kinds[d.open(diskOf(t, others))]++
		}
	}
	t.Log(kinds)
	require.Greater(t, kinds["lost"], 5)
	require.Greater(t, kinds["refused"], 3)
}

func flipped(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	b = slices.Clone(b)
	b[len(b)/2] ^= 4
	return b
}

// damagedStore is what a store was before it was damaged.
type damagedStore struct {
	t     *testing.T
	want  map[string]written
	spans [][2]int64 // of the log, and of each part

	what   string // the damage
	untold bool   // Nobody can know of it.
	many   bool   // It may concern several parts.
}

// open says what came of it.
func (d *damagedStore) open(fs vfs.FS) string {
	t, reg := d.t, prometheus.NewRegistry()
	opened, err := Open("data", Options{FS: fs, Retention: century, Registerer: reg})
	if err != nil {
		require.NotContains(t, d.what, "data/wal/", "damage to the log refuses nothing")
		return "refused"
	}
	db := start(opened)
	defer db.stop()
	hurt := 0
	for _, span := range d.spans {
		missing, err := d.compare(db.DB, span)
		if err == nil && missing == 0 {
			continue
		}
		hurt++
		require.True(t, d.untold || corruptionsOf(t, reg) > 0, "%s: %d samples are missing, and nobody says so", d.what, missing)
	}
	require.True(t, hurt <= 1 || d.many, d.what)
	if hurt > 0 {
		return "lost"
	}
	return "whole"
}

// compare counts what is missing in a stretch of time. There may be nothing that was not written.
func (d *damagedStore) compare(db *DB, span [2]int64) (missing int, err error) {
	got, err := read(db, span[0], span[1], equal("__name__", "m"))
	for name, samples := range d.want {
		for at, bits := range samples {
			if at < span[0] || at > span[1] {
				continue
			}
			if have, ok := got[name][at]; ok {
				require.Equal(d.t, bits, have, d.what)
			} else {
				missing++
			}
		}
	}
	for name, samples := range got {
		for at := range samples {
			require.Contains(d.t, d.want[name], at, d.what)
		}
	}
	return missing, err
}
