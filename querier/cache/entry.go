package cache

import (
	"cmp"
	"math"
	"slices"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/changes"
)

// Key is all that the value of a step depends on, beside samples. Times are in milliseconds.
type Key struct {
	// Text as it was sent: the places that notes name are in it.
	Text         string
	Step, Phase  int64
	Lookback     int64
	SubqueryStep int64
	StartTimes   bool
}

// Steps are steps by number, both included; there are none if Last is below First.
type Steps struct{ First, Last int64 }

// Len is how many there are.
func (s Steps) Len() int64 { return max(s.Last-s.First+1, 0) }

func (s Steps) both(o Steps) Steps { return Steps{max(s.First, o.First), min(s.Last, o.Last)} }

// Time is that of a step.
func (k *Key) Time(step int64) int64 { return step*k.Step + k.Phase }

// Number is that of the step at t, or the last one before it.
func (k *Key) Number(t int64) int64 {
	t -= k.Phase
	n := t / k.Step
	if t%k.Step < 0 {
		n--
	}
	return n
}

// Stamps are the moments at which the nodes of a view were asked.
type Stamps struct {
	View  uint64
	Nodes map[placement.NodeID]changes.Stamp
}

// Entry is what is kept under a key.
type Entry struct {
	Stamps Stamps
	Reach  Reach

	segments []segment // by steps, which no two have in common
	longest  int64     // steps that were asked for at one time
}

// segment is some steps of a block.
type segment struct {
	Steps
	block *block
}

const (
	maxSegments = 32
	// maxHoles is how many stretches of steps are computed for one request.
	maxHoles = 2
)

// Current returns the entry without the steps that see any of the changed times, and how many these are.
func (e *Entry) Current(k *Key, changed []changes.Span, now Stamps) (*Entry, int64) {
	out := &Entry{Stamps: now, Reach: e.Reach, segments: e.segments, longest: e.longest}
	before := out.Steps()
	for _, c := range changed {
		times, all := e.Reach.stale(c)
		if all {
			out.segments = nil
			break
		}
		const far = math.MaxInt64 / 4 // There are no steps beyond.
		mint, maxt := min(max(times.Mint, -far), far), min(max(times.Maxt, -far), far)
		stale := Steps{First: k.Number(mint-1) + 1, Last: k.Number(maxt)}
		if stale.Len() > 0 {
			out.segments = without(out.segments, stale)
		}
	}
	return out, before - out.Steps()
}

// Steps is how many steps the entry has.
func (e *Entry) Steps() int64 {
	n := int64(0)
	for _, s := range e.segments {
		n += s.Len()
	}
	return n
}

// without returns the segments less some steps.
func without(segments []segment, gone Steps) []segment {
	var out []segment
	for _, s := range segments {
		for _, left := range []Steps{
			s.both(Steps{s.First, gone.First - 1}), s.both(Steps{gone.Last + 1, s.Last}),
		} {
			if left.Len() > 0 {
				out = append(out, segment{left, s.block})
			}
		}
	}
	return out
}

// Missing returns which of the steps are not there, in order. They are few stretches, which may have
// some that are there, and of one step only if no more are wanted: functions notice being asked for one.
func (e *Entry) Missing(want Steps) []Steps {
	var holes []Steps
	next := want.First
	for _, s := range e.segments {
		have := s.both(want)
		if have.Len() == 0 {
			continue
		}
		if have.First > next {
			holes = append(holes, Steps{next, have.First - 1})
		}
		next = have.Last + 1
	}
	if next <= want.Last {
		holes = append(holes, Steps{next, want.Last})
	}
	for len(holes) > maxHoles {
		near := 0
		for i := range holes[1:] {
			if holes[i+1].First-holes[i].Last < holes[near+1].First-holes[near].Last {
				near = i
			}
		}
		holes[near].Last = holes[near+1].Last
		holes = slices.Delete(holes, near+1, near+2)
	}
	for i := range holes {
		switch h := &holes[i]; {
		case h.Len() > 1:
		case h.First > want.First:
			h.First--
		case h.Last < want.Last:
			h.Last++
		}
	}
	return holes
}

// Computed is what was computed for some steps. The matrix is in the order of labels, and may be
// released afterwards.
type Computed struct {
	Steps
	Matrix promql.Matrix
	Notes  annotations.Annotations
}

// With returns the entry with what was computed in addition, for a request of these steps. Steps that
// are far from it go if there are too many.
func (e *Entry) With(k *Key, want Steps, computed ...Computed) *Entry {
	out := &Entry{Stamps: e.Stamps, Reach: e.Reach, segments: e.segments, longest: max(e.longest, want.Len())}
	for _, c := range computed {
		out.segments = append(without(out.segments, c.Steps), segment{c.Steps, newBlock(k, c)})
	}
	slices.SortFunc(out.segments, func(a, b segment) int { return cmp.Compare(a.First, b.First) })
	out.limit(want)
	out.tidy()
	return out
}

// limit drops what is far from the request, once there is twice as much as was ever asked for.
func (e *Entry) limit(want Steps) {
	extra := e.Steps() - 2*e.longest
	if extra > 0 {
		extra += e.longest / 2
	}
	for extra > 0 || len(e.segments) > 2*maxSegments {
		first, last := &e.segments[0], &e.segments[len(e.segments)-1]
		before, after := want.First-first.First, last.Last-want.Last
		if before <= 0 && after <= 0 {
			return
		}
		if before >= after {
			n := min(max(extra, 1), before, first.Len())
			first.First += n
			extra -= n
			if first.Len() == 0 {
				e.segments = e.segments[1:]
			}
			continue
		}
		n := min(max(extra, 1), after, last.Len())
		last.Last -= n
		extra -= n
		if last.Len() == 0 {
			e.segments = e.segments[:len(e.segments)-1]
		}
	}
}

// tidy makes one segment of neighbours that are of like length, so that there are few and each step
// is copied a few times, and copies what is left of blocks that are mostly gone.
func (e *Entry) tidy() {
	var out []segment
	for _, s := range e.segments {
		out = append(out, s)
		for n := len(out); n > 1; n = len(out) {
			a, b := out[n-2], out[n-1]
			like := max(a.Len(), b.Len()) <= 2*min(a.Len(), b.Len())
			if a.Last+1 != b.First || !like && len(e.segments) <= maxSegments {
				break
			}
			out = append(out[:n-2], join(a, b))
		}
	}
	for i, s := range out {
		if 2*s.Len() < s.block.steps.Len() {
			out[i] = join(s)
		}
	}
	e.segments = out
}

// bytes is about what the entry takes in memory.
func (e *Entry) bytes() int64 {
	const header = 512
	n := int64(header)
	for _, s := range e.segments {
		n += s.block.bytes
	}
	return n
}
