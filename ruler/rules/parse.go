package rules

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// Options of reading.
type Options struct {
	// Parser of expressions, with the features that are enabled.
	Parser parser.Parser
	// Names is the scheme that names of metrics and labels follow; default UTF-8.
	Names model.ValidationScheme
	// Interval and QueryOffset are those of groups that give none; defaults 1 minute and 0.
	Interval, QueryOffset time.Duration

	// MaxBytes bounds a file or a group's text; default 4 MiB.
	MaxBytes int
	// MaxGroups bounds the groups of a file; default 10,000.
	MaxGroups int
	// MaxRules bounds the rules of a group; default 10,000.
	MaxRules int
	// MaxTemplate bounds a label's or annotation's template, in bytes; default 64 KiB.
	MaxTemplate int
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.Parser == nil {
		o.Parser = parser.NewParser(parser.Options{})
	}
	if o.Names == model.UnsetValidation {
		o.Names = model.UTF8Validation
	}
	if o.Interval == 0 {
		o.Interval = time.Minute
	}
	for _, d := range []struct {
		v    *int
		most int
	}{{&o.MaxBytes, 4 << 20}, {&o.MaxGroups, 10_000}, {&o.MaxRules, 10_000}, {&o.MaxTemplate, 64 << 10}} {
		if *d.v == 0 {
			*d.v = d.most
		}
	}
}

// Text is one group as it is kept and agreed upon: its name, and the YAML of a group in a rule file.
type Text struct {
	Name string
	YAML string
}

// File reads a rule file: its groups as texts, each of which Parse takes. The error joins all that is
// wrong, with lines where they are known.
func File(data []byte, o Options) ([]Text, error) {
	o.EnsureDefaults()
	groups, err := read(data, o)
	if err != nil {
		return nil, err
	}
	texts := make([]Text, len(groups))
	for i, g := range groups {
		if texts[i], err = textOf(g); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// Single reads a group by itself, as the rule API is given it.
func Single(data []byte, o Options) (Text, error) {
	o.EnsureDefaults()
	if len(data) > o.MaxBytes {
		return Text{}, fmt.Errorf("%d bytes, and %d are allowed", len(data), o.MaxBytes)
	}
	g, err := single(data)
	if err != nil {
		return Text{}, err
	}
	t, err := textOf(g)
	if err != nil {
		return Text{}, err
	}
	_, err = parse("", t, o)
	return t, err
}

// Parse makes a group of a text that File or Single have made.
func Parse(namespace string, t Text, o Options) (*Group, error) {
	o.EnsureDefaults()
	return parse(namespace, t, o)
}

func parse(namespace string, t Text, o Options) (*Group, error) {
	// As the one group of a file, so that all that Prometheus checks is checked.
	raw, err := single([]byte(t.YAML))
	if err != nil {
		return nil, err
	}
	file, err := yaml.Marshal(rulefmt.RuleGroups{Groups: []rulefmt.RuleGroup{raw}})
	if err != nil {
		return nil, err
	}
	groups, err := read(file, o)
	if err != nil {
		return nil, err
	}
	return build(namespace, groups[0], o)
}

// Outline is what can be shown of a group that Parse does not take: its rules have texts in the place of
// expressions. It has none if it is no group at all.
func Outline(namespace string, t Text, o Options) *Group {
	o.EnsureDefaults()
	var raw rulefmt.RuleGroup
	if yaml.Unmarshal([]byte(t.YAML), &raw) != nil {
		raw = rulefmt.RuleGroup{}
	}
	raw.Name = t.Name
	g := outline(namespace, raw, o)
	identify(g.Rules)
	return g
}

func single(data []byte) (g rulefmt.RuleGroup, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&g); err != nil {
		return g, err
	}
	if g.Name == "" {
		return g, errors.New("the group has no name")
	}
	return g, nil
}

func textOf(g rulefmt.RuleGroup) (Text, error) {
	text, err := yaml.Marshal(g)
	return Text{Name: g.Name, YAML: string(text)}, err
}

func read(data []byte, o Options) ([]rulefmt.RuleGroup, error) {
	if len(data) > o.MaxBytes {
		return nil, fmt.Errorf("%d bytes, and %d are allowed", len(data), o.MaxBytes)
	}
	groups, errs := rulefmt.Parse(data, false, o.Names, o.Parser, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(groups.Groups) > o.MaxGroups {
		return nil, fmt.Errorf("%d groups, and %d are allowed", len(groups.Groups), o.MaxGroups)
	}
	for _, g := range groups.Groups {
		errs = append(errs, check(g, o))
	}
	return groups.Groups, errors.Join(errs...)
}

// check holds a group against what is ours to check.
func check(g rulefmt.RuleGroup, o Options) error {
	switch {
	case g.Interval < 0:
		return fmt.Errorf("group %q: an interval of %s", g.Name, g.Interval)
	case g.Limit < 0:
		return fmt.Errorf("group %q: a limit of %d", g.Name, g.Limit)
	case len(g.Rules) > o.MaxRules:
		return fmt.Errorf("group %q: %d rules, and %d are allowed", g.Name, len(g.Rules), o.MaxRules)
	}
	for i, r := range g.Rules {
		for _, templates := range []map[string]string{g.Labels, r.Labels, r.Annotations} {
			for name, t := range templates {
				if len(t) > o.MaxTemplate {
					return fmt.Errorf("group %q, rule %d: the template of %q has %d bytes, and %d are allowed", g.Name, i+1, name, len(t), o.MaxTemplate)
				}
			}
		}
	}
	return nil
}

func build(namespace string, raw rulefmt.RuleGroup, o Options) (*Group, error) {
	g := outline(namespace, raw, o)
	for i, r := range raw.Rules {
		expr, err := o.Parser.ParseExpr(r.Expr)
		if err != nil {
			return nil, err
		}
		g.Rules[i].Expr = expr
	}
	identify(g.Rules)
	return g, nil
}

// outline is the group without expressions.
func outline(namespace string, raw rulefmt.RuleGroup, o Options) *Group {
	g := &Group{
		Key: Key{Namespace: namespace, Name: raw.Name}, Interval: time.Duration(raw.Interval),
		QueryOffset: o.QueryOffset, Limit: raw.Limit, Rules: make([]Rule, len(raw.Rules)),
	}
	if g.Interval == 0 {
		g.Interval = o.Interval
	}
	if raw.QueryOffset != nil {
		g.QueryOffset = time.Duration(*raw.QueryOffset)
	}
	for i, r := range raw.Rules {
		all := maps.Clone(raw.Labels)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, r.Labels)
		g.Rules[i] = Rule{
			Kind: Recording, Name: r.Record, text: r.Expr,
			Labels: labels.FromMap(all), Annotations: labels.FromMap(r.Annotations),
			For: time.Duration(r.For), KeepFiringFor: time.Duration(r.KeepFiringFor),
		}
		if r.Alert != "" {
			g.Rules[i].Kind, g.Rules[i].Name = Alerting, r.Alert
		}
	}
	return g
}
