package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/barograph-db/barograph/querier"
)

// kind of an error answer.
type kind uint8

const (
	badData kind = iota
	execution
	canceled
	timeout
	internal
	notFound
	unavailable
	tooLarge
	tooMany
	forbidden // Prometheus has no such errorType and says "unavailable" when the admin API is off.
)

// statusClientClosed is what nginx made customary for a client that did not wait.
const statusClientClosed = 499

// kinds says for each kind what the client sees: the one place where errors become HTTP.
var kinds = [...]struct {
	errorType string
	status    int
}{
	badData:     {"bad_data", http.StatusBadRequest},
	execution:   {"execution", http.StatusUnprocessableEntity},
	canceled:    {"canceled", statusClientClosed},
	timeout:     {"timeout", http.StatusServiceUnavailable},
	internal:    {"internal", http.StatusInternalServerError},
	notFound:    {"not_found", http.StatusNotFound},
	unavailable: {"unavailable", http.StatusServiceUnavailable},
	tooLarge:    {"bad_data", http.StatusRequestEntityTooLarge},
	tooMany:     {"unavailable", http.StatusTooManyRequests},
	forbidden:   {"unavailable", http.StatusForbidden},
}

// failure is an error whose kind is known where it arises.
type failure struct {
	kind kind
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(k kind, err error) error { return &failure{kind: k, err: err} }

func failf(k kind, format string, args ...any) error {
	return &failure{kind: k, err: fmt.Errorf(format, args...)}
}

// badParam names the parameter that err is about.
func badParam(name string, err error) error {
	return failf(badData, "invalid parameter %q: %w", name, err)
}

// classify says what kind of error err is.
func classify(err error) kind {
	var (
		f     *failure
		large *http.MaxBytesError
		limit *querier.LimitError
	)
	switch {
	case errors.As(err, &large):
		return tooLarge
	case !errors.As(err, &limit) && errors.As(err, &f): // A limit's own kind tells more.
		return f.kind
	}
	switch querier.KindOf(err) {
	case querier.BadData:
		return badData
	case querier.Execution:
		return execution
	case querier.Timeout:
		return timeout
	case querier.Canceled:
		return canceled
	case querier.TooMany:
		return tooMany
	case querier.Unavailable:
		return unavailable
	default:
		return internal
	}
}

// header sets what a client should know beside the status.
func (k kind) header(h http.Header) {
	if status := kinds[k].status; status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
}

// plainError answers where errors are text.
func plainError(w http.ResponseWriter, err error) {
	k := classify(err)
	k.header(w.Header())
	http.Error(w, err.Error(), kinds[k].status)
}
