package frame_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/storagetest"
)

func encode(t testing.TB, e *frame.Encoder, f *frame.Frame) (record []byte) {
	t.Helper()
	require.NoError(t, e.Encode(f, func(b []byte) error {
		record = slices.Clone(b)
		return nil
	}))
	return record
}

// logFrame has samples of a few series, some of them more than once, whose values follow on each
// other in many ways, and now and then a new generation.
func logFrame(r *rand.Rand, values map[uint32]float64) *frame.Frame {
	f := &frame.Frame{}
	if r.IntN(8) == 0 {
		f = randomFrame(r)
	}
	if len(f.Refs) > 0 {
		return f
	}
	index, generation := r.Uint32N(40), 1+r.Uint32N(2)
	for range r.IntN(60) {
		if index += r.Uint32N(3); r.IntN(10) == 0 {
			index = r.Uint32N(700)
		}
		if r.IntN(20) == 0 {
			generation = r.Uint32() >> r.IntN(32)
		}
		v := values[index]
		switch r.IntN(8) {
		case 0:
			v = randomValue(r)
		case 1:
			v += 1e-3 * float64(r.IntN(100))
		case 2:
			v = math.Round(v*100+float64(r.IntN(300))) / 100
		case 3:
			v = (math.Round(v*1000) + float64(r.IntN(70000))) * 0.001
		case 4:
			v += float64(r.IntN(1 << r.IntN(40)))
		}
		values[index] = v
		f.Refs = append(f.Refs, series.MakeRef(index, generation))
		f.Times, f.Values = append(f.Times, r.Int64N(4)*15000), append(f.Values, v)
	}
	return f
}

func TestLogRoundTrip(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		e, d, values := frame.NewEncoder(), frame.NewDecoder(), map[uint32]float64{}
		var got frame.Frame
		for range 200 {
			f := logFrame(r, values)
			require.NoError(t, d.Decode(&got, encode(t, e, f)))
			require.Equal(t, flat(f), flat(&got))
			if r.IntN(50) == 0 {
				e.Forget()
			}
			if r.IntN(50) == 0 {
				require.NoError(t, d.Decode(&got, frame.AppendEncode(nil, f)), "one that stands by itself")
				require.Equal(t, flat(f), flat(&got))
			}
		}
	}
}

// What builds on a frame that is lost is recognised; what does not is decoded, and so is all after
// the encoder forgot.
func TestLogLosesFrames(t *testing.T) {
	row := func(first uint32, v float64) *frame.Frame {
		f := &frame.Frame{}
		for i := range uint32(100) {
			f.Refs = append(f.Refs, series.MakeRef(first+i, 1))
			f.Times, f.Values = append(f.Times, 1000), append(f.Values, v+float64(i))
		}
		return f
	}
	e, d := frame.NewEncoder(), frame.NewDecoder()
	var got frame.Frame
	take := func(f *frame.Frame) error {
		err := d.Decode(&got, encode(t, e, f))
		if err == nil {
			require.Equal(t, flat(f), flat(&got))
		}
		return err
	}
	require.NoError(t, take(row(0, 1)))
	encode(t, e, row(0, 7.5))
	require.ErrorIs(t, take(row(50, 3)), frame.ErrLost)
	require.NoError(t, take(row(400, 3)), "other series")
	require.ErrorIs(t, take(row(90, 3)), frame.ErrLost, "it builds on what built on it")
	e.Forget()
	require.NoError(t, take(row(0, 8)))
	require.NoError(t, take(row(0, 8)))
	e.Forget()
	encode(t, e, row(0, 9))
	require.ErrorIs(t, take(row(0, 9)), frame.ErrLost, "the first of an epoch is lost")
}

// In a random log with holes, what is decoded is what was encoded.
func TestLogWithHoles(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		e, d, values := frame.NewEncoder(), frame.NewDecoder(), map[uint32]float64{}
		var got frame.Frame
		lost := 0
		for range 300 {
			f := logFrame(r, values)
			record := encode(t, e, f)
			if r.IntN(100) == 0 {
				continue
			}
			if err := d.Decode(&got, record); err != nil {
				require.ErrorIs(t, err, frame.ErrLost)
				lost++
				continue
			}
			require.Equal(t, flat(f), flat(&got))
			if r.IntN(60) == 0 {
				e.Forget()
			}
		}
		require.Less(t, lost, 300)
	}
}

// What the log refused must not be built on.
func TestLogRefuses(t *testing.T) {
	e, d := frame.NewEncoder(), frame.NewDecoder()
	f := &frame.Frame{Refs: []series.Ref{series.MakeRef(1, 1)}, Times: []int64{1}, Values: []float64{5}}
	var got frame.Frame
	require.NoError(t, d.Decode(&got, encode(t, e, f)))
	refused := errors.New("full")
	f.Values[0] = 6
	require.ErrorIs(t, e.Encode(f, func([]byte) error { return refused }), refused)
	f.Values[0] = 7
	require.NoError(t, d.Decode(&got, encode(t, e, f)))
	require.Equal(t, f.Values, got.Values)
	f.Refs = make([]series.Ref, frame.MaxSamples+1)
	require.ErrorIs(t, e.Encode(f, func([]byte) error { return nil }), frame.ErrTooLarge)
}

// FuzzLog decodes junk between good frames: what comes is right or refused.
func FuzzLog(f *testing.F) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 3))
		e := frame.NewEncoder()
		f.Add(seed, encode(f, e, logFrame(r, map[uint32]float64{})))
	}
	f.Fuzz(func(t *testing.T, seed uint64, junk []byte) {
		r := rand.New(rand.NewPCG(seed, 4))
		e, d, values := frame.NewEncoder(), frame.NewDecoder(), map[uint32]float64{}
		var got frame.Frame
		for i := range 6 {
			if i == 3 {
				_ = d.Decode(&got, junk)
			}
			f := logFrame(r, values)
			err := d.Decode(&got, encode(t, e, f))
			if i < 3 {
				require.NoError(t, err)
			}
			if err == nil {
				require.Equal(t, flat(f), flat(&got))
			} else {
				require.ErrorIs(t, err, frame.ErrLost)
			}
		}
	})
}

// fleetFrames are frames of 2000 samples of some scrapes of a fleet, whose series are in order of
// their references or not.
func fleetFrames(inOrder bool) []*frame.Frame {
	fleet := storagetest.NewFleet(storagetest.FleetOptions{Seed: 1, Hosts: 40})
	r := rand.New(rand.NewPCG(1, 1))
	var frames []*frame.Frame
	var places []int
	for i := range 40 {
		points := fleet.Scrape(nil, int64(1_700_000_000_000+15000*i))
		if places == nil {
			places = r.Perm(len(points))
		}
		if !inOrder {
			r.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		}
		for ; len(points) >= 2000; points = points[2000:] {
			f := &frame.Frame{}
			for _, p := range points[:2000] {
				at := p.Series
				if !inOrder {
					at = places[at]
				}
				f.Refs = append(f.Refs, series.MakeRef(uint32(at), 1))
				f.Times, f.Values = append(f.Times, p.T), append(f.Values, p.V)
			}
			frames = append(frames, f)
		}
	}
	return frames
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		inOrder bool
		most    float64
	}{{true, 0.9}, {false, 1.8}} {
		var size, samples int
		e := frame.NewEncoder()
		for _, f := range fleetFrames(c.inOrder) {
			size += len(encode(t, e, f))
			samples += f.Samples()
		}
		t.Logf("in order %v: %.2f bytes per sample", c.inOrder, float64(size)/float64(samples))
		require.Less(t, float64(size)/float64(samples), c.most)
	}
}

// benchmark runs a log of some scrapes, again and again, and reports the processor's time, which
// other work on the machine disturbs less.
func benchmark(b *testing.B, run func(frames []*frame.Frame, records [][]byte)) {
	for _, inOrder := range []bool{true, false} {
		name := "random"
		if inOrder {
			name = "ordered"
		}
		b.Run(name, func(b *testing.B) {
			frames := fleetFrames(inOrder)
			var records [][]byte
			e := frame.NewEncoder()
			for _, f := range frames {
				records = append(records, encode(b, e, f))
			}
			samples := 0
			b.ReportAllocs()
			begin := cpuTime()
			for b.Loop() {
				run(frames, records)
				samples += 2000 * len(frames)
			}
			b.ReportMetric(float64(cpuTime()-begin)/float64(samples), "cpu-ns/sample")
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkEncode(b *testing.B) {
	benchmark(b, func(frames []*frame.Frame, _ [][]byte) {
		e := frame.NewEncoder()
		for _, f := range frames {
			_ = e.Encode(f, func([]byte) error { return nil })
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var f frame.Frame
	benchmark(b, func(_ []*frame.Frame, records [][]byte) {
		d := frame.NewDecoder()
		for _, r := range records {
			if err := d.Decode(&f, r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Order tells where the samples of a frame are once it is decoded, in order or not.
func TestOrder(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 5))
		f := &frame.Frame{}
		for i := range 1 + r.IntN(300) {
			f.Refs = append(f.Refs, series.MakeRef(uint32(i)/2, 1))
			f.Times, f.Values = append(f.Times, int64(i)), append(f.Values, float64(i))
		}
		if seed%3 > 0 {
			swaps := []int{1, 2000}[seed%3-1]
			for range swaps {
				i, j := r.IntN(len(f.Refs)), r.IntN(len(f.Refs))
				f.Refs[i], f.Refs[j] = f.Refs[j], f.Refs[i]
			}
		}
		var got frame.Frame
		require.NoError(t, frame.NewDecoder().Decode(&got, encode(t, frame.NewEncoder(), f)))
		order := frame.Order(f.Refs)
		require.Len(t, order, len(f.Refs))
		for i, from := range order {
			require.Equal(t, f.Refs[from], got.Refs[i])
			require.Equal(t, f.Times[from], got.Times[i])
		}
	}
}

// A limited decoder takes what is within its limits, and no more.
func TestLimits(t *testing.T) {
	limits := frame.Limits{Samples: 3, Rest: 1000, Index: 100}
	decode := func(f *frame.Frame) error {
		return frame.NewLimitedDecoder(limits).Decode(&frame.Frame{}, encode(t, frame.NewEncoder(), f))
	}
	row := func(n int, first uint32) *frame.Frame {
		f := &frame.Frame{}
		for i := range n {
			f.Refs = append(f.Refs, series.MakeRef(first+uint32(i), 1))
			f.Times, f.Values = append(f.Times, 1), append(f.Values, 1)
		}
		return f
	}
	require.NoError(t, decode(row(3, 97)))
	require.ErrorIs(t, decode(row(4, 0)), frame.ErrCorrupt)
	require.ErrorIs(t, decode(row(3, 98)), frame.ErrCorrupt)
	require.NoError(t, decode(&frame.Frame{Metadata: []frame.Metadata{{Help: string(make([]byte, 900))}}}))
	require.ErrorIs(t, decode(&frame.Frame{Metadata: []frame.Metadata{{Help: string(make([]byte, 1000))}}}), frame.ErrCorrupt)
	require.ErrorIs(t, decode(&frame.Frame{Metadata: []frame.Metadata{{Help: string(make([]byte, 1<<20))}}}), frame.ErrCorrupt)
}
