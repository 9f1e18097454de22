package eval

import (
	"errors"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"
)

// Note is what another node has to say about the series that it has read: an annotation without the
// place in the query's text, which only the node that asks knows. It is always about the range.
type Note struct {
	Info bool // Else it is a warning.
	Text string
}

// Notes are annotations of a part as they are sent, in order.
func Notes(a annotations.Annotations) []Note {
	var out []Note
	for text, err := range a {
		out = append(out, Note{Info: errors.Is(err, annotations.PromQLInfo), Text: text})
	}
	slices.SortFunc(out, func(a, b Note) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// Annotate makes annotations of notes on parts of the expression.
func (x *Expr) Annotate(notes []Note) annotations.Annotations {
	var out annotations.Annotations
	for _, n := range notes {
		a := &annotation{text: n.Text, level: annotations.PromQLWarning}
		if n.Info {
			a.level = annotations.PromQLInfo
		}
		if x.arg != nil {
			a.at = x.arg.PositionRange()
		}
		out.Add(a)
	}
	return out
}

// annotation is what promql's own annotations are: an error that says where in the query it is about,
// once it knows the query.
type annotation struct {
	text  string
	level error
	at    posrange.PositionRange
	query string
}

// Error returns the text, and the place if the query is known.
func (a *annotation) Error() string {
	if a.query == "" {
		return a.text
	}
	return a.text + " (" + a.at.StartPosInput(a.query, 0) + ")"
}

// Unwrap returns whether it is an info or a warning.
func (a *annotation) Unwrap() error { return a.level }

// SetQuery sets the text that the place is in.
func (a *annotation) SetQuery(query string) { a.query = query }

// Merge joins annotations of one text.
func (a *annotation) Merge(error) error { return a }
