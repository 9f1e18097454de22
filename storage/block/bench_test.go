package block

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

const benchMachines = 100 // 58,400 series

// benchPart is a part on a real disk.
func benchPart(b *testing.B) (*pebble.DB, *Part) {
	b.Helper()
	b.Chdir(b.TempDir())
	fs := vfs.Default
	db := openStore(b, fs)
	meta := ingest(b, fs, db, Meta{Part: partAt(0, 1), ShardBits: 8}, fleet(1, benchMachines, t0, 480))
	return db, Open(meta, newTestCache(b))
}

func BenchmarkBuildAndIngest(b *testing.B) {
	fs := vfs.NewMem()
	db := openStore(b, fs)
	all := fleet(1, benchMachines, t0, 480)
	var (
		meta     Meta
		ingested time.Duration
		n        uint32
	)
	b.ReportAllocs()
	for b.Loop() {
		if n > 0 {
			require.NoError(b, Drop(b.Context(), db, meta.Part)) // A millisecond.
		}
		var tables []string
		tables, meta = build(b, fs, db, Meta{Part: partAt(0, n), ShardBits: 8}, all)
		begin := time.Now()
		require.NoError(b, db.Ingest(b.Context(), tables))
		ingested += time.Since(begin)
		n++
	}
	start, end := keys.PartSpan(keys.Index, meta.Part)
	index, err := db.EstimateDiskUsage(start, end)
	require.NoError(b, err)
	samples := float64(meta.Samples)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/samples, "ns/sample")
	b.ReportMetric(float64(ingested.Microseconds())/float64(n), "ingest-us")
	b.ReportMetric(float64(meta.Bytes)/samples, "B/sample")
	b.ReportMetric(float64(meta.ChunkBytes)/samples, "chunk-B/sample")
	b.ReportMetric(float64(index)/float64(meta.Series), "index-B/series")
}

func BenchmarkDrop(b *testing.B) {
	fs := vfs.NewMem()
	db := openStore(b, fs)
	all := fleet(1, 2, t0, 480)
	for n := uint32(0); b.Loop(); n++ {
		b.StopTimer()
		meta := ingest(b, fs, db, Meta{Part: partAt(0, n)}, all)
		b.StartTimer()
		require.NoError(b, Drop(b.Context(), db, meta.Part))
	}
}

func BenchmarkPostings(b *testing.B) {
	db, p := benchPart(b)
	src, err := p.source(db)
	require.NoError(b, err)
	defer src.close()
	for _, c := range [][2]string{{"job", "node"}, {"__name__", "node_cpu_seconds_total"}, {"instance", "10.0.0.7:9100"}} {
		b.Run(c[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := src.Postings(c[0], c[1]); got == nil || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSelect(b *testing.B) {
	db, p := benchPart(b)
	matcher := func(t labels.MatchType, n, v string) *labels.Matcher { return labels.MustNewMatcher(t, n, v) }
	for _, c := range []struct {
		name string
		ms   []*labels.Matcher
	}{
		{"metric", []*labels.Matcher{matcher(labels.MatchEqual, "__name__", "node_systemd_unit_state")}},
		{"machine", []*labels.Matcher{matcher(labels.MatchEqual, "instance", "10.0.0.7:9100")}},
		{"one", []*labels.Matcher{
			matcher(labels.MatchEqual, "__name__", "node_load1"), matcher(labels.MatchEqual, "instance", "10.0.0.7:9100"),
		}},
		{"regexp", []*labels.Matcher{
			matcher(labels.MatchEqual, "__name__", "node_load1"), matcher(labels.MatchRegexp, "instance", "10.0.0.[1-5].*"),
		}},
		{"all", nil},
	} {
		for _, skip := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/labels=%v", c.name, skip), func(b *testing.B) {
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					got, err := p.Select(db, series.Selector{Mint: 0, Maxt: t0 + slot, Matchers: c.ms, SkipChunks: skip})
					if err != nil || len(got) == 0 {
						b.Fatal(len(got), err)
					}
					n = len(got)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/series")
				b.ReportMetric(float64(n), "series")
			})
		}
	}
}

func BenchmarkLabelValues(b *testing.B) {
	db, p := benchPart(b)
	up := labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")
	for name, ms := range map[string][]*labels.Matcher{"all": nil, "matching": {up}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				got, err := p.LabelValues(db, "instance", series.Selector{Matchers: ms})
				if err != nil || len(got) != benchMachines {
					b.Fatal(len(got), err)
				}
			}
		})
	}
	b.Run("names", func(b *testing.B) {
		for b.Loop() {
			if _, err := p.LabelNames(db, series.Selector{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
