package ruler

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

// GroupStatus is a group and how its last evaluation went, which is the same on all nodes that have
// heard of it.
type GroupStatus struct {
	rules.Key
	Interval time.Duration
	Limit    int
	Rules    []RuleStatus
	// Began is when the last evaluation did, zero if there was none, and Seconds how long it took.
	Began   time.Time
	Seconds float64
}

// RuleStatus is a rule of a group.
type RuleStatus struct {
	Kind                rules.Kind
	Name, Query         string
	Labels, Annotations labels.Labels
	For, KeepFiringFor  time.Duration
	// Evaluated says whether the rule, as it is, has been evaluated; Seconds is how long that took.
	Evaluated bool
	Seconds   float64
	Err       string         // of the last evaluation, or why the group can't be read here
	Alerts    []*alert.Alert // those that are pending or fire
}

// Status returns all groups in the order of their keys.
func (r *Ruler) Status() []GroupStatus {
	view, _ := r.opts.Ledger.View()
	groups := make([]GroupStatus, len(view.Groups))
	for i, g := range view.Groups {
		p := r.parse(g)
		read, unread := p.group, ""
		if p.err != nil {
			unread = p.err.Error()
			read = rules.Outline(g.Key.Namespace, rules.Text{Name: g.Key.Name, YAML: g.YAML}, p.settings.Rules)
		}
		groups[i] = groupStatus(g, read, unread)
	}
	return groups
}

func groupStatus(g *ledger.Group, read *rules.Group, unread string) GroupStatus {
	s := GroupStatus{Key: g.Key, Interval: read.Interval, Limit: read.Limit, Rules: make([]RuleStatus, len(read.Rules)), Seconds: g.Seconds}
	if g.At != 0 {
		s.Began = time.UnixMilli(g.Began)
	}
	reports := make(map[rules.ID]*ledger.Report, len(g.Rules))
	for i := range g.Rules {
		reports[g.Rules[i].ID] = &g.Rules[i]
	}
	for i := range read.Rules {
		rule, out := &read.Rules[i], &s.Rules[i]
		*out = RuleStatus{
			Kind: rule.Kind, Name: rule.Name, Query: rule.Query(), Labels: rule.Labels, Annotations: rule.Annotations,
			For: rule.For, KeepFiringFor: rule.KeepFiringFor, Err: unread,
		}
		if report := reports[rule.ID]; report != nil && unread == "" {
			out.Evaluated, out.Seconds, out.Err = true, report.Seconds, report.Err
		}
		for _, a := range g.Alerts[rule.ID] {
			if a.State != alert.Inactive {
				out.Alerts = append(out.Alerts, a)
			}
		}
	}
	return s
}
