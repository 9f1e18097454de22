package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Rules returns the rule groups in the order in which they are shown; nil is none.
type Rules func() []RuleGroup

// RuleGroup is a group of rules and how its last evaluation went.
type RuleGroup struct {
	Name  string `json:"name"`
	File  string `json:"file"`
	Rules []Rule `json:"rules"`
	// Interval and EvaluationTime in seconds.
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

// Rule is a recording rule, or an alerting rule if it has an Alerting part.
type Rule struct {
	*Alerting
	Name   string        `json:"name"`
	Query  string        `json:"query"`
	Labels labels.Labels `json:"labels"`
	// Health is "ok", "err" or "unknown".
	Health    string `json:"health"`
	LastError string `json:"lastError,omitempty"`
	// EvaluationTime in seconds.
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
	// Type is set by the API: "alerting" or "recording".
	Type string `json:"type"`
}

// Alerting is what an alerting rule has and a recording rule has not.
type Alerting struct {
	// State is "inactive", "pending" or "firing".
	State string `json:"state"`
	// Duration and KeepFiringFor in seconds.
	Duration      float64       `json:"duration"`
	KeepFiringFor float64       `json:"keepFiringFor"`
	Annotations   labels.Labels `json:"annotations"`
	Alerts        []Alert       `json:"alerts"`
}

// Alert is one series of an alerting rule that is pending or firing.
type Alert struct {
	Labels          labels.Labels `json:"labels"`
	Annotations     labels.Labels `json:"annotations"`
	State           string        `json:"state"`
	ActiveAt        *time.Time    `json:"activeAt,omitempty"`
	KeepFiringSince *time.Time    `json:"keepFiringSince,omitempty"`
	// Value in scientific notation, as strconv's 'e' format has it.
	Value string `json:"value"`
}

func (a *API) ruleGroups() []RuleGroup {
	if a.opts.Rules == nil {
		return nil
	}
	return a.opts.Rules()
}

func (a *API) alerts(request) (answer, error) {
	active := []Alert{}
	for _, g := range a.ruleGroups() {
		for _, rule := range g.Rules {
			if rule.Alerting != nil {
				active = append(active, rule.Alerts...)
			}
		}
	}
	return answer{data: map[string][]Alert{"alerts": active}}, nil
}

// ruleFilter says which rules are wanted.
type ruleFilter struct {
	rules, groups, files []string
	sets                 [][]*labels.Matcher
	typ                  string // alert, record, or all if empty
	excludeAlerts        bool
	// maxGroups is the size of a page, 0 is no pages; next is the token of the page's first group.
	maxGroups int
	next      string
}

func (a *API) ruleFilter(r request) (f ruleFilter, err error) {
	f.rules, f.groups, f.files = r.form["rule_name[]"], r.form["rule_group[]"], r.form["file[]"]
	if f.sets, err = a.matchers(r); err != nil {
		return f, err
	}
	f.typ = strings.ToLower(r.value("type"))
	if f.typ != "" && f.typ != "alert" && f.typ != "record" {
		return f, badParam("type", fmt.Errorf("not supported value %q", f.typ))
	}
	if s := strings.ToLower(r.value("exclude_alerts")); s != "" {
		if f.excludeAlerts, err = strconv.ParseBool(s); err != nil {
			return f, badParam("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err))
		}
	}
	f.next = r.value("group_next_token")
	limit := r.value("group_limit")
	switch {
	case limit == "" && f.next != "":
		return f, badParam("group_next_token", errors.New("group_limit needs to be present in order to paginate over the groups"))
	case limit == "":
		return f, nil
	}
	n, err := strconv.ParseInt(limit, 10, 32)
	if err != nil {
		return f, badParam("group_limit", fmt.Errorf("group_limit needs to be a valid number: %w", err))
	}
	if n <= 0 {
		return f, badParam("group_limit", errors.New("group_limit needs to be greater than 0"))
	}
	f.maxGroups = int(n)
	return f, nil
}

// page returns the wanted rules of a page of groups, and the token of the page that follows.
func (f *ruleFilter) page(all []RuleGroup) (groups []RuleGroup, next string, err error) {
	if f.next != "" {
		i := slices.IndexFunc(all, func(g RuleGroup) bool { return g.token() == f.next })
		if i < 0 {
			return nil, "", badParam("group_next_token", fmt.Errorf("invalid group_next_token '%v'. were rule groups changed?", f.next))
		}
		all = all[i:]
	}
	groups = []RuleGroup{}
	for _, g := range all {
		if g.Rules = f.pick(g); len(g.Rules) == 0 {
			continue
		}
		if f.maxGroups > 0 && len(groups) == f.maxGroups {
			return groups, g.token(), nil
		}
		groups = append(groups, g)
	}
	return groups, "", nil
}

// pick returns the wanted rules of a group.
func (f *ruleFilter) pick(g RuleGroup) []Rule {
	if !oneOf(f.groups, g.Name) || !oneOf(f.files, g.File) {
		return nil
	}
	var picked []Rule
	for _, rule := range g.Rules {
		alerting := rule.Alerting != nil
		switch {
		case !oneOf(f.rules, rule.Name), f.typ == "alert" && !alerting, f.typ == "record" && alerting,
			len(f.sets) > 0 && !slices.ContainsFunc(f.sets, func(ms []*labels.Matcher) bool { return matches(rule.Labels, ms) }):
			continue
		}
		rule.Type = "recording"
		if alerting {
			rule.Type = "alerting"
			part := *rule.Alerting
			switch {
			case f.excludeAlerts:
				part.Alerts = nil
			case part.Alerts == nil:
				part.Alerts = []Alert{}
			}
			rule.Alerting = &part
		}
		picked = append(picked, rule)
	}
	return picked
}

// oneOf reports whether v is wanted: an empty list wants everything.
func oneOf(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }

// token names a group without showing the server's paths.
func (g *RuleGroup) token() string {
	sum := sha256.Sum256([]byte(g.File + ";" + g.Name))
	return hex.EncodeToString(sum[:])
}

func (a *API) rules(r request) (answer, error) {
	f, err := a.ruleFilter(r)
	if err != nil {
		return answer{}, err
	}
	groups, next, err := f.page(a.ruleGroups())
	if err != nil {
		return answer{}, err
	}
	return answer{data: struct {
		Groups []RuleGroup `json:"groups"`
		Next   string      `json:"groupNextToken,omitempty"`
	}{groups, next}}, nil
}

// alertmanager is where alerts are sent.
type alertmanager struct {
	URL string `json:"url"`
}

func (a *API) alertmanagers(request) (answer, error) {
	var active, dropped []string
	if a.opts.Alertmanagers != nil {
		active, dropped = a.opts.Alertmanagers()
	}
	return answer{data: map[string][]alertmanager{
		"activeAlertmanagers":  receivers(active),
		"droppedAlertmanagers": receivers(dropped),
	}}, nil
}

func receivers(urls []string) []alertmanager {
	list := make([]alertmanager, len(urls))
	for i, u := range urls {
		list[i].URL = u
	}
	return list
}
