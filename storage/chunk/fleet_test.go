package chunk_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/storagetest"
)

// column is a slot of one series.
type column struct {
	class string
	ts    []int64
	vs    []float64
}

// fleet makes two hours of a host's series, each with a scrape in 15 s.
func fleet(jitter int64) []column {
	f := storagetest.NewFleet(storagetest.FleetOptions{Seed: 1, Jitter: jitter})
	cols := make([]column, len(f.Series()))
	var points []storagetest.Point
	for i := range int64(480) {
		points = f.Scrape(points[:0], 1_700_000_000_000+15_000*i)
		for _, p := range points {
			c := &cols[p.Series]
			c.ts, c.vs = append(c.ts, p.T), append(c.vs, p.V)
		}
	}
	for i, s := range f.Series() {
		cols[i].class = classOf(string(s.Labels.Get(model.MetricNameLabel)))
		if !slices.ContainsFunc(cols[i].vs, func(v float64) bool { return v != cols[i].vs[0] }) {
			cols[i].class = "constant"
		}
	}
	return cols
}

func classOf(name string) string {
	for prefix, class := range map[string]string{
		"node_cpu": "counter, hundredths", "node_disk": "counter, some i*0.001", "node_network": "counter",
		"node_memory": "gauge, pages", "node_filesystem": "gauge, pages", "node_sockstat": "gauge",
		"node_load": "gauge, hundredths", "node_time": "all digits",
		"http_request_duration_seconds_sum": "sum, all digits", "http_request_duration_seconds_": "buckets",
	} {
		if strings.HasPrefix(name, prefix) && (class != "buckets" || !strings.HasSuffix(name, "_sum")) {
			return class
		}
	}
	return name
}

// split gives a column to encode in pieces of n and returns the chunks.
func (c column) split(n int, encode func(ts []int64, vs []float64) chunk.Chunk) (chunks []chunk.Chunk) {
	for from := 0; from < len(c.ts); from += n {
		to := min(from+n, len(c.ts))
		chunks = append(chunks, encode(c.ts[from:to], c.vs[from:to]))
	}
	return chunks
}

func xor(ts []int64, vs []float64) chunk.Chunk {
	var a chunk.XORAppender
	for i, t := range ts {
		a.Append(t, vs[i])
	}
	return a.Close()
}

func smallest(ts []int64, vs []float64) chunk.Chunk {
	c, _ := chunk.EncodeFloats(nil, ts, vs)
	return c
}

// TestFleetBytes holds the bytes of a sample, and shows them by the kind of series.
func TestFleetBytes(t *testing.T) {
	for _, jitter := range []int64{0, 5} {
		t.Run(fmt.Sprintf("jitter %d ms", jitter), func(t *testing.T) {
			type sum struct {
				samples, xor, short, long int
			}
			sums := map[string]*sum{"all": {}}
			for _, c := range fleet(jitter) {
				if sums[c.class] == nil {
					sums[c.class] = &sum{}
				}
				size := func(chunks []chunk.Chunk) (n int) {
					for _, c := range chunks {
						n += len(c.Data)
					}
					return n
				}
				plain := c.split(120, xor)
				long, err := chunk.Recode(nil, plain)
				require.NoError(t, err)
				require.Len(t, long, 1)
				ts, vs, err := chunk.Decode(nil, nil, long[0])
				require.NoError(t, err)
				require.Equal(t, c.ts, ts)
				for i, v := range vs {
					require.Equal(t, math.Float64bits(c.vs[i]), math.Float64bits(v))
				}
				for _, s := range []*sum{sums[c.class], sums["all"]} {
					s.samples += len(c.ts)
					s.xor += size(plain)
					s.short += size(c.split(120, smallest))
					s.long += size(long)
				}
			}
			for class, s := range sums {
				per := func(n int) float64 { return float64(n) / float64(s.samples) }
				t.Logf("%-24s %4d series, bytes a sample: XOR %.3f, 120 samples %.3f, 480 samples %.3f",
					class, s.samples/480, per(s.xor), per(s.short), per(s.long))
			}
			require.Less(t, sums["all"].long*5, sums["all"].xor*3)
		})
	}
}

// BenchmarkFleet encodes and decodes a host's series, a fair mixture, and those of each class.
func BenchmarkFleet(b *testing.B) {
	classes := map[string][]column{}
	for _, c := range fleet(0) {
		classes[c.class] = append(classes[c.class], c)
		classes["all"] = append(classes["all"], c)
	}
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		cols := classes[class]
		perSample := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*480*len(cols)), "ns/sample")
		}
		encodings := map[string][]chunk.Chunk{}
		for _, c := range cols {
			encodings["xor"] = append(encodings["xor"], c.split(120, xor)...)
			encodings["decimal"] = append(encodings["decimal"], c.split(480, smallest)...)
		}
		b.Run(class+"/encode", func(b *testing.B) {
			var buf []byte
			for b.Loop() {
				for _, c := range cols {
					_, buf = chunk.EncodeFloats(buf[:0], c.ts, c.vs)
				}
			}
			perSample(b)
		})
		for name, chunks := range encodings {
			b.Run(class+"/decode "+name, func(b *testing.B) {
				var ts []int64
				var vs []float64
				for b.Loop() {
					for _, c := range chunks {
						ts, vs, _ = chunk.Decode(ts[:0], vs[:0], c)
					}
				}
				perSample(b)
			})
		}
	}
}
