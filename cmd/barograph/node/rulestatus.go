package node

import (
	"strconv"
	"time"

	"github.com/barograph-db/barograph/querier/api"
	"github.com/barograph-db/barograph/ruler"
	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/rules"
)

// ruleGroups are all groups, as the API shows them.
func (n *Node) ruleGroups() []api.RuleGroup {
	r := n.ruling.Load()
	if r == nil {
		return nil
	}
	groups := r.Status()
	shown := make([]api.RuleGroup, len(groups))
	for i := range groups {
		g := &groups[i]
		shown[i] = api.RuleGroup{
			Name: g.Name, File: g.Namespace, Interval: g.Interval.Seconds(), Limit: g.Limit,
			EvaluationTime: g.Seconds, LastEvaluation: g.Began.UTC(), Rules: make([]api.Rule, len(g.Rules)),
		}
		for k := range g.Rules {
			shown[i].Rules[k] = shownRule(&g.Rules[k], g.Began)
		}
	}
	return shown
}

func shownRule(r *ruler.RuleStatus, began time.Time) api.Rule {
	shown := api.Rule{Name: r.Name, Query: r.Query, Labels: r.Labels, Health: "unknown", LastError: r.Err}
	if r.Evaluated {
		shown.Health, shown.EvaluationTime, shown.LastEvaluation = "ok", r.Seconds, began.UTC()
	}
	if r.Err != "" {
		shown.Health = "err"
	}
	if r.Kind != rules.Alerting {
		return shown
	}
	shown.Alerting = &api.Alerting{
		Duration: r.For.Seconds(), KeepFiringFor: r.KeepFiringFor.Seconds(), Annotations: r.Annotations,
	}
	state := alert.Inactive
	for _, a := range r.Alerts {
		state = max(state, a.State)
		shown.Alerts = append(shown.Alerts, shownAlert(a))
	}
	shown.State = state.String()
	return shown
}

func shownAlert(a *alert.Alert) api.Alert {
	at := func(ms int64) *time.Time {
		if ms == 0 {
			return nil
		}
		t := time.UnixMilli(ms).UTC()
		return &t
	}
	return api.Alert{
		Labels: a.Labels, Annotations: a.Annotations, State: a.State.String(),
		ActiveAt: at(a.ActiveAt), KeepFiringSince: at(a.KeepFiringSince), Value: strconv.FormatFloat(a.Value, 'e', -1, 64),
	}
}
