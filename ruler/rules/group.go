package rules

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Key names a group.
type Key struct {
	Namespace string // the path of its file, or the namespace of the rule API
	Name      string
}

// Compare orders keys by namespace, then name.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Namespace, o.Namespace), cmp.Compare(k.Name, o.Name))
}

// String is the key as metrics and logs have it, which is as in Prometheus.
func (k Key) String() string { return k.Namespace + ";" + k.Name }

// Group of rules, which are evaluated one after the other, so that each sees what those before it
// have written.
type Group struct {
	Key
	Interval    time.Duration // between evaluations, more than 0
	QueryOffset time.Duration // how far before the timestamp of an evaluation its queries look, and its samples lie
	Limit       int           // series of a recording rule, or alerts of an alerting one; 0 is none
	Rules       []Rule
}

// Kind of a rule.
type Kind uint8

// The kinds of rules.
const (
	Recording Kind = iota + 1
	Alerting
)

// String is the kind as the HTTP API has it.
func (k Kind) String() string {
	switch k {
	case Recording:
		return "recording"
	case Alerting:
		return "alerting"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Rule is a recording or an alerting rule, with the labels of its group put under its own.
type Rule struct {
	ID          ID
	Kind        Kind
	Name        string // of the metric or of the alert
	Expr        parser.Expr
	Labels      labels.Labels // templates, for alerts
	Annotations labels.Labels // templates

	For           time.Duration
	KeepFiringFor time.Duration

	text string // the expression as it was given
}

// Query is the expression as a text: as Prometheus prints it, or as it was given if it can't be read.
func (r *Rule) Query() string {
	if r.Expr == nil {
		return r.text
	}
	return r.Expr.String()
}

// ID tells the rules of a group apart, and says which rule of an edited group is which of before.
type ID uint64

// identify gives rules their IDs: a hash of kind, name and labels, and of how many alike came before.
func identify(rules []Rule) {
	seen := map[ID]uint64{}
	for i := range rules {
		r := &rules[i]
		d := xxhash.New()
		_, _ = d.Write([]byte{byte(r.Kind)})
		_, _ = d.WriteString(r.Name)
		_, _ = d.WriteString(r.Labels.String())
		id := ID(d.Sum64())
		n := seen[id]
		seen[id] = n + 1
		if n > 0 {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], n)
			_, _ = d.Write(b[:])
			id = ID(d.Sum64())
		}
		r.ID = id
	}
}

// offset is where in each interval a group is evaluated: a hash of its key, so that groups are spread,
// and every node comes to the same. It is whole milliseconds, as timestamps are.
func (g *Group) offset() int64 {
	return int64(xxhash.Sum64String(strings.Join([]string{g.Namespace, g.Name}, ";")) % uint64(g.Interval.Milliseconds()))
}

// At returns the last time at which the group is to be evaluated that is not after t. Both are in
// milliseconds since 1970.
func (g *Group) At(t int64) int64 {
	interval := g.Interval.Milliseconds()
	since := t - g.offset()
	late := since % interval
	if late < 0 {
		late += interval
	}
	return t - late
}

// Next returns the first time at which the group is to be evaluated that is after t, in milliseconds
// since 1970.
func (g *Group) Next(t int64) int64 { return g.At(t) + g.Interval.Milliseconds() }
