package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
)

// shapeNames are for reports.
var shapeNames = map[shape]string{
	constant: "constant", counter: "counter", counterCPU: "counter, hundredths",
	counterMS: "counter, i*0.001", gaugeBytes: "gauge, pages", gaugeTenths: "gauge, hundredths",
	gaugeFloat: "gauge, all digits", bucket: "bucket",
}

// fleetColumns are n scrapes of a machine: the times, and each series' shape and values.
func fleetColumns(n int) ([]int64, []shape, [][]float64) {
	f := newFleet(500, 1)
	ts, shapes, values := make([]int64, n), make([]shape, len(f.series)), make([][]float64, len(f.series))
	for i := range ts {
		ts[i] = 1_700_000_000_000 + 15_000*int64(i)
		f.step()
		for j, s := range f.series {
			shapes[j], values[j] = s.shape, append(values[j], s.value)
		}
	}
	return ts, shapes, values
}

// TestSealedBytes shows what a day of the fleet's values takes in chunks of two hours, as a flush
// and a seal leave them, by the shape of the series: bytes a sample, and each shape's part of all
// bytes. Times are regular and take nothing.
func TestSealedBytes(t *testing.T) {
	const samples, slot = 5760, 480
	ts, shapes, values := fleetColumns(samples)
	type sum struct{ series, bytes int }
	sums, all := map[shape]sum{}, 0
	var buf []byte
	for j, vs := range values {
		size := 0
		for from := 0; from < samples; from += slot {
			var c chunk.Chunk
			c, buf = chunk.EncodeFloats(buf[:0], ts[from:from+slot], vs[from:from+slot])
			size += len(c.Data)
			_, back, err := chunk.Decode(nil, nil, c)
			require.NoError(t, err)
			require.Equal(t, vs[from:from+slot], back)
		}
		was := sums[shapes[j]]
		sums[shapes[j]] = sum{was.series + 1, was.bytes + size}
		all += size
	}
	for _, s := range slices.Sorted(maps.Keys(sums)) {
		t.Logf("%-20s %3d series, %.3f bytes a sample, %4.1f %% of the bytes", shapeNames[s], sums[s].series,
			float64(sums[s].bytes)/float64(sums[s].series*samples), 100*float64(sums[s].bytes)/float64(all))
	}
	perSample := float64(all) / float64(len(values)*samples)
	t.Logf("all: %.3f bytes a sample", perSample)
	require.Less(t, perSample, 0.67)
}

// BenchmarkSealed encodes and decodes two hours of the fleet.
func BenchmarkSealed(b *testing.B) {
	ts, _, values := fleetColumns(480)
	perSample := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ts)*len(values)), "ns/sample")
	}
	var buf []byte
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			for _, vs := range values {
				_, buf = chunk.EncodeFloats(buf[:0], ts, vs)
			}
		}
		perSample(b)
	})
	chunks := make([]chunk.Chunk, len(values))
	for i, vs := range values {
		chunks[i], _ = chunk.EncodeFloats(nil, ts, vs)
	}
	b.Run("decode", func(b *testing.B) {
		var outT []int64
		var outV []float64
		for b.Loop() {
			for _, c := range chunks {
				outT, outV, _ = chunk.Decode(outT[:0], outV[:0], c)
			}
		}
		perSample(b)
	})
}
