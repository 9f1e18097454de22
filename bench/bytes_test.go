package main

import (
	"maps"
	"math"
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

// columns are n scrapes of a machine: the times, and of each series the shape, the values, and the
// least bits that they could take.
type columns struct {
	times  []int64
	shapes []shape
	values [][]float64
	bits   []float64
}

func fleetColumns(n int) columns {
	f := newFleet(1000, 1)
	f.series = slices.DeleteFunc(f.series, func(s *source) bool { return s.machine > 0 })
	c := columns{make([]int64, n), make([]shape, len(f.series)), make([][]float64, len(f.series)), make([]float64, len(f.series))}
	before := make([]float64, len(f.series))
	for i := range c.times {
		c.times[i] = 1_700_000_000_000 + 15_000*int64(i)
		for j, s := range f.series {
			before[j] = s.value
		}
		f.step()
		for j, s := range f.series {
			c.shapes[j], c.values[j] = s.shape, append(c.values[j], s.value)
			c.bits[j] += s.surprise(before[j])
		}
	}
	return c
}

// surprise is -log2 of how probable the value was after the one before, for whoever knows how it is
// drawn: no code takes fewer bits in the mean (Shannon, 1948).
func (s *source) surprise(before float64) float64 {
	grown := func(unit, scale, idle float64) float64 {
		d := math.Round((s.value - before) * unit)
		p := (1 - idle) * (math.Exp(-max(d-0.5, 0)/scale) - math.Exp(-(d+0.5)/scale))
		if d == 0 {
			p += idle
		}
		return -math.Log2(p)
	}
	walked := func(d, scale float64) float64 {
		return -math.Log2((math.Erf((d+0.5)/scale/math.Sqrt2) - math.Erf((d-0.5)/scale/math.Sqrt2)) / 2)
	}
	switch s.shape {
	case counter:
		return grown(1, s.scale, s.idle)
	case counterCPU:
		return grown(100, s.scale, s.idle)
	case counterMS:
		return grown(1000, s.scale, s.idle)
	case gaugeBytes:
		return walked(math.Round((s.value-before)/4096), s.scale)
	case gaugeTenths:
		return walked(math.Round((s.value-before)*100), 10)
	case gaugeFloat: // Of all floats as near as the walk goes.
		const step = 1e-3
		d := (s.value - before) / step
		density := math.Exp(-d*d/2) / (step * math.Sqrt(2*math.Pi))
		return -math.Log2(density * (math.Nextafter(s.value, math.Inf(1)) - s.value))
	case bucket:
		if s.parent == nil {
			return grown(1, 3, 0)
		}
		own := *s
		own.value -= s.parent.scale // What the neighbour grew is known.
		return -math.Log2(math.Exp(-max(own.value-before-0.5, 0)) - math.Exp(-(own.value - before + 0.5)))
	}
	return 0
}

// TestSealedBytes shows what a day of the fleet's values takes in chunks of two hours, as a flush
// and a seal leave them, by the shape of the series: bytes a sample, the least that is possible, and
// each shape's part of all bytes. Times are regular and take nothing.
func TestSealedBytes(t *testing.T) {
	const samples, slot = 5760, 480
	fleet := fleetColumns(samples)
	ts := fleet.times
	type sum struct {
		series, bytes int
		least         float64
	}
	sums, all, least := map[shape]sum{}, 0, 0.0
	var buf []byte
	for j, vs := range fleet.values {
		size := 0
		for from := 0; from < samples; from += slot {
			var c chunk.Chunk
			c, buf = chunk.EncodeFloats(buf[:0], ts[from:from+slot], vs[from:from+slot])
			size += len(c.Data)
			_, back, err := chunk.Decode(nil, nil, c)
			require.NoError(t, err)
			require.Equal(t, vs[from:from+slot], back)
		}
		was, bits := sums[fleet.shapes[j]], fleet.bits[j]/8
		sums[fleet.shapes[j]] = sum{was.series + 1, was.bytes + size, was.least + bits}
		all, least = all+size, least+bits
	}
	for _, s := range slices.Sorted(maps.Keys(sums)) {
		n := float64(sums[s].series * samples)
		t.Logf("%-20s %3d series, %.3f bytes a sample, at least %.3f, %4.1f %% of the bytes", shapeNames[s], sums[s].series,
			float64(sums[s].bytes)/n, sums[s].least/n, 100*float64(sums[s].bytes)/float64(all))
	}
	n := float64(len(fleet.values) * samples)
	perSample := float64(all) / n
	t.Logf("all: %.3f bytes a sample, at least %.3f", perSample, least/n)
	require.Less(t, perSample, 0.55)
}

// BenchmarkSealed encodes and decodes two hours of the fleet.
func BenchmarkSealed(b *testing.B) {
	fleet := fleetColumns(480)
	ts, values := fleet.times, fleet.values
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
