package eval

import (
	"math"

	"github.com/barograph-db/barograph/storage/chunk"
)

// work is the samples of one series and the part of them that each step sees. A worker has one and
// uses it for one series after the other.
type work struct {
	columns
	lo, hi    []int32 // step i sees the samples from lo[i] up to hi[i]
	ends      []int64 // the end of each step's window
	step      int64
	window    int64
	offset    int64 // of the ends from the times of the steps
	seconds   float64
	numbers   [][]float64 // of each mapping
	even      stretch
	seen      int64 // samples of all windows together
	fresh     int64 // of these, those that no window before has seen
	widest    int32 // samples of the widest window
	marks     []int32
	picks     chunk.Picks
	totals    []total
	sorted    []float64
	abscissas []float64
	sums      []float64
}

// stretch is steps whose windows are alike: from one to the next both borders move by so many
// samples and lie the same way between them.
type stretch struct{ from, to, stride int }

func newWork(x *Expr, g Grid, lookback int64) *work {
	w := &work{}
	if x.join == nil {
		*w = work{
			lo: make([]int32, g.Steps), hi: make([]int32, g.Steps), ends: make([]int64, g.Steps),
			step: g.Step, window: x.reach(lookback), offset: x.offset(g), seconds: x.seconds,
		}
	}
	for i := range w.ends {
		w.ends[i] = g.Start + int64(i)*g.Step - w.offset
	}
	for i := range x.mappings {
		w.numbers = append(w.numbers, x.mappings[i].number.column(g))
	}
	return w
}

// place finds what each step sees: samples within (end - window, end].
func (w *work) place() {
	w.seen, w.fresh, w.widest = 0, 0, 0
	w.even = stretch{}
	if !w.placeEvenly() {
		w.spell()
		w.placeEach()
	}
	even := w.even
	if even.to <= even.from {
		w.measure(0, len(w.ends))
		return
	}
	w.measure(0, even.from+1)
	inside := int64(even.to - even.from - 1) // All as wide as the one before.
	width := int(w.hi[even.from] - w.lo[even.from])
	w.seen += inside * int64(width)
	w.fresh += inside * int64(min(width, even.stride))
	w.measure(even.to, len(w.ends))
}

// measure counts what the steps see.
func (w *work) measure(from, to int) {
	before := int32(0)
	if from > 0 {
		before = w.hi[from-1]
	}
	for i := from; i < to; i++ {
		lo, hi := w.lo[i], w.hi[i]
		w.seen += int64(hi - lo)
		w.fresh += int64(hi - max(lo, before))
		w.widest = max(w.widest, hi-lo)
		before = hi
	}
}

func (w *work) placeEach() {
	lo, hi, loStride, hiStride := 0, 0, 0, 0
	for i, end := range w.ends {
		nextLo, nextHi := upTo(w.times, lo, loStride, end-w.window), upTo(w.times, hi, hiStride, end)
		loStride, hiStride = nextLo-lo, nextHi-hi
		lo, hi = nextLo, nextHi
		w.lo[i], w.hi[i] = int32(lo), int32(hi)
	}
}

// upTo is how many times there are up to t, if the first of them are. It may be a stride more.
func upTo(times []int64, first, stride int, t int64) int {
	if n := first + stride; n > 0 && n < len(times) && times[n-1] <= t && t < times[n] {
		return n
	}
	for first < len(times) && times[first] <= t {
		first++
	}
	return first
}

// placeEvenly does the same where samples lie at even distances of which a step makes a whole
// number: the borders move by that number. It returns false where they don't.
func (w *work) placeEvenly() bool {
	n, steps := len(w.values), len(w.ends)
	if n < 2 || steps < 4 {
		return false
	}
	distance := w.rhythm.distance
	if distance == 0 {
		distance = evenDistance(w.times)
	}
	if distance == 0 || w.step%distance != 0 || w.step/distance > math.MaxInt32 {
		return false
	}
	stride := w.step / distance
	// How many samples lie up to the borders of the first step, if they went on for ever.
	first := w.at(0)
	w.spread(floorDiv(w.ends[0]-w.window-first, distance)+1, floorDiv(w.ends[0]-first, distance)+1, stride)
	return true
}

// evenDistance is how far each time is from the one before, 0 if not all are as far.
func evenDistance(times []int64) int64 {
	distance, t := times[1]-times[0], times[0]
	if times[len(times)-1]-t != distance*int64(len(times)-1) {
		return 0
	}
	odd := int64(0)
	for _, next := range times[1:] {
		odd |= next - t - distance
		t = next
	}
	if odd != 0 {
		return 0
	}
	return distance
}

// spread places windows from the borders of the first one. Those of the even stretch lie within the
// samples; before it they begin and after it they end where there are none.
func (w *work) spread(lo, hi, stride int64) {
	n, steps := int64(len(w.values)), int64(len(w.ends))
	from := min(max(0, (-lo+stride-1)/stride), steps)
	to := min(max(from, floorDiv(n-hi, stride)+1), steps)
	w.even = stretch{from: int(from), to: int(to), stride: int(stride)}
	clamp := func(from, to int64) {
		for i := from; i < to; i++ {
			w.lo[i] = int32(min(max(lo+i*stride, 0), n))
			w.hi[i] = int32(min(max(hi+i*stride, 0), n))
		}
	}
	clamp(0, from)
	los, his := w.lo[from:to], w.hi[from:to]
	for i := range los {
		los[i] = int32(lo + (from+int64(i))*stride)
		his[i] = int32(hi + (from+int64(i))*stride)
	}
	clamp(to, steps)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
