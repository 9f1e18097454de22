package alert

import (
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
)

// State of an alert.
type State uint8

// The states of alerts, each worse than the one before.
const (
	Inactive State = iota + 1 // it was resolved, and is kept for a while so that this gets through
	Pending
	Firing
)

// String is the state as the HTTP API and ALERTS have it.
func (s State) String() string {
	switch s {
	case Inactive:
		return "inactive"
	case Pending:
		return "pending"
	case Firing:
		return "firing"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Alert is one alert of a rule, known by its labels. Times are milliseconds since 1970, those of
// evaluations, and 0 for never. It is not to be changed.
type Alert struct {
	Labels      labels.Labels // alertname and the rule's own among them
	Annotations labels.Labels
	State       State
	Value       float64 // that was found last

	ActiveAt        int64 // the first time it was found
	FiredAt         int64
	ResolvedAt      int64
	KeepFiringSince int64 // the first time it was not found any more, while it is kept firing
	LastSentAt      int64
	ValidUntil      int64 // what Alertmanager was told when it was sent last
}

// Same reports whether two alerts differ in their values alone.
func (a *Alert) Same(b *Alert) bool {
	x, y := *a, *b
	x.Value, y.Value, x.Labels, y.Labels, x.Annotations, y.Annotations = 0, 0, labels.Labels{}, labels.Labels{}, labels.Labels{}, labels.Labels{}
	return x == y && labels.Equal(a.Labels, b.Labels) && labels.Equal(a.Annotations, b.Annotations)
}
