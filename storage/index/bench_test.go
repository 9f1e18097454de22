package index_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/series"
)

// fleet makes the series of instances, 592 each, as they arrive: instance after instance.
func fleet(n int) []index.Entry {
	const perInstance = 592
	entries := make([]index.Entry, n)
	for i := range entries {
		instance, metric := i/perInstance, i%perInstance
		entries[i] = index.Entry{ID: uint32(i), Labels: series.FromStrings(
			"__name__", fmt.Sprintf("node_metric_%d_total", metric/2), "cpu", fmt.Sprint(metric%2),
			"instance", fmt.Sprintf("10.0.%d.%d:9100", instance/256, instance%256),
			"job", "node", "region", fmt.Sprint("eu-", instance%3), "team", "infra")}
	}
	return entries
}

func BenchmarkAdd(b *testing.B) {
	entries := fleet(1_000_000)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := index.NewMem()
		for i := 0; i < len(entries); i += 2000 {
			m.Add(entries[i : i+2000]...)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(m)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(entries)), "ns/series")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(entries)), "B/series")
}

func BenchmarkSelect(b *testing.B) {
	entries := fleet(1_000_000)
	m := index.NewMem()
	m.Add(entries...)
	for _, c := range [][]string{
		{"__name__=node_metric_7_total", "instance=10.0.1.7:9100"},
		{"__name__=node_metric_7_total", "instance=~10.0.1.*", "job=node"},
		{"__name__=node_metric_7_total", "job=node", "region!=eu-1"},
		{"job=node"},
		{"instance=~10.0.1.*"},
		{"instance!~10.0.1.*"},
	} {
		ms := matchers(b, c...)
		b.Run(fmt.Sprint(c), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := index.Select(m, ms); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
