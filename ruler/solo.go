package ruler

import (
	"context"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

// Solo evaluates one group by itself: nobody has to agree and nobody is told, and its alerts are in
// memory only. Tests of rules run by it, so that they run what nodes run. One goroutine uses it at a time.
type Solo struct {
	ruler  *Ruler
	group  *rules.Group
	expand *alert.Expander
	before memory
}

// NewSolo returns one that has evaluated nothing yet. Of the options Query and Append are needed, and
// what concerns other nodes is not looked at.
func NewSolo(g *rules.Group, external labels.Labels, opts Options) *Solo {
	opts.EnsureDefaults()
	opts.Templates.EnsureDefaults()
	r := &Ruler{opts: opts, metrics: newMetrics(opts.Registerer)}
	return &Solo{ruler: r, group: g, expand: r.expander(external)}
}

// RuleError says why a rule could not be evaluated.
type RuleError struct {
	Rule *rules.Rule
	Text string
}

func (e *RuleError) Error() string { return fmt.Sprintf("rule %s: %s", e.Rule.Name, e.Text) }

// Evaluate evaluates the group at a time, in milliseconds since 1970, that is after those before. A rule
// with an error is as it was.
func (s *Solo) Evaluate(ctx context.Context, at int64) (failed []*RuleError) {
	e := &evaluation{Ruler: s.ruler, group: s.group, expand: s.expand, at: at, before: s.before, out: ledger.Evaluated{}}
	e.run(ctx)
	s.before = e.after
	for i, report := range e.out.Rules {
		if report.Err != "" {
			failed = append(failed, &RuleError{Rule: &s.group.Rules[i], Text: report.Err})
		}
	}
	return failed
}

// Group is what it evaluates.
func (s *Solo) Group() *rules.Group { return s.group }

// Alerts of a rule, as the last evaluation left them.
func (s *Solo) Alerts(id rules.ID) []*alert.Alert { return s.before.alerts[id] }
