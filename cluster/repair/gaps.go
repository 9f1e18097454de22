package repair

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// firstWait and lastWait bound how long after an attempt a gap is tried again.
	firstWait = 2 * time.Second
	lastWait  = 5 * time.Minute
	// gapPause is how many times as long as an attempt took the next one waits at least.
	gapPause = 9
)

// task is a gap that is to be closed: one of this node's own, or what a node gave up.
type task struct {
	teller   placement.NodeID // zero: own
	from, to int64
	forgot   bool
}

// attempt is the last one at a task.
type attempt struct {
	next time.Time
	wait time.Duration
}

// due are the gaps that are to be tried now, in order. What is not there any more is forgotten.
func (r *Repairer) due(p *placement.Placement) (tasks []task) {
	for _, g := range r.Gaps() {
		tasks = append(tasks, task{from: g.From, to: g.To, forgot: g.Forgot})
	}
	tellers := r.opts.Tellers()
	for _, n := range tellers {
		if n == r.opts.Self || r.opts.Alive(n) {
			tasks = append(tasks, task{teller: n})
		}
	}
	r.mu.Lock()
	r.mu.tellers = len(tellers)
	r.mu.Unlock()
	for t := range r.tried {
		if !slices.Contains(tasks, t) {
			delete(r.tried, t)
		}
	}
	if fills(p, r.opts.Self) {
		return nil
	}
	now := time.Now()
	return slices.DeleteFunc(tasks, func(t task) bool { return now.Before(r.tried[t].next) })
}

// repairGaps tries those that are due, false if there are none.
func (r *Repairer) repairGaps(ctx context.Context, p *placement.Placement) bool {
	tasks := r.due(p)
	for _, t := range tasks {
		begun := time.Now()
		if err := r.repairGap(ctx, t); err != nil {
			r.failed(ctx, "a gap", err)
		}
		if ctx.Err() != nil {
			return true
		}
		wait := min(max(firstWait, 2*r.tried[t].wait), lastWait)
		r.tried[t] = attempt{time.Now().Add(max(wait, gapPause*time.Since(begun))), wait}
	}
	return len(tasks) > 0
}

// repairGap closes a gap if that can be done now. It is not said then, if it is another by the end.
func (r *Repairer) repairGap(ctx context.Context, t task) error {
	if t.teller == (placement.NodeID{}) {
		g, ok := r.gap(t)
		if !ok {
			return nil
		}
		if err := r.repairStretch(ctx, t); err != nil {
			return err
		}
		return r.close(ctx, g)
	}
	l, some, err := r.loss(ctx, t.teller)
	if err != nil || !some {
		return err
	}
	t.from, t.to = l.From, l.To
	if err := r.repairStretch(ctx, t); err != nil {
		return err
	}
	if err := r.repaired(ctx, t.teller, l); err != nil {
		return err
	}
	r.closed(t)
	return nil
}

// gap of this node that a task is of.
func (r *Repairer) gap(t task) (Gap, bool) {
	for _, g := range r.Gaps() {
		if g.From == t.from && g.To == t.to && g.Forgot == t.forgot {
			return g, true
		}
	}
	return Gap{}, false
}

// close forgets a gap of this node, unless it is another one by now.
func (r *Repairer) close(ctx context.Context, g Gap) error {
	if len(g.Parts) > 0 {
		if err := r.opts.Closed(ctx, g); err != nil {
			return err
		}
	}
	r.closed(task{from: g.From, to: g.To, forgot: g.Forgot})
	return r.update(func(s *state) {
		s.Gaps = slices.DeleteFunc(slices.Clone(s.Gaps), func(o Gap) bool { return equalGaps(o, g) })
	})
}

func (r *Repairer) closed(t task) {
	r.metrics.closed.Inc()
	r.opts.Logger.Info("A gap of this node is repaired", "from", time.UnixMilli(t.from).UTC(), "to", time.UnixMilli(t.to).UTC(),
		"node", t.teller)
}

var errNotEnough = errors.New("too few of the other replicas could be compared")

// repairStretch has everything that other replicas have of a stretch when it returns without an error. It
// goes on where too few can be compared: what they have is fetched.
func (r *Repairer) repairStretch(ctx context.Context, t task) error {
	now := time.Now()
	mint := max(t.from, r.opts.KeptFrom(now))
	maxt := t.to
	if maxt == math.MaxInt64 {
		maxt = now.Add(young).UnixMilli()
	}
	var lacking error
	for days := int64(1); maxt >= mint; { // The newest first.
		begin := max(mint, floor(maxt, dayMillis)-(days-1)*dayMillis)
		some, err := r.repairDays(ctx, begin, maxt, t.forgot)
		switch {
		case errors.Is(err, errDifferent):
			days = 1
			continue
		case errors.Is(err, errNotEnough):
			lacking = err
		case err != nil:
			return fmt.Errorf("%s: %w", time.UnixMilli(begin).UTC().Format(time.DateOnly), err)
		}
		days = min(2*days, maxDays)
		if some {
			days = 1
		}
		maxt = begin - 1
	}
	return lacking
}

// errDifferent says that days are not the same and are to be looked at one by one.
var errDifferent = errors.New("days differ")

// repairDays is repairStretch for a day or less, or for days of which nobody has anything. It reports
// whether somebody has.
func (r *Repairer) repairDays(ctx context.Context, mint, maxt int64, forgot bool) (some bool, err error) {
	p := r.opts.Placement()
	all, m := own(p, r.opts.Self), met{}
	for left := all; len(left) > 0; {
		q := Question{Mint: mint, Maxt: maxt, Slot: slotMillis}
		many := maxt-mint >= dayMillis
		if many {
			q.Slot = dayMillis
		}
		n := min(len(left), r.round.shards, max(1, maxCells/q.slots()))
		q.Shards = setOf(p.Bits, left[:n])
		c := comparison{Repairer: r, placement: p, question: q, look: many, met: m}
		begun := time.Now()
		c.run(ctx)
		if c.err != nil {
			return false, c.err
		}
		if many && c.different {
			return true, errDifferent
		}
		some = some || c.some
		r.round.resize(time.Since(begun))
		left = left[n:]
	}
	return some, r.judge(m, all, forgot)
}

// judge returns an error if that was not enough, by the placement that is in force now.
func (r *Repairer) judge(m met, compared []series.Shard, forgot bool) error {
	now := r.opts.Placement()
	shards := own(now, r.opts.Self)
	if slices.ContainsFunc(shards, func(s series.Shard) bool { return !slices.Contains(compared, s) }) {
		return errNotEnough
	}
	switch {
	case !m.all(now, r.opts.Self, r.opts.Alive, shards):
		return errNotEnough
	case m.enough(now, r.opts.Self, shards, forgot):
		return nil
	case !m.all(now, r.opts.Self, everybody, shards):
		return errNotEnough
	}
	r.opts.Logger.Error("Too many replicas have lost samples of the same time: what none of them has is gone")
	return nil
}
