package ledger

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/rules"
)

// Origin of a group.
type Origin string

// The origins.
const (
	FromFile Origin = "file"
	FromAPI  Origin = "api"
)

// Group is all that is agreed upon of one group. It is never changed: a change makes another.
type Group struct {
	Key    rules.Key
	Origin Origin
	YAML   string
	// Edit is another number whenever the text is another.
	Edit uint64

	// Owner is the node that evaluates the group, "" if none does, and Lease the number under which.
	Owner string
	Lease uint64

	// At is the last timestamp that was evaluated, in milliseconds since 1970, 0 for none.
	At      int64
	Began   int64   // when that began, by the clock of the node
	Seconds float64 // how long it took
	// Cost is how long evaluations take of late, in seconds.
	Cost   float64
	Rules  []Report
	Alerts map[rules.ID][]*alert.Alert // in order of their labels; not all rules are in it
}

// size is about how many bytes the group takes in a snapshot.
func (g *Group) size() int {
	n := 200 + len(g.Key.Namespace) + len(g.Key.Name) + len(g.YAML) + 80*len(g.Rules)
	for _, r := range g.Rules {
		n += len(r.Err)
	}
	for _, alerts := range g.Alerts {
		for _, a := range alerts {
			n += alertSize(a)
		}
	}
	return n
}

func alertSize(a *alert.Alert) int {
	n := 200
	count := func(l labels.Label) { n += 6 + len(l.Name) + len(l.Value) }
	a.Labels.Range(count)
	a.Annotations.Range(count)
	return n
}

// View is the ledger at one moment.
type View struct {
	Groups []*Group // in order of their keys
	// Lease is the number of the last assignment.
	Lease uint64
	// Digests of the files that nodes proposed last, by node.
	Digests map[string]string
}

// Group returns one by its key, nil if there is none.
func (v *View) Group(k rules.Key) *Group {
	i, ok := slices.BinarySearchFunc(v.Groups, k, func(g *Group, k rules.Key) int { return g.Key.Compare(k) })
	if !ok {
		return nil
	}
	return v.Groups[i]
}

func sortAlerts(alerts []*alert.Alert) {
	slices.SortStableFunc(alerts, func(a, b *alert.Alert) int { return labels.Compare(a.Labels, b.Labels) })
}
