package ruler

import (
	"context"
	"slices"
	"time"

	"github.com/barograph-db/barograph/ruler/assign"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

const (
	// every is how often the leader looks at the members.
	every = time.Second
	// evenEvery is how often loads are made even.
	evenEvery = time.Minute
	// stalled is for how long an owner of groups that are due has none evaluated before others get them.
	stalled = 30 * time.Second
)

// watch is what the leader has seen of the owners.
type watch struct {
	at     map[rules.Key]int64  // the last timestamps of groups
	moved  map[string]time.Time // when an owner was seen to evaluate, or was given its first group
	evened time.Time            // when loads were made even, or it began to lead
}

// lead gives groups to nodes while this node leads, until ctx ends.
func (r *Ruler) lead(ctx context.Context) {
	var w *watch
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		view, _ := r.opts.Ledger.View()
		members := r.opts.Members()
		if slices.ContainsFunc(members, func(m assign.Member) bool { return m.ID == r.opts.Self && m.Leading }) {
			if w == nil {
				w = &watch{at: map[rules.Key]int64{}, moved: map[string]time.Time{}, evened: time.Now()}
			}
			r.distribute(ctx, view, w.stalls(r, view, members), w.mayEven(time.Now()))
		} else {
			w = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// mayEven reports whether loads are to be made even now.
func (w *watch) mayEven(now time.Time) bool {
	if now.Sub(w.evened) < evenEvery {
		return false
	}
	w.evened = now
	return true
}

// stalls marks members that own groups that are due and have none evaluated for long.
func (w *watch) stalls(r *Ruler, view *ledger.View, members []assign.Member) []assign.Member {
	now := time.Now()
	due := map[string]bool{}
	for _, g := range view.Groups {
		if at, ok := w.at[g.Key]; !ok || at != g.At {
			w.at[g.Key] = g.At
			w.moved[g.Owner] = now
		}
		p := r.parse(g)
		if p.err == nil && g.At != 0 && now.Sub(time.UnixMilli(p.group.Next(g.At))) > stalled {
			due[g.Owner] = true
		}
	}
	members = slices.Clone(members)
	for i := range members {
		m := &members[i]
		if _, ok := w.moved[m.ID]; !ok {
			w.moved[m.ID] = now
		}
		m.Stalled = due[m.ID] && now.Sub(w.moved[m.ID]) > stalled
	}
	return members
}

// distribute proposes the next assignment, if there is anything to change.
func (r *Ruler) distribute(ctx context.Context, view *ledger.View, members []assign.Member, even bool) {
	var groups []assign.Group
	for _, g := range view.Groups {
		p := r.parse(g)
		load := 0.0
		if p.err == nil {
			load = g.Cost / p.group.Interval.Seconds()
		}
		groups = append(groups, assign.Group{Key: g.Key, Owner: g.Owner, Load: load})
	}
	changes := assign.Next(groups, members, even)
	if len(changes) == 0 {
		return
	}
	byNode := map[string][]rules.Key{}
	for _, c := range changes {
		byNode[c.Owner] = append(byNode[c.Owner], c.Key)
	}
	a := &ledger.Assign{Lease: view.Lease + 1}
	for _, m := range members {
		if keys := byNode[m.ID]; len(keys) > 0 {
			a.Owners = append(a.Owners, ledger.Owning{Node: m.ID, Groups: keys})
		}
	}
	if _, err := r.change(ctx, &ledger.Command{Assign: a}); err != nil {
		if ctx.Err() == nil {
			r.opts.Logger.Warn("Groups of rules could not be given to nodes", "err", err)
		}
		return
	}
	r.metrics.assignments.Inc()
	r.opts.Logger.Info("Groups of rules have other owners", "groups", len(changes), "lease", a.Lease)
}
