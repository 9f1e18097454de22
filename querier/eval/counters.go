package eval

import (
	"math"

	"github.com/barograph-db/barograph/querier/partial"
)

// extrapolated is rate, increase and delta: the difference of the last and the first sample, with
// what a counter lost to resets, extended to the borders of the window where samples come close to
// them. seconds is what to divide by, 0 for nothing.
func (w *work) extrapolated(out []float64, counter bool, seconds float64) {
	w.marks = w.marks[:0]
	if counter {
		w.findResets()
	}
	x := extrapolation{work: w, counter: counter, seconds: seconds}
	even := w.even
	if len(w.marks) > 0 || even.to-even.from < 2 || w.hi[even.from]-w.lo[even.from] < 2 {
		x.each(out, 0, len(out))
		return
	}
	x.each(out, 0, even.from+1)
	firsts := w.values[w.lo[even.from]:]
	lasts := w.values[w.hi[even.from]-1:]
	rest, at, factor, short := out[even.from+1:even.to], even.stride, x.factor, x.short()
	for i := range rest {
		first, diff := firsts[at], lasts[at]-firsts[at]
		if counter && diff > 0 && first >= 0 && (first < diff || short) {
			rest[i] = diff * x.clamped(first, diff)
		} else {
			rest[i] = diff * factor
		}
		at += even.stride
	}
	x.each(out, even.to, len(out))
}

// extrapolation is an extrapolated function under way, in the order of the steps.
type extrapolation struct {
	*work
	extension
	counter bool
	seconds float64
	next    int // the first reset after the first sample
}

// each computes steps one by one.
func (x *extrapolation) each(out []float64, from, to int) {
	for i := from; i < to; i++ {
		first, last := int(x.lo[i]), int(x.hi[i])-1
		if last <= first {
			out[i] = partial.Absent
			continue
		}
		diff := x.values[last] - x.values[first]
		for x.next < len(x.marks) && int(x.marks[x.next]) <= first {
			x.next++
		}
		for _, m := range x.marks[x.next:] {
			if int(m) > last {
				break
			}
			diff += x.values[m-1]
		}
		end := x.ends[i]
		from, to := x.at(first), x.at(last)
		t := timing{from - (end - x.window), to - from, end - to, last - first}
		if t != x.timing {
			x.timing = t
			x.extend(x.seconds)
		}
		factor := x.factor
		if v := x.values[first]; x.counter && diff > 0 && v >= 0 && (v < diff || x.short()) {
			factor = x.clamped(v, diff)
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

// extend computes the others from the timing. It writes each where it stays: uneven series have another
// timing in each step.
func (x *extension) extend(seconds float64) {
	x.sampled = float64(x.span) / 1000
	average := x.sampled / float64(x.gaps)
	near, half := average*1.1, average/2
	x.toStart, x.toEnd = float64(x.before)/1000, float64(x.after)/1000
	if x.toStart >= near {
		x.toStart = half
	}
	if x.toEnd >= near {
		x.toEnd = half
	}
	x.factor = x.from(x.toStart, seconds)
}

// from is what to multiply a difference by when it begins so long before the first sample.
func (x *extension) from(toStart, seconds float64) float64 {
	factor := (x.sampled + toStart + x.toEnd) / x.sampled
	if seconds != 0 {
		factor /= seconds
	}
	return factor
}

// short reports whether a counter may be extended beyond zero though it has not doubled.
func (x *extension) short() bool { return x.sampled < x.toStart }

// clamped is the factor for a counter that went up by diff from first: it can't have been below
// zero before.
func (x *extrapolation) clamped(first, diff float64) float64 {
	if toZero := x.sampled * (first / diff); toZero < x.toStart {
		return x.from(toZero, x.seconds)
	}
	return x.factor
}

// findResets marks the samples that are less than the one before, of those that windows see.
func (w *work) findResets() {
	if len(w.spans) == 0 {
		w.markFalls(1, len(w.values))
	}
	for _, s := range w.spans {
		if w.joins(s) {
			w.markFalls(s.from, s.from+1)
		}
		if !s.rising {
			w.markFalls(s.from+1, s.to)
		}
	}
}

// joins reports whether a window may see the first sample of the chunk and the one before.
func (w *work) joins(s span) bool {
	last := len(w.hi) - 1
	return s.from > int(w.lo[0]) && s.from < int(w.hi[last])
}

func (w *work) markFalls(from, to int) {
	if from >= to {
		return
	}
	before := w.values[from-1]
	for i, v := range w.values[from:to] {
		if v < before {
			w.marks = append(w.marks, int32(from+i))
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
			v /= float64(w.at(int(hi)-1)-w.at(int(hi)-2)) / 1000
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
