package eval

import (
	"math"

	"github.com/barograph-db/barograph/querier/partial"
)

// function is a function over a range of floats.
type function struct {
	keepsName bool
	counter   bool // Applied to what has no counter's name it earns an info.
	kernel    func(w *work, out []float64)
}

// functions by their names in PromQL.
var functions = map[string]*function{
	"rate":              {counter: true, kernel: func(w *work, out []float64) { w.extrapolated(out, true, w.seconds) }},
	"increase":          {counter: true, kernel: func(w *work, out []float64) { w.extrapolated(out, true, 0) }},
	"delta":             {kernel: func(w *work, out []float64) { w.extrapolated(out, false, 0) }},
	"irate":             {kernel: func(w *work, out []float64) { w.lastTwo(out, true) }},
	"idelta":            {kernel: func(w *work, out []float64) { w.lastTwo(out, false) }},
	"sum_over_time":     {kernel: (*work).sum},
	"avg_over_time":     {kernel: (*work).avg},
	"min_over_time":     {kernel: (*work).min},
	"max_over_time":     {kernel: (*work).max},
	"count_over_time":   {kernel: (*work).count},
	"present_over_time": {kernel: (*work).present},
	"last_over_time":    {keepsName: true, kernel: (*work).last},
	"changes":           {kernel: (*work).changes},
	"resets":            {kernel: (*work).resets},
}

// work is the samples of one series and the part of them that each step sees. A worker has one and
// uses it for one series after the other.
type work struct {
	columns
	lo, hi  []int32 // step i sees the samples from lo[i] up to hi[i]
	ends    []int64 // the end of each step's window
	window  int64
	seconds float64
	marks   []int32 // scratch: the samples at which a counter was reset, or how often until here
}

// place finds what each step sees: samples within (end - window, end].
func (w *work) place() {
	times := w.times
	lo, hi := 0, 0
	for i, end := range w.ends {
		for hi < len(times) && times[hi] <= end {
			hi++
		}
		for begin := end - w.window; lo < hi && times[lo] <= begin; {
			lo++
		}
		w.lo[i], w.hi[i] = int32(lo), int32(hi)
	}
}

// current gives the last sample unless it is a stale marker, which is Absent by itself.
func (w *work) current(out []float64) {
	for i, hi := range w.hi {
		if out[i] = partial.Absent; hi > w.lo[i] {
			out[i] = w.values[hi-1]
		}
	}
}

func (w *work) last(out []float64) { w.current(out) }

func (w *work) count(out []float64) {
	for i, hi := range w.hi {
		if out[i] = partial.Absent; hi > w.lo[i] {
			out[i] = float64(hi - w.lo[i])
		}
	}
}

func (w *work) present(out []float64) {
	for i, hi := range w.hi {
		if out[i] = partial.Absent; hi > w.lo[i] {
			out[i] = 1
		}
	}
}

// extrapolated is rate, increase and delta: the difference of the last and the first sample, with
// what a counter lost to resets, extended to the borders of the window where samples come close to
// them. seconds is what to divide by, 0 for nothing.
func (w *work) extrapolated(out []float64, counter bool, seconds float64) {
	w.marks = w.marks[:0]
	if counter {
		w.findResets()
	}
	next := 0 // the first reset after the first sample
	var x extension
	for i, end := range w.ends {
		first, last := int(w.lo[i]), int(w.hi[i])-1
		if last <= first {
			out[i] = partial.Absent
			continue
		}
		diff := w.values[last] - w.values[first]
		for next < len(w.marks) && int(w.marks[next]) <= first {
			next++
		}
		for _, m := range w.marks[next:] {
			if int(m) > last {
				break
			}
			diff += w.values[m-1]
		}
		t := timing{w.times[first] - (end - w.window), w.times[last] - w.times[first], end - w.times[last], last - first}
		if t != x.timing {
			x = t.extend(seconds)
		}
		factor := x.factor
		if v := w.values[first]; counter && diff > 0 && v >= 0 && (v < diff || x.sampled < x.toStart) {
			// A counter can't have been below zero.
			if toZero := x.sampled * (v / diff); toZero < x.toStart {
				factor = x.from(toZero, seconds)
			}
		}
		out[i] = diff * factor
	}
}

// timing is how the samples lie in a window, in milliseconds: from its beginning to the first, from
// there to the last, from there to the end, and how many steps they make. In regular series windows
// repeat it, so what follows from it is computed once.
type timing struct {
	before, span, after int64
	gaps                int
}

// extension is what follows from a timing, in seconds.
type extension struct {
	timing
	toStart, sampled, toEnd float64
	factor                  float64
}

func (t timing) extend(seconds float64) extension {
	x := extension{
		timing:  t,
		toStart: float64(t.before) / 1000, sampled: float64(t.span) / 1000, toEnd: float64(t.after) / 1000,
	}
	average := x.sampled / float64(t.gaps)
	near := average * 1.1
	if x.toStart >= near {
		x.toStart = average / 2
	}
	if x.toEnd >= near {
		x.toEnd = average / 2
	}
	x.factor = x.from(x.toStart, seconds)
	return x
}

// from is what to multiply a difference by when it begins so long before the first sample.
func (x *extension) from(toStart, seconds float64) float64 {
	factor := (x.sampled + toStart + x.toEnd) / x.sampled
	if seconds != 0 {
		factor /= seconds
	}
	return factor
}

// findResets marks the samples that are less than the one before.
func (w *work) findResets() {
	if len(w.values) == 0 {
		return
	}
	before := w.values[0]
	for i, v := range w.values {
		if v < before {
			w.marks = append(w.marks, int32(i))
		}
		before = v
	}
}

// lastTwo is irate and idelta.
func (w *work) lastTwo(out []float64, counter bool) {
	for i, hi := range w.hi {
		if hi-w.lo[i] < 2 {
			out[i] = partial.Absent
			continue
		}
		before, v := w.values[hi-2], w.values[hi-1]
		if !counter || !(v < before) {
			v -= before
		}
		if counter {
			v /= float64(w.times[hi-1]-w.times[hi-2]) / 1000
		}
		out[i] = v
	}
}

// resets counts through a running number, so that the length of the window does not matter.
func (w *work) resets(out []float64) {
	w.running(out, func(before, v float64) bool { return v < before })
}

func (w *work) changes(out []float64) {
	w.running(out, func(before, v float64) bool { return v != before && !(math.IsNaN(v) && math.IsNaN(before)) })
}

func (w *work) running(out []float64, event func(before, v float64) bool) {
	w.marks = w.marks[:0]
	n := int32(0)
	for i, v := range w.values {
		if i > 0 && event(w.values[i-1], v) {
			n++
		}
		w.marks = append(w.marks, n)
	}
	for i, hi := range w.hi {
		if out[i] = partial.Absent; hi > w.lo[i] {
			out[i] = float64(w.marks[hi-1] - w.marks[w.lo[i]])
		}
	}
}

func (w *work) min(out []float64) {
	for i, hi := range w.hi {
		out[i] = partial.Absent
		if seen := w.values[w.lo[i]:hi]; len(seen) > 0 {
			least := seen[0]
			for _, v := range seen[1:] {
				if v < least || least != least {
					least = v
				}
			}
			out[i] = least
		}
	}
}

func (w *work) max(out []float64) {
	for i, hi := range w.hi {
		out[i] = partial.Absent
		if seen := w.values[w.lo[i]:hi]; len(seen) > 0 {
			most := seen[0]
			for _, v := range seen[1:] {
				if v > most || most != most {
					most = v
				}
			}
			out[i] = most
		}
	}
}

// sum adds each window anew: a running sum would round otherwise.
func (w *work) sum(out []float64) {
	for i, hi := range w.hi {
		out[i] = partial.Absent
		if seen := w.values[w.lo[i]:hi]; len(seen) > 0 {
			var sum, comp float64
			for _, v := range seen {
				sum, comp = partial.Kahan(v, sum, comp)
			}
			if !math.IsInf(sum, 0) {
				sum += comp
			}
			out[i] = sum
		}
	}
}

func (w *work) avg(out []float64) {
	for i, hi := range w.hi {
		out[i] = partial.Absent
		if seen := w.values[w.lo[i]:hi]; len(seen) > 0 {
			out[i] = mean(seen)
		}
	}
}

// mean is the sum over the number, as long as the sum is within the range of floats. From there on
// the mean itself is kept.
func mean(vs []float64) float64 {
	sum, comp := vs[0], 0.0
	for i, v := range vs[1:] {
		next, c := partial.Kahan(v, sum, comp)
		if math.IsInf(next, 0) {
			return runningMean(sum/float64(i+1), comp/float64(i+1), i+1, vs[i+1:])
		}
		sum, comp = next, c
	}
	n := float64(len(vs))
	return float64(sum/n) + float64(comp/n)
}

// runningMean goes on from the mean of n values.
func runningMean(mean, comp float64, n int, vs []float64) float64 {
	for _, v := range vs {
		n++
		count := float64(n)
		q := (count - 1) / count
		mean, comp = partial.Kahan(v/count, float64(q*mean), float64(q*comp))
	}
	return mean + comp
}
