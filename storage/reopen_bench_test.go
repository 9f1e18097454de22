package storage

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

// BenchmarkReopen opens a directory whose log has an hour of 100,000 series, or ten scrapes of a
// million, in frames of 2000 as a fleet sends them: machine by machine, or with a machine's series
// all over the head; once with a checkpoint of them and once without.
func BenchmarkReopen(b *testing.B) {
	for _, c := range []reopening{
		{series: 100_000, scrapes: 240},
		{series: 100_000, scrapes: 240, shuffled: true},
		{series: 100_000, scrapes: 240, checkpoint: true},
		{series: 1_000_000, scrapes: 10},
		{series: 1_000_000, scrapes: 10, checkpoint: true},
	} {
		b.Run(fmt.Sprintf("series=%d/shuffled=%v/checkpoint=%v", c.series, c.shuffled, c.checkpoint), c.run)
	}
}

type reopening struct {
	series, scrapes      int
	shuffled, checkpoint bool
}

func (c reopening) run(b *testing.B) {
	dir := b.TempDir()
	opts := Options{WALSync: wal.Off}
	db := runIn(b, dir, opts)
	fleet := newBusy(c.series)
	refs := c.create(b, db.DB)
	_, err := db.cut()
	require.NoError(b, err)
	created := db.wal.Bytes()
	f := &frame.Frame{}
	for i := range c.scrapes {
		fleet.step()
		for from := 0; from < len(refs); from += perWrite {
			to := min(from+perWrite, len(refs))
			f.Refs, f.Times, f.Values = refs[from:to], f.Times[:0], fleet.values[from:to]
			for s := from; s < to; s++ {
				f.Times = append(f.Times, longAgo+fleet.at(s, i))
			}
			_, err := db.Append(context.Background(), f)
			require.NoError(b, err)
		}
	}
	samples := db.Stats(1).Head.Samples
	logged, begin := db.wal.Bytes()-created, time.Now()
	if c.checkpoint {
		db.maintenance.Lock()
		require.NoError(b, db.checkpointLocked())
		db.maintenance.Unlock()
	}
	took, size := time.Since(begin), db.maintenance.lastCheckpoint
	db.stop()
	if c.checkpoint {
		defer b.ReportMetric(float64(size)/float64(len(refs)), "checkpoint-B/series")
		defer b.ReportMetric(took.Seconds(), "checkpoint-s")
	}
	defer b.ReportMetric(float64(created)/float64(len(refs)), "log-B/series")
	defer b.ReportMetric(float64(logged)/float64(samples), "log-B/sample")
	cpu := cpuTime()
	opened := time.Duration(0)
	for b.Loop() {
		began := time.Now()
		db, err := Open(dir, opts)
		require.NoError(b, err)
		opened += time.Since(began)
		require.Equal(b, samples, db.Stats(1).Head.Samples)
		require.NoError(b, db.Close())
	}
	b.ReportMetric(float64(opened)/float64(int64(b.N)*samples), "ns/sample")
	b.ReportMetric(float64(cpuTime()-cpu)/float64(int64(b.N)*samples), "cpu-ns/sample")
}

// create makes the series and returns their references in the order of the fleet.
func (c reopening) create(b *testing.B, db *DB) []series.Ref {
	sets, all := machines(c.series), make([]series.Ref, c.series)
	order := make([]int, c.series)
	for i := range order {
		order[i] = i
	}
	if c.shuffled {
		order = shuffled(c.series)
	}
	for some := range slices.Chunk(order, perWrite) {
		batch := make([]series.Labels, len(some))
		for i, s := range some {
			batch[i] = sets[s]
		}
		refs, err := db.Refs(context.Background(), nil, batch)
		require.NoError(b, err)
		for i, s := range some {
			all[s] = refs[i]
		}
	}
	return all
}

// busy is a fleet of machines whose values move as those of the whole system's benchmark do: half of
// the series stand still, a fifth counts hundredths of seconds, a ninth counts.
type busy struct {
	r           *rand.Rand
	values      []float64
	scale, idle []float64
}

const busyMachine = 353

func newBusy(n int) *busy {
	f := &busy{r: rand.New(rand.NewPCG(2, 2))}
	for range n {
		f.values = append(f.values, math.Round(f.r.Float64()*1e6))
		f.scale = append(f.scale, math.Exp(f.r.NormFloat64()*1.5)*20)
		f.idle = append(f.idle, f.r.Float64()*f.r.Float64())
	}
	return f
}

// at is when a scrape sees a series, from the first one on, in milliseconds. One scraper in five wavers.
func (f *busy) at(s, scrape int) int64 {
	machine := s / busyMachine
	t := int64(scrape)*15_000 + int64(machine)*7919%15_000
	if machine%5 == 0 {
		t += int64(uint32(machine*31+scrape*2654435761)>>8) % 11
	}
	return t
}

// step moves every series to its next value.
func (f *busy) step() {
	r := f.r
	for i, v := range f.values {
		switch kind := i % busyMachine; {
		case kind < 64:
			if r.Float64() >= f.idle[i] {
				v = math.Round(v*100+r.ExpFloat64()*f.scale[i]) / 100
			}
		case kind < 102:
			if r.Float64() >= f.idle[i] {
				v += math.Round(r.ExpFloat64() * f.scale[i])
			}
		case kind < 132:
			v += math.Round(r.ExpFloat64() * float64(2+(kind-102)%10))
		case kind < 148:
			v = math.Max(0, v+math.Round(r.NormFloat64()*f.scale[i])*4096)
		case kind < 161:
			v = math.Abs(v + r.NormFloat64()*1e-3)
		case kind < 170:
			if r.Float64() >= f.idle[i] {
				v = (math.Round(v*1000) + math.Round(r.ExpFloat64()*f.scale[i])) * 0.001
			}
		case kind < 173:
			v = math.Max(0, math.Round(v*100+r.NormFloat64()*10)/100)
		}
		f.values[i] = v
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
