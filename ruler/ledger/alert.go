package ledger

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/ruler/alert"
)

// LabelSet are labels, name and value in turns, in order of the names.
type LabelSet []string

func labelSet(ls labels.Labels) LabelSet {
	out := make(LabelSet, 0, 2*ls.Len())
	ls.Range(func(l labels.Label) { out = append(out, l.Name, l.Value) })
	return out
}

func (s LabelSet) labels() labels.Labels {
	b := labels.NewScratchBuilder(len(s) / 2)
	for i := 0; i+1 < len(s); i += 2 {
		b.Add(strings.Clone(s[i]), strings.Clone(s[i+1]))
	}
	b.Sort()
	return b.Labels()
}

// Alert is an alert.Alert as it is encoded.
type Alert struct {
	Labels          LabelSet    `json:"labels"`
	Annotations     LabelSet    `json:"annotations,omitempty"`
	State           alert.State `json:"state"`
	Value           number      `json:"value"`
	ActiveAt        int64       `json:"activeAt,omitempty"`
	FiredAt         int64       `json:"firedAt,omitempty"`
	ResolvedAt      int64       `json:"resolvedAt,omitempty"`
	KeepFiringSince int64       `json:"keepFiringSince,omitempty"`
	LastSentAt      int64       `json:"lastSentAt,omitempty"`
	ValidUntil      int64       `json:"validUntil,omitempty"`
}

func encodeAlert(a *alert.Alert) Alert {
	return Alert{
		Labels: labelSet(a.Labels), Annotations: labelSet(a.Annotations), State: a.State, Value: number(a.Value),
		ActiveAt: a.ActiveAt, FiredAt: a.FiredAt, ResolvedAt: a.ResolvedAt,
		KeepFiringSince: a.KeepFiringSince, LastSentAt: a.LastSentAt, ValidUntil: a.ValidUntil,
	}
}

func (a *Alert) decode() *alert.Alert {
	return &alert.Alert{
		Labels: a.Labels.labels(), Annotations: a.Annotations.labels(), State: a.State, Value: float64(a.Value),
		ActiveAt: a.ActiveAt, FiredAt: a.FiredAt, ResolvedAt: a.ResolvedAt,
		KeepFiringSince: a.KeepFiringSince, LastSentAt: a.LastSentAt, ValidUntil: a.ValidUntil,
	}
}

// number is a float64 that JSON can hold: those that are no numbers there are strings.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(n), 'g', -1, 64)
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		text = strconv.Quote(text)
	}
	return []byte(text), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(text []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	*n = number(f)
	return err
}

// Changes returns how the alerts of a rule differ from those before; both are in order of their
// labels, and what did not change is the same pointer. The second result says whether anything does.
func Changes(before, after []*alert.Alert) (c Change, ok bool) {
	for len(before) > 0 || len(after) > 0 {
		order := -1 // Before only.
		switch {
		case len(before) == 0:
			order = 1
		case len(after) > 0:
			order = labels.Compare(before[0].Labels, after[0].Labels)
		}
		switch {
		case order < 0:
			c.Gone = append(c.Gone, labelSet(before[0].Labels))
			before = before[1:]
		case order > 0:
			c.Put = append(c.Put, encodeAlert(after[0]))
			after = after[1:]
		default:
			if before[0] != after[0] {
				c.Put = append(c.Put, encodeAlert(after[0]))
			}
			before, after = before[1:], after[1:]
		}
	}
	return c, len(c.Put)+len(c.Gone) > 0
}

// with returns the alerts after a change.
func (c *Change) with(before []*alert.Alert) []*alert.Alert {
	changed := make(map[string]*alert.Alert, len(c.Put)+len(c.Gone))
	var buf [1024]byte
	for _, gone := range c.Gone {
		changed[string(gone.labels().Bytes(buf[:]))] = nil
	}
	after := make([]*alert.Alert, 0, len(before)+len(c.Put))
	for i := range c.Put {
		a := c.Put[i].decode()
		changed[string(a.Labels.Bytes(buf[:]))] = a
		after = append(after, a)
	}
	for _, a := range before {
		if _, ok := changed[string(a.Labels.Bytes(buf[:]))]; !ok {
			after = append(after, a)
		}
	}
	sortAlerts(after)
	return slices.CompactFunc(after, func(a, b *alert.Alert) bool { return labels.Equal(a.Labels, b.Labels) })
}
