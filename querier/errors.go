package querier

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/querier/fanout"
	"github.com/barograph-db/barograph/querier/leaf"
)

// Kind says whose fault an error is and what a client may do about it. The HTTP API maps kinds to
// statuses in one table. Nodes tell each other kinds: never reuse a number.
type Kind uint8

// The kinds of errors.
const (
	Internal    Kind = iota // the storage or this program failed
	BadData                 // the request makes no sense, or is over a limit before it has run
	Execution               // the query can't be evaluated, or reached a limit while it ran
	Timeout                 // the query took too long
	Canceled                // the client went away
	TooMany                 // the node has too much to do: try again later
	Unavailable             // too few nodes have what is asked for: try again later
)

var kindNames = [...]string{"internal", "bad_data", "execution", "timeout", "canceled", "too_many", "unavailable"}

// String returns the kind's name as metrics have it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Error is an error with its kind. Its text is that of Err.
type Error struct {
	Kind Kind
	Err  error
}

// Error returns the text of the error inside.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error inside.
func (e *Error) Unwrap() error { return e.Err }

// LimitError is what stops a query at a limit.
type LimitError struct {
	// ID is stable: err-barograph-query-...
	ID string
	// Text says what was too much, and of what.
	Text string
	// Key is the configuration key that sets the limit, below "barograph:"; Limit its value.
	Key   string
	Limit int64
}

// Error says what was too much and which key sets the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s; the limit is %d, set by barograph.%s (%s)", e.Text, e.Limit, e.Key, e.ID)
}

// limited counts and returns an error that a limit caused. Its key is query.<name> and its id
// err-barograph-query-<name>.
func (m *metrics) limited(kind Kind, l limitName, value int64, format string, args ...any) error {
	m.limits.WithLabelValues(string(l)).Inc()
	return &Error{Kind: kind, Err: &LimitError{
		ID: l.id(), Key: l.key(), Limit: value, Text: fmt.Sprintf(format, args...),
	}}
}

func badData(format string, args ...any) error {
	return &Error{Kind: BadData, Err: fmt.Errorf(format, args...)}
}

// KindOf returns the kind of an error that a method of Engine, or a querier of Engine.Queryable,
// returned.
func KindOf(err error) Kind {
	var (
		own      *Error
		canceled promql.ErrQueryCanceled
		timeout  promql.ErrQueryTimeout
		storage  promql.ErrStorage
		samples  promql.ErrTooManySamples
		missing  *fanout.MissingError
		remote   *leaf.Failure
	)
	switch {
	case errors.As(err, &own):
		return own.Kind
	case errors.As(err, &missing):
		if errors.As(missing.Err, &remote) && Kind(remote.Kind) == TooMany {
			return TooMany // They are all there.
		}
		return Unavailable
	case errors.As(err, &remote) && int(remote.Kind) < len(kindNames):
		return Kind(remote.Kind)
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return Canceled
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.As(err, &samples):
		return Execution
	case errors.As(err, &storage):
		return Internal
	}
	return Internal
}
