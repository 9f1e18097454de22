package alert

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// keepResolved is how long a resolved alert is kept, and sent again and again, so that Alertmanager
// hears of it though it was away. As in Prometheus.
const keepResolved = 15 * time.Minute

// ErrSameLabels says that two alerts of a rule came to the same labels.
var ErrSameLabels = errors.New("vector contains metrics with the same labelset after applying alert labels")

// Found is one element of what a rule's expression found, with its templates expanded.
type Found struct {
	Labels, Annotations labels.Labels
	Value               float64
}

// Rule is what Step needs to know of one.
type Rule struct {
	For, KeepFiringFor time.Duration
	Limit              int // of alerts that are pending or firing; 0 is none
	// Hold leaves alerts that were not found as they are: after an outage it is not known whether
	// there was nothing to be found.
	Hold bool
}

// Step returns the alerts at a time, in the order of their labels, from what was found then and the
// alerts before, which are in that order too. With an error the alerts are what they were.
func Step(r Rule, at int64, found []Found, before []*Alert) ([]*Alert, error) {
	found = slices.Clone(found)
	slices.SortFunc(found, func(a, b Found) int { return labels.Compare(a.Labels, b.Labels) })
	for i := range found[:max(len(found), 1)-1] {
		if labels.Equal(found[i].Labels, found[i+1].Labels) {
			return nil, ErrSameLabels
		}
	}
	after := make([]*Alert, 0, max(len(found), len(before)))
	active := 0
	add := func(a *Alert) {
		if a == nil {
			return
		}
		if a.State != Inactive {
			active++
		}
		after = append(after, a)
	}
	for len(found) > 0 || len(before) > 0 {
		order := -1 // Found only.
		switch {
		case len(found) == 0:
			order = 1
		case len(before) > 0:
			order = labels.Compare(found[0].Labels, before[0].Labels)
		}
		switch {
		case order < 0:
			add(r.found(at, &found[0], nil))
			found = found[1:]
		case order > 0:
			add(r.absent(at, before[0]))
			before = before[1:]
		default:
			add(r.found(at, &found[0], before[0]))
			found, before = found[1:], before[1:]
		}
	}
	if r.Limit > 0 && active > r.Limit {
		return nil, fmt.Errorf("exceeded limit of %d with %d alerts", r.Limit, active)
	}
	return after, nil
}

// found returns what becomes of an alert that was found. There may have been none.
func (r *Rule) found(at int64, f *Found, before *Alert) *Alert {
	next := Alert{Labels: f.Labels, State: Pending, ActiveAt: at}
	if before != nil && before.State != Inactive {
		next = *before
	}
	next.Annotations, next.Value, next.KeepFiringSince = f.Annotations, f.Value, 0
	r.settle(at, &next)
	if before != nil && before.Same(&next) && before.Value == next.Value {
		return before
	}
	return &next
}

// absent returns what becomes of an alert that was not found, nil if it is gone.
func (r *Rule) absent(at int64, before *Alert) *Alert {
	next := *before
	switch {
	case before.State == Inactive:
		if at-before.ResolvedAt > keepResolved.Milliseconds() {
			return nil
		}
		return before
	case r.Hold:
		return before
	case before.State == Pending:
		return nil
	case r.KeepFiringFor > 0:
		if next.KeepFiringSince == 0 {
			next.KeepFiringSince = at
		}
		if at-next.KeepFiringSince < r.KeepFiringFor.Milliseconds() {
			r.settle(at, &next)
			break
		}
		fallthrough
	default:
		next.State, next.ResolvedAt = Inactive, at
	}
	if before.Same(&next) {
		return before
	}
	return &next
}

// settle has a pending alert fire when its time is over, and one that fires wait again when its rule
// was given more time.
func (r *Rule) settle(at int64, a *Alert) {
	over := at-a.ActiveAt >= r.For.Milliseconds()
	switch {
	case a.State == Pending && over:
		a.State, a.FiredAt = Firing, at
	case a.State == Firing && !over:
		a.State, a.FiredAt, a.LastSentAt, a.KeepFiringSince = Pending, 0, 0, 0
	}
}

// Sending says when alerts are sent.
type Sending struct {
	At       int64         // the evaluation's timestamp
	Now      int64         // by the clock; an evaluation may be late
	Interval time.Duration // of evaluations
	Resend   time.Duration // what is passed is sent again after this time
}

// Due returns the alerts with those that are to be sent now marked as sent, and those by themselves.
// An alert is sent when it fires or is resolved, and then again and again.
func Due(s Sending, alerts []*Alert) (after, due []*Alert) {
	after = slices.Clone(alerts)
	for i, a := range alerts {
		if a.State == Pending || a.ResolvedAt <= a.LastSentAt && a.LastSentAt+s.Resend.Milliseconds() >= s.At {
			continue
		}
		sent := *a
		sent.LastSentAt, sent.ValidUntil = s.At, s.Valid()
		after[i] = &sent
		due = append(due, &sent)
	}
	return after, due
}

// Valid is until when the receiver takes an alert that is sent now for firing, if it hears no more of
// it: two evaluations may fail, or messages be lost.
func (s *Sending) Valid() int64 {
	return max(s.At, s.Now) + 4*max(s.Resend, s.Interval).Milliseconds()
}
