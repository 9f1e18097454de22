package stream

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/storagetest"
)

// fleet makes the frames of one scrape after the other, of a thousand series each.
type fleet struct {
	*storagetest.Fleet
	r      *rand.Rand
	t      int64
	points []storagetest.Point
	refs   []series.Ref // nil: in order
}

func newFleet(inOrder bool) *fleet {
	f := &fleet{
		Fleet: storagetest.NewFleet(storagetest.FleetOptions{Seed: 1, Hosts: 40}),
		r:     newRand(1), t: 1_700_000_000_000,
	}
	places := make([]int, len(f.Series()))
	for i := range places {
		places[i] = i
	}
	if !inOrder {
		places = f.r.Perm(len(places))
	}
	for _, place := range places {
		f.refs = append(f.refs, series.MakeRef(uint32(place), 1))
	}
	return f
}

// scrape returns the frames of the next scrape. Those of a fleet not in order have its series as chance
// has it.
func (f *fleet) scrape(shuffle bool) []*frame.Frame {
	f.t += 15_000
	f.points = f.Scrape(f.points[:0], f.t)
	if shuffle {
		f.r.Shuffle(len(f.points), func(i, j int) { f.points[i], f.points[j] = f.points[j], f.points[i] })
	}
	var frames []*frame.Frame
	for rest := f.points; len(rest) >= 1000; rest = rest[1000:] {
		one := &frame.Frame{}
		for _, p := range rest[:1000] {
			one.Refs = append(one.Refs, f.refs[p.Series])
			one.Times, one.Values = append(one.Times, p.T), append(one.Values, p.V)
		}
		frames = append(frames, one)
	}
	return frames
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStream sends scrapes through both ends, one after the other, and reports bytes and the
// processor's time per sample. The first scrape, with the labels, is not counted.
func BenchmarkStream(b *testing.B) {
	for _, inOrder := range []bool{true, false} {
		b.Run(map[bool]string{true: "ordered", false: "random"}[inOrder], func(b *testing.B) {
			fleet := newFleet(inOrder)
			var scrapes [][]*frame.Frame
			for range 41 {
				scrapes = append(scrapes, fleet.scrape(!inOrder))
			}
			h := start(b, Options{Registerer: prometheus.NewRegistry()}, ReceiverOptions{}, newFakeStore(false), nil)
			send := func(scrape []*frame.Frame) (samples int) {
				var group sync.WaitGroup
				for _, f := range scrape {
					group.Add(1)
					err := h.sender.Send(f, func(rejected []frame.Rejected, err error) {
						if err != nil || len(rejected) > 0 {
							b.Error(err, len(rejected))
						}
						group.Done()
					})
					require.NoError(b, err)
					samples += f.Samples()
				}
				group.Wait()
				return samples
			}
			for h.sender.queue.admit(1, 1) != nil {
				time.Sleep(time.Millisecond)
			}
			send(scrapes[0])
			bytes := testutil.ToFloat64(h.sender.metrics.bytes)
			samples := 0
			b.ReportAllocs()
			begin := cpuTime()
			n := 0
			for b.Loop() {
				samples += send(scrapes[1+n%40])
				n++
			}
			b.ReportMetric(float64(cpuTime()-begin)/float64(samples), "cpu-ns/sample")
			b.ReportMetric((testutil.ToFloat64(h.sender.metrics.bytes)-bytes)/float64(samples), "B/sample")
		})
	}
}
