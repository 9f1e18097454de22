package ruler

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

// outage is how late a group's owner has to be for the time before to be one in which samples are
// missing too. A failover takes some seconds.
const outage = time.Minute

// runner evaluates one group, of one text, under one lease.
type runner struct {
	*Ruler
	group  *rules.Group
	expand *alert.Expander
	lease  uint64
	edit   uint64

	at     int64 // the last timestamp that is done
	memory memory
	hold   time.Time // until then alerts that are not found are held
	skip   bool      // the last evaluation took longer than the interval
}

// newRunner continues where the ledger is. before is the runner of another text of the group, if there
// was one on this node.
func (r *Ruler) newRunner(g *ledger.Group, p *parsed, before *runner) *runner {
	u := &runner{
		Ruler: r, group: p.group, lease: g.Lease, edit: g.Edit, at: g.At,
		expand: r.expander(p.settings.ExternalLabels),
		memory: memory{alerts: maps.Clone(g.Alerts), series: map[rules.ID]map[string]labels.Labels{}},
	}
	if before != nil {
		u.memory.series = before.memory.series
	}
	if now := time.Now(); g.At != 0 && now.Sub(time.UnixMilli(p.group.Next(g.At))) > outage {
		u.hold = now.Add(r.opts.Grace)
	}
	return u
}

// run evaluates until ctx ends. fresh says that another node, or another life of this one, did so before.
func (u *runner) run(ctx context.Context, fresh bool) {
	key := u.group.Key.String()
	u.metrics.interval.WithLabelValues(key).Set(u.group.Interval.Seconds())
	u.metrics.rules.WithLabelValues(key).Set(float64(len(u.group.Rules)))
	if fresh {
		u.recall(ctx)
	}
	for {
		at := u.next(time.Now().UnixMilli())
		if !sleep(ctx, time.Until(time.UnixMilli(at))) || !u.turn(ctx) {
			return
		}
		e := u.evaluate(ctx, at)
		u.endTurn()
		if ctx.Err() != nil || !u.commit(ctx, e) {
			return
		}
		if fresh { // Not before: a node that was away may take itself for the owner that it was.
			u.tellAgain()
			fresh = false
		}
	}
}

// tellAgain sends what Alertmanager has been told: the owner before may have died before it did so.
func (u *runner) tellAgain() {
	s := alert.Sending{At: u.at, Now: time.Now().UnixMilli(), Interval: u.group.Interval, Resend: u.opts.Resend}
	var all []Notice
	for i := range u.group.Rules {
		r := &u.group.Rules[i]
		var told []*alert.Alert
		for _, a := range u.memory.alerts[r.ID] {
			if a.LastSentAt != 0 {
				again := *a
				again.ValidUntil = s.Valid()
				told = append(told, &again)
			}
		}
		all = append(all, notices(r, told)...)
	}
	if len(all) > 0 {
		u.opts.Notify(all)
	}
}

// recall finds out which series the last evaluation wrote: of alerts by the alerts, of recording rules
// by evaluating them again. What can't be found out is not marked stale, and ends by itself.
func (u *runner) recall(ctx context.Context) {
	if u.at == 0 {
		return
	}
	e := u.evaluation(u.at)
	var buf [1024]byte
	for i := range u.group.Rules {
		r := &u.group.Rules[i]
		series := map[string]labels.Labels{}
		if r.Kind == rules.Alerting {
			for _, s := range alert.Samples(r.Name, r.Labels, u.memory.alerts[r.ID]) {
				series[string(s.Labels.Bytes(buf[:]))] = s.Labels
			}
		} else {
			ctx, cancel := context.WithTimeout(ctx, u.opts.Timeout)
			vector, err := u.opts.Query(ctx, r.Expr.String(), e.looks())
			cancel()
			samples, sameErr := e.recorded(r, vector)
			if errors.Join(err, sameErr) != nil {
				continue
			}
			for _, s := range samples {
				series[string(s.Labels.Bytes(buf[:]))] = s.Labels
			}
		}
		u.memory.series[r.ID] = series
	}
}

// next is the timestamp that is to be evaluated.
func (u *runner) next(now int64) int64 {
	if u.at == 0 {
		return u.group.Next(now)
	}
	next, first := u.group.Next(u.at), u.group.Next(u.at)
	if oldest := now - u.opts.CatchUp.Milliseconds(); next < oldest {
		next = u.group.Next(oldest)
	}
	if u.skip && next < now {
		next = u.group.At(now)
	}
	if missed := (next - first) / u.group.Interval.Milliseconds(); missed > 0 {
		u.metrics.missed.WithLabelValues(u.group.Key.String()).Add(float64(missed))
		u.opts.Logger.Warn("Timestamps of a group are passed over", "group", u.group.Key.String(), "missed", missed, "slow", u.skip)
	}
	return next
}

func (u *runner) evaluation(at int64) *evaluation {
	return &evaluation{
		Ruler: u.Ruler, group: u.group, expand: u.expand, at: at, before: u.memory, hold: time.Now().Before(u.hold),
		out: ledger.Evaluated{Namespace: u.group.Key.Namespace, Name: u.group.Key.Name, Lease: u.lease, Edit: u.edit},
	}
}

func (u *runner) evaluate(ctx context.Context, at int64) *evaluation {
	e := u.evaluation(at)
	late := time.Since(time.UnixMilli(at))
	e.run(ctx)
	if ctx.Err() != nil {
		return e
	}
	key := u.group.Key.String()
	u.metrics.lateness.Observe(late.Seconds())
	u.metrics.iterations.WithLabelValues(key).Inc()
	u.metrics.lastAt.WithLabelValues(key).Set(float64(at) / 1e3)
	u.metrics.lastDuration.WithLabelValues(key).Set(e.out.Seconds)
	u.metrics.lastSamples.WithLabelValues(key).Set(float64(e.samples))
	u.skip = e.out.Seconds > u.group.Interval.Seconds()
	return e
}

// commit has the others agree, and sends what is due then. It tries until it is known what became of
// it, and returns false when the group is not this runner's any more.
func (u *runner) commit(ctx context.Context, e *evaluation) bool {
	for wait := firstBackoff; ; wait = min(2*wait, longestBackoff) {
		verdict, err := u.propose(ctx, &e.out)
		switch {
		case err != nil:
			if !sleep(ctx, wait) {
				return false
			}
			continue // It may have come to pass, and is Done then: nobody else has the lease.
		case verdict == ledger.Done && u.behind(ctx, e):
			return true
		case verdict == ledger.Taken || verdict == ledger.Done:
			u.at, u.memory = e.at, e.after
			if len(e.due) > 0 {
				u.opts.Notify(e.due)
			}
			return true
		case verdict == ledger.Full:
			u.opts.Logger.Error("What came of a group is not kept", "group", u.group.Key.String(), "at", e.at, "err", string(verdict))
			u.metrics.failures.WithLabelValues(u.group.Key.String()).Add(float64(len(u.group.Rules)))
			u.at, u.memory.series = e.at, e.after.series
			return true
		default:
			u.opts.Logger.Info("A group is not this node's any more", "group", u.group.Key.String(), "err", string(verdict))
			return false
		}
	}
}

// caughtUp is how long a ledger may be behind what others have agreed upon.
const caughtUp = 10 * time.Second

// behind is asked when an evaluation has been done already, and reports whether that was in an earlier life of
// this node, which knew more: then it goes on from there, with the alerts that there are by now. Else
// it was this very evaluation, of which the answer was lost.
func (u *runner) behind(ctx context.Context, e *evaluation) bool {
	ctx, cancel := context.WithTimeout(ctx, caughtUp)
	defer cancel()
	for {
		view, changed := u.opts.Ledger.View()
		switch g := view.Group(u.group.Key); {
		case g == nil || g.Lease != u.lease || g.Edit != u.edit || g.At == e.at:
			return false // The next proposal says whose it is.
		case g.At > e.at:
			u.at, u.memory = g.At, memory{alerts: maps.Clone(g.Alerts), series: e.after.series}
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// end marks stale what the rules of a group wrote that is no more.
func (u *runner) end(ctx context.Context) {
	e := u.evaluation(max(u.at+1, time.Now().UnixMilli()))
	e.group = &rules.Group{Key: u.group.Key, Interval: u.group.Interval, QueryOffset: u.group.QueryOffset}
	e.retire(ctx)
}

// turn waits until there is room for another evaluation.
func (r *Ruler) turn(ctx context.Context) bool {
	select {
	case r.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Ruler) endTurn() { <-r.turns }
