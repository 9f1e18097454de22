package notify

import (
	"encoding/json"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// Alert is what Alertmanagers are told.
type Alert struct {
	Labels, Annotations labels.Labels
	// StartsAt is since when it fires.
	StartsAt time.Time
	// EndsAt is when it was resolved or, while it fires, when Alertmanager takes it for resolved unless
	// it is sent again. Zero leaves that to Alertmanager.
	EndsAt time.Time
	// GeneratorURL leads to what the alert comes from.
	GeneratorURL string
}

// resolvedFor is how long after its end an alert is still worth being sent.
const resolvedFor = 15 * time.Minute

// entry is an alert that waits in queues. It never changes.
type entry struct {
	alert    Alert
	hash     uint64 // of the labels
	resolved bool   // when it was sent
}

func newEntry(a Alert, now time.Time) *entry {
	return &entry{alert: a, hash: a.Labels.Hash(), resolved: !a.EndsAt.IsZero() && !a.EndsAt.After(now)}
}

// replaces reports whether who knows e need not know the other.
func (e *entry) replaces(other *entry) bool {
	return e.resolved == other.resolved && e.sameLabels(other)
}

func (e *entry) sameLabels(other *entry) bool {
	return e.hash == other.hash && labels.Equal(e.alert.Labels, other.alert.Labels)
}

// expired reports whether it is too late for the alert.
func (e *entry) expired(now time.Time) bool {
	switch {
	case e.alert.EndsAt.IsZero():
		return false
	case e.resolved:
		return now.Sub(e.alert.EndsAt) > resolvedFor
	}
	return !e.alert.EndsAt.After(now)
}

// relabelled is the alert with the external labels that it has none of its own for, once the configs
// have been at it; false if they drop it.
func relabelled(a Alert, external labels.Labels, configs []*relabel.Config) (Alert, bool) {
	if external.IsEmpty() && len(configs) == 0 {
		return a, !a.Labels.IsEmpty()
	}
	lb := labels.NewBuilder(a.Labels)
	external.Range(func(l labels.Label) {
		if a.Labels.Get(l.Name) == "" {
			lb.Set(l.Name, l.Value)
		}
	})
	if !relabel.ProcessBuilder(lb, configs...) {
		return Alert{}, false
	}
	a.Labels = lb.Labels()
	return a, !a.Labels.IsEmpty()
}

// postable is an alert in Alertmanager's API v2.
type postable struct {
	Labels       labels.Labels `json:"labels"`
	Annotations  labels.Labels `json:"annotations"`
	StartsAt     string        `json:"startsAt,omitempty"`
	EndsAt       string        `json:"endsAt,omitempty"`
	GeneratorURL string        `json:"generatorURL,omitempty"`
}

// encode is the body of a request.
func encode(batch []*entry) ([]byte, error) {
	out := make([]postable, len(batch))
	for i, e := range batch {
		a := &e.alert
		out[i] = postable{
			Labels: a.Labels, Annotations: a.Annotations,
			StartsAt: rfc3339(a.StartsAt), EndsAt: rfc3339(a.EndsAt), GeneratorURL: a.GeneratorURL,
		}
	}
	return json.Marshal(out)
}

// rfc3339 is a time in milliseconds; zero is none.
func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
