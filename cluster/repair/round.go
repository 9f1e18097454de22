package repair

import (
	"context"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// minShards and maxShards are compared at once, and maxDays that have nothing.
	minShards = 1
	maxShards = 1 << 10
	maxDays   = 64
	// quick and slow are how long a comparison may take for the next to be larger, or smaller.
	quick = time.Second
	slow  = 5 * time.Second
)

// round is how far the comparison of the days in hand is.
type round struct {
	first, last int64 // days
	left        []series.Shard
	begun       time.Time
	end         int64 // Unix ms; of the last day
	failed      bool

	shards int   // compared at once
	days   int64 // of the next ones, at most
	tried  map[int64]int64
}

func newRound() round { return round{shards: 16, days: 1, tried: map[int64]int64{}} }

// step compares some shards of the days in hand, or takes the next ones in hand. It returns how long
// to wait after that.
func (r *Repairer) step(ctx context.Context, p *placement.Placement) time.Duration {
	d := &r.round
	if len(d.left) == 0 && !r.begin(p) {
		return lookEvery
	}
	q := Question{Mint: d.first * dayMillis, Maxt: d.end - 1, Slot: slotMillis}
	if d.last > d.first {
		q.Slot = dayMillis
	}
	n := min(len(d.left), d.shards, max(1, maxCells/q.slots()))
	q.Shards = setOf(p.Bits, d.left[:n])
	c := comparison{Repairer: r, placement: p, question: q, look: d.last > d.first, met: met{}}
	begun := time.Now()
	c.run(ctx)
	took := time.Since(begun)
	if c.err != nil {
		r.failed(ctx, "a day", c.err)
	}
	now := r.opts.Placement()
	if c.err != nil || now == nil || now.Bits != p.Bits || !c.look && !c.met.all(now, r.opts.Self, r.opts.Alive, d.left[:n]) {
		d.failed = true
	}
	d.left = d.left[n:]
	d.resize(took)
	if c.some {
		d.days = 1
	}
	if c.look && c.different { // One by one, then.
		d.left, d.days = nil, 1
		return 0
	}
	if len(d.left) == 0 {
		r.finish(ctx)
		if !c.some {
			d.days = min(2*d.days, maxDays)
		}
	}
	return took * roundPause
}

// begin takes the next days in hand, false if none are due.
func (r *Repairer) begin(p *placement.Placement) bool {
	d, now := &r.round, time.Now()
	c := r.calendar(now)
	c.tried = d.tried
	var ok bool
	if d.first, d.last, ok = c.next(d.days); !ok {
		return false
	}
	d.left, d.begun, d.failed = own(p, r.opts.Self), now, false
	d.end = min((d.last+1)*dayMillis, c.end())
	if len(d.left) > 0 {
		return true
	}
	for day := d.first; day <= d.last; day++ { // Nothing is held, or not yet.
		d.tried[day] = now.UnixMilli()
	}
	return false
}

// resize has the next comparison take about as long as one may.
func (d *round) resize(took time.Duration) {
	switch {
	case took > slow:
		d.shards, d.days = max(d.shards/2, minShards), 1
	case took < quick:
		d.shards = min(2*d.shards, maxShards)
	}
}

// finish remembers that the days in hand were compared.
func (r *Repairer) finish(ctx context.Context) {
	d := &r.round
	if d.failed {
		for day := d.first; day <= d.last; day++ {
			d.tried[day] = time.Now().UnixMilli()
		}
		return
	}
	c := r.calendar(time.Now())
	oldest, _ := c.span()
	for day := range d.tried {
		if day >= d.first && day <= d.last || day < oldest {
			delete(d.tried, day)
		}
	}
	if err := r.update(func(s *state) {
		s.Compared = withCompared(s.Compared, compared{d.first, d.last, d.begun.UnixMilli()}, oldest)
	}); err != nil {
		r.failed(ctx, "to remember a day", err)
	}
}
