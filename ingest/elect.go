package ingest

import (
	"context"
	"math"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Origin stands for one of several senders of the same series; zero is none.
type Origin uint32

// Elector says which of several senders of the same series is to be stored.
type Elector interface {
	// Origin finds where a series comes from by its labels, and returns them without the one that says
	// only that. It may reorder pairs.
	Origin(pairs []series.Pair) ([]series.Pair, Origin, error)
	// Judge says what is to be done with the samples of an origin that came in one batch. It may wait
	// for other nodes.
	Judge(ctx context.Context, o Origin) Verdict
	// Took hears of the batch, before it is stored: the newest timestamp that was taken (the least of
	// all when none was) and what was left out.
	Took(o Origin, newest int64, left Counts)
}

// Verdict is what is to be done with the samples of an origin.
type Verdict struct {
	// Known is false if nobody remembers the origin: the labels of its series are to be read again.
	Known bool
	// After is the time later than which samples are taken; the others are left out.
	After int64
	// Refused, if not nil, is why none is taken at the moment.
	Refused *Error
}

// NoSamples as Verdict.After takes none.
const NoSamples = math.MaxInt64

// heldRef stands in the cache for the reference of a series that was never looked up, since no
// sample of its origin was taken.
const heldRef = lostRef - 1

// ballot is the verdict on an origin in one batch, and what became of it.
type ballot struct {
	origin Origin
	Verdict
	newest int64
	left   Counts
}

// ballots are those of a batch: one in nearly all cases.
type ballots struct {
	list []ballot
	last int
}

func (bs *ballots) reset() {
	clear(bs.list)
	bs.list, bs.last = bs.list[:0], 0
}

// of returns the ballot of an origin. It holds until the next call.
func (bs *ballots) of(ctx context.Context, e Elector, o Origin) *ballot {
	if bs.last < len(bs.list) && bs.list[bs.last].origin == o {
		return &bs.list[bs.last]
	}
	for i := range bs.list {
		if bs.list[i].origin == o {
			bs.last = i
			return &bs.list[i]
		}
	}
	bs.last = len(bs.list)
	bs.list = append(bs.list, ballot{origin: o, Verdict: e.Judge(ctx, o), newest: math.MinInt64})
	return &bs.list[bs.last]
}

// elect applies the verdicts to the runs whose origins the cache knows. It returns how many runs have
// something to take and no reference.
func (w *Writer) elect(ctx context.Context, b *Batch, s *scratch) (missing int) {
	for i := range b.Runs {
		if o := s.origins[i]; o != 0 && b.Runs[i].Reason == 0 {
			switch v := s.votes.of(ctx, w.opts.Elector, o); {
			case !v.Known:
				s.refs[i] = 0
			case !s.admit(b, i, v), s.refs[i] == heldRef:
				s.refs[i] = 0
			}
		}
		if s.refs[i] == 0 && (!b.Runs[i].empty() || b.Runs[i].Reason != 0) {
			missing++
		}
	}
	return missing
}

// admit takes out of run i what its origin's verdict leaves out, and reports whether something is left.
func (s *scratch) admit(b *Batch, i int, v *ballot) bool {
	run := &b.Runs[i]
	if v.Refused == nil && run.Histograms.Len()+run.Exemplars.Len() == 0 && s.admitAll(b, run, v) {
		return true
	}
	before := run.counts()
	if v.Refused != nil {
		s.result.Rejections.Add(v.Refused.Reason, before, func() string { return v.Refused.particulars() + ": " + describeRun(b, i) })
		run.drop()
		return false
	}
	if v.After == NoSamples {
		run.drop()
	} else {
		v.newest = max(v.newest, b.keepAfter(run, v.After))
	}
	left := before.minus(run.counts())
	v.left.Add(left)
	s.result.Deduplicated.Add(left)
	return !run.empty()
}

// admitAll is the usual case: a run of floats, all of which are taken.
func (s *scratch) admitAll(b *Batch, run *Run, v *ballot) bool {
	newest := v.newest
	for _, t := range b.Times[run.Floats.From:run.Floats.To] {
		if t <= v.After {
			return false
		}
		newest = max(newest, t)
	}
	v.newest = newest
	return run.Floats.From != run.Floats.To
}

// tell lets the elector know what became of the batch.
func (w *Writer) tell(s *scratch) {
	for i := range s.votes.list {
		if v := &s.votes.list[i]; v.Known && v.Refused == nil {
			w.opts.Elector.Took(v.origin, v.newest, v.left)
		}
	}
}

// drop leaves nothing in the run.
func (r *Run) drop() {
	r.Floats.From, r.Histograms.From, r.Exemplars.From = r.Floats.To, r.Histograms.To, r.Exemplars.To
}

// keepAfter leaves in the run what is later than after, and exemplars without a timestamp. It returns
// the newest timestamp of a sample, the least of all if none is left. What is kept moves to the end
// of the run's part of the columns.
func (b *Batch) keepAfter(run *Run, after int64) (newest int64) {
	newest = math.MinInt64
	to := run.Floats.To
	for j := to; j > run.Floats.From; {
		j--
		if t := b.Times[j]; t > after {
			newest = max(newest, t)
			if to--; to != j {
				b.Times[to], b.Values[to] = t, b.Values[j]
				if len(b.Starts) > 0 {
					b.Starts[to] = b.Starts[j]
				}
			}
		}
	}
	run.Floats.From = to
	if run.Histograms.Len()+run.Exemplars.Len() == 0 {
		return newest
	}
	run.Histograms = keep(b.Histograms, run.Histograms, func(h *frame.Histogram) bool {
		if h.T > after {
			newest = max(newest, h.T)
		}
		return h.T > after
	})
	run.Exemplars = keep(b.Exemplars, run.Exemplars, func(e *frame.Exemplar) bool { return e.T > after || e.T == 0 })
	return newest
}

// keep moves what is wanted of a span to its end, in order.
func keep[T any](all []T, span Span, wanted func(*T) bool) Span {
	to := span.To
	for j := to; j > span.From; {
		j--
		if wanted(&all[j]) {
			if to--; to != j {
				all[to] = all[j]
			}
		}
	}
	return Span{From: to, To: span.To}
}
