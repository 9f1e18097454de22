package head_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/head"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	fleetSize  = 1_000_000
	perRequest = 2000
	interval   = 15_000
)

// fleet makes the label sets of instances of 592 series each, as node_exporter has.
func fleet(n int) []series.Labels {
	sets := make([]series.Labels, n)
	for i := range sets {
		instance, metric := i/592, i%592
		sets[i] = series.FromStrings(
			"__name__", fmt.Sprintf("node_metric_%d_total", metric/2), "cpu", fmt.Sprint(metric%2),
			"instance", fmt.Sprintf("10.0.%d.%d:9100", instance/256, instance%256),
			"job", "node", "region", fmt.Sprint("eu-", instance%3), "team", "infra")
	}
	return sets
}

// cpu is the CPU time this process has used: on a busy machine it says more than the clock.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

func create(b *testing.B, h *head.Head, sets []series.Labels) (refs []series.Ref) {
	b.Helper()
	for i := 0; i < len(sets); i += perRequest {
		var err error
		refs, err = h.Refs(refs, sets[i:min(i+perRequest, len(sets))], noLog)
		require.NoError(b, err)
	}
	return refs
}

// load makes requests whose series have the shapes of a host: most are constant, the others are
// counters and gauges of one or two decimals.
type load struct {
	rng    *rand.Rand
	refs   []series.Ref
	frames []frame.Frame
	t      int64
}

func newLoad(refs []series.Ref) *load {
	l := &load{rng: rand.New(rand.NewPCG(1, 2)), refs: refs, t: 1_700_000_000_000}
	for i := 0; i < len(refs); i += perRequest {
		part := refs[i:min(i+perRequest, len(refs))]
		l.frames = append(l.frames, frame.Frame{
			Refs: part, Times: make([]int64, len(part)), Values: make([]float64, len(part)),
		})
	}
	return l
}

// scrape moves on to the next round.
func (l *load) scrape() {
	l.t += interval
	for _, f := range l.frames {
		for i, ref := range f.Refs {
			f.Times[i] = l.t
			switch n := ref.Index() % 8; {
			case n < 5:
				f.Values[i] = float64(n)
			case n < 7:
				f.Values[i] += float64(l.rng.IntN(500))
			default:
				f.Values[i] = math.Round(l.rng.Float64()*1000) / 10
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	sets := fleet(fleetSize)
	for _, random := range []bool{false, true} {
		b.Run(fmt.Sprintf("random=%t", random), func(b *testing.B) {
			h := head.New(head.Options{OutOfOrderWindow: -1})
			refs := create(b, h, sets)
			if random {
				rand.New(rand.NewPCG(3, 4)).Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
			}
			l := newLoad(refs)
			for range 3 {
				l.scrape()
				for i := range l.frames {
					h.Append(&l.frames[i])
				}
			}
			used, n := 0.0, 0
			for b.Loop() {
				b.StopTimer()
				l.scrape()
				b.StartTimer()
				before := cpu()
				for i := range l.frames {
					h.Append(&l.frames[i])
				}
				used += cpu() - before
				n += len(refs)
			}
			b.ReportMetric(used/float64(n), "cpu-ns/sample")
		})
	}
}

// BenchmarkAppendLate backfills: all samples are older than what the series have.
func BenchmarkAppendLate(b *testing.B) {
	h := head.New(head.Options{OutOfOrderWindow: -1})
	refs := create(b, h, fleet(10_000))
	l := newLoad(refs)
	l.t += 1000 * interval
	l.scrape()
	for i := range l.frames {
		h.Append(&l.frames[i])
	}
	l.t -= 1000 * interval
	used, n := 0.0, 0
	for b.Loop() {
		l.scrape()
		before := cpu()
		for i := range l.frames {
			h.Append(&l.frames[i])
		}
		used += cpu() - before
		n += len(refs)
		if n%(900*len(refs)) == 0 {
			l.t -= 900*interval + 7_000_000
		}
	}
	b.ReportMetric(used/float64(n), "cpu-ns/sample")
}

func BenchmarkCreate(b *testing.B) {
	sets := fleet(fleetSize)
	before := cpu()
	for b.Loop() {
		create(b, head.New(head.Options{}), sets)
	}
	b.ReportMetric((cpu()-before)/float64(b.N*len(sets)), "cpu-ns/series")
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func BenchmarkMemoryPerSeries(b *testing.B) {
	const n = 200_000
	sets := fleet(n)
	for _, count := range []int{1, 60, 120, 480} {
		b.Run(fmt.Sprint(count, "samples"), func(b *testing.B) {
			for range b.N {
				before := heap()
				h := head.New(head.Options{OutOfOrderWindow: -1})
				l := newLoad(create(b, h, sets))
				without := heap() - 24*n // The load itself: refs, times, values.
				used := 0.0
				for range count {
					l.scrape()
					begin := cpu()
					for i := range l.frames {
						h.Append(&l.frames[i])
					}
					used += cpu() - begin
				}
				b.ReportMetric(used/float64(n*count), "cpu-ns/sample")
				b.ReportMetric((heap()-24*n-before)/n, "B/series")
				b.ReportMetric((without-before)/n, "B/series-before")
				runtime.KeepAlive(l)
				runtime.KeepAlive(h)
			}
		})
	}
}

func BenchmarkCheckpoint(b *testing.B) {
	h := head.New(head.Options{OutOfOrderWindow: -1})
	l := newLoad(create(b, h, fleet(fleetSize/2)))
	for range 200 {
		l.scrape()
		for i := range l.frames {
			h.Append(&l.frames[i])
		}
	}
	var recs [][]byte
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"write", func() { recs = records(b, h) }},
		{"load", func() {
			again := head.New(head.Options{OutOfOrderWindow: -1})
			for _, r := range recs {
				if err := again.LoadCheckpoint(r, nil); err != nil {
					b.Fatal(err)
				}
			}
		}},
		{"flush", func() {
			f := h.StartFlush(math.MaxInt64)
			require.NoError(b, f.Series(nil, func(chunk.Series) error { return nil }))
			f.Abort()
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			before := cpu()
			for b.Loop() {
				c.do()
			}
			b.ReportMetric((cpu()-before)/float64(b.N*len(l.refs)), "cpu-ns/series")
		})
	}
}

func BenchmarkSelect(b *testing.B) {
	h := head.New(head.Options{OutOfOrderWindow: -1})
	l := newLoad(create(b, h, fleet(fleetSize/2)))
	for range 10 {
		l.scrape()
		for i := range l.frames {
			h.Append(&l.frames[i])
		}
	}
	for _, m := range []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "instance", "10.0.1.7:9100"),
		labels.MustNewMatcher(labels.MatchEqual, "region", "eu-1"),
	} {
		b.Run(m.String(), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				sel := everything()
				sel.Matchers = []*labels.Matcher{m}
				found, err := h.Select(sel)
				require.NoError(b, err)
				n = len(found)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/series")
		})
	}
}
