package block

import (
	"fmt"
	"math/rand/v2"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// The shape of a fleet of machines that are scraped: many metrics have many series of each
// machine, most of which never change.
var fleetMetrics = []struct {
	name   string
	label  string
	values int
	kind   byte // 'k' constant, 'c' counter, 'g' gauge
}{
	{"node_cpu_seconds_total", "mode", 64, 'c'},
	{"node_filesystem_size_bytes", "mountpoint", 30, 'k'},
	{"node_filesystem_avail_bytes", "mountpoint", 30, 'g'},
	{"node_network_receive_bytes_total", "device", 24, 'c'},
	{"node_network_info", "device", 24, 'k'},
	{"node_memory", "field", 50, 'g'},
	{"node_systemd_unit_state", "name", 250, 'k'},
	{"node_sockstat", "field", 20, 'k'},
	{"node_vmstat", "field", 40, 'c'},
	{"node_load1", "", 1, 'g'},
	{"node_scrape_collector_success", "collector", 50, 'k'},
	{"up", "", 1, 'k'},
}

// fleet makes the series of so many machines: samples each, every 15 s from start. Each series has
// its own random course.
func fleet(seed uint64, machines int, start int64, samples int) []chunk.Series {
	r := rand.New(rand.NewPCG(seed, 0))
	var all []chunk.Series
	for m := range machines {
		for _, metric := range fleetMetrics {
			for v := range metric.values {
				ls := []string{
					"__name__", metric.name, "cluster", fmt.Sprintf("c%d", m%3), "job", "node",
					"instance", fmt.Sprintf("10.0.%d.%d:9100", m/250, m%250), "env", "production",
				}
				if metric.label != "" {
					ls = append(ls, metric.label, fmt.Sprintf("%s-%d", metric.label, v))
				}
				all = append(all, oneSeries(series.FromStrings(ls...), course(r, m, metric.kind, start, samples)))
			}
		}
	}
	return all
}

func oneSeries(ls series.Labels, chunks []chunk.Chunk) chunk.Series {
	return chunk.Series{Fingerprint: ls.Fingerprint(), Labels: ls, Chunks: chunks}
}

// course makes the chunks of a series. The counters of a machine have timestamps in common that are
// not regular, and which the part may keep once.
func course(r *rand.Rand, machine int, kind byte, start int64, samples int) []chunk.Chunk {
	var (
		chunks []chunk.Chunk
		ts     []int64
		vs     []float64
		value  = float64(r.IntN(1_000_000))
		scale  = 1 + r.IntN(1000)
	)
	for i := range samples {
		at := start + int64(i)*15_000
		switch kind {
		case 'c':
			value += float64(r.IntN(scale))
			at += int64(i * i * 7919 % (11 + machine))
		case 'g':
			value += float64(r.IntN(2*scale)-scale) / 100
		}
		ts, vs = append(ts, at), append(vs, value)
		if len(ts) == chunk.MaxSamples || i == samples-1 {
			chunks = append(chunks, encoded(kind, ts, vs))
			ts, vs = ts[:0], vs[:0]
		}
	}
	return chunks
}

func encoded(kind byte, ts []int64, vs []float64) chunk.Chunk {
	if kind == 'c' {
		c, _ := chunk.EncodeFloats(nil, ts, vs)
		return c
	}
	var a chunk.XORAppender
	for i, t := range ts {
		a.Append(t, vs[i])
	}
	return a.Close()
}

// whole is a chunk that stands for itself.
func whole(c chunk.Chunk) chunk.Chunk {
	if c.Times == nil {
		return c
	}
	row, err := chunk.AppendRow(nil, []chunk.Chunk{c}, nil)
	if err != nil {
		panic(err)
	}
	cs, err := chunk.DecodeRow(nil, row, nil)
	if err != nil {
		panic(err)
	}
	return cs[0]
}
