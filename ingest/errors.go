package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Reason says why something was refused. Its id is stable; scripts and alerts may rely on it.
type Reason uint8

// The reasons. Zero is none.
const (
	_ Reason = iota
	BodyTooLarge
	DecodedTooLarge
	BadContentType
	BadContentEncoding
	BadCompression
	BadMessage
	BadLine
	LineTooLong
	BadParameter
	BodyIncomplete
	InFlightFull
	StoreUnavailable
	TooNew
	TooOld
	NoMetricName
	EmptyLabelName
	DuplicateLabel
	InvalidUTF8
	TooManyLabels
	LabelNameTooLong
	LabelValueTooLong
	BadSymbol
	EmptySeries
	BadHistogram
	HistogramTooLarge
	BadExemplar
	ExemplarTooLong
	TooManyExemplars
	TooManyMetadata
	MetadataTooLong
	TooManySeries
	TooManyNewSeries
	TooManyPairs
	NotElected
	numReasons
)

// Class says what a refusal means to the sender.
type Class uint8

// The classes, by rising urgency: of several refusals in one request the highest decides.
const (
	// Dropped is counted and told, yet leaves the request a success.
	Dropped Class = iota
	// Permanent will be refused again: the sender must not retry.
	Permanent
	// Limited may be taken later: the sender may retry (429).
	Limited
	// Passing is a fault of the node or a moment of overload: the sender must retry (5xx).
	Passing
)

// reasons is the one table of ids, classes, statuses and messages. docs/errors.md explains each under
// its id, and a test sees to it.
var reasons = [numReasons]struct {
	id      string
	class   Class
	status  int
	message string
}{
	BodyTooLarge:       {"body-too-large", Permanent, http.StatusRequestEntityTooLarge, "the request body is larger than allowed"},
	DecodedTooLarge:    {"decoded-too-large", Permanent, http.StatusRequestEntityTooLarge, "the request is larger than allowed when decoded"},
	BadContentType:     {"bad-content-type", Permanent, http.StatusUnsupportedMediaType, "the content type is not one that is understood here"},
	BadContentEncoding: {"bad-content-encoding", Permanent, http.StatusUnsupportedMediaType, "the content encoding is not one that is understood here"},
	BadCompression:     {"bad-compression", Permanent, http.StatusBadRequest, "the request body can't be decompressed"},
	BadMessage:         {"bad-message", Permanent, http.StatusBadRequest, "the request can't be decoded"},
	BadLine:            {"bad-line", Permanent, http.StatusBadRequest, "a line can't be parsed"},
	LineTooLong:        {"line-too-long", Permanent, http.StatusBadRequest, "a line is longer than allowed"},
	BadParameter:       {"bad-parameter", Permanent, http.StatusBadRequest, "a query parameter is wrong"},
	BodyIncomplete:     {"body-incomplete", Passing, http.StatusServiceUnavailable, "the request body did not arrive in full and in time"},
	InFlightFull:       {"in-flight-full", Passing, http.StatusServiceUnavailable, "too many bytes of requests are being worked on"},
	StoreUnavailable:   {"store-unavailable", Passing, http.StatusServiceUnavailable, "the storage can't take samples at the moment"},
	TooNew:             {"too-new", Permanent, http.StatusBadRequest, "the timestamp is too far in the future"},
	TooOld:             {"too-old", Permanent, http.StatusBadRequest, "the timestamp lies before the retention or the out-of-order window"},
	NoMetricName:       {"no-metric-name", Permanent, http.StatusBadRequest, "the series has no metric name"},
	EmptyLabelName:     {"empty-label-name", Permanent, http.StatusBadRequest, "a label has an empty name"},
	DuplicateLabel:     {"duplicate-label", Permanent, http.StatusBadRequest, "a label is given twice"},
	InvalidUTF8:        {"invalid-utf8", Permanent, http.StatusBadRequest, "a label name or value is not valid UTF-8"},
	TooManyLabels:      {"too-many-labels", Permanent, http.StatusBadRequest, "the series has more labels than allowed"},
	LabelNameTooLong:   {"label-name-too-long", Permanent, http.StatusBadRequest, "a label name is longer than allowed"},
	LabelValueTooLong:  {"label-value-too-long", Permanent, http.StatusBadRequest, "a label value is longer than allowed"},
	BadSymbol:          {"bad-symbol", Permanent, http.StatusBadRequest, "a reference to the symbols is out of range or lacks its pair"},
	EmptySeries:        {"empty-series", Permanent, http.StatusBadRequest, "the series has no sample, histogram, exemplar or metadata"},
	BadHistogram:       {"bad-histogram", Permanent, http.StatusBadRequest, "the histogram contradicts itself"},
	HistogramTooLarge:  {"histogram-too-large", Permanent, http.StatusBadRequest, "the histogram has more buckets than allowed"},
	BadExemplar:        {"bad-exemplar", Permanent, http.StatusBadRequest, "the exemplar's labels are not valid"},
	ExemplarTooLong:    {"exemplar-too-long", Permanent, http.StatusBadRequest, "the exemplar's labels are longer than 128 characters"},
	TooManyExemplars:   {"too-many-exemplars", Dropped, http.StatusOK, "the request has more exemplars than allowed"},
	TooManyMetadata:    {"too-many-metadata", Dropped, http.StatusOK, "the request has more metadata than allowed"},
	MetadataTooLong:    {"metadata-too-long", Dropped, http.StatusOK, "the metadata is not valid UTF-8 or longer than allowed"},
	TooManySeries:      {"too-many-series", Limited, http.StatusTooManyRequests, "the limit of active series is reached; only known series are taken"},
	TooManyNewSeries:   {"too-many-new-series", Limited, http.StatusTooManyRequests, "the limit of new series per second is reached; only known series are taken"},
	TooManyPairs:       {"too-many-ha-pairs", Limited, http.StatusTooManyRequests, "the limit of HA pairs is reached; only known pairs are taken"},
	NotElected:         {"ha-not-elected", Passing, http.StatusServiceUnavailable, "no replica of the HA pair can be elected at the moment"},
}

// Name is the id without its prefix; it labels metrics.
func (r Reason) Name() string { return reasons[r].id }

// ID is the stable name of the reason.
func (r Reason) ID() string { return "err-barograph-" + reasons[r].id }

// Class of the reason.
func (r Reason) Class() Class { return reasons[r].class }

// Status is the HTTP status of a request that was refused for this reason.
func (r Reason) Status() int { return reasons[r].status }

// Message says in a sentence's part what is wrong.
func (r Reason) Message() string { return reasons[r].message }

// String returns the id.
func (r Reason) String() string { return r.ID() }

// Reasons yields all of them.
func Reasons(yield func(Reason) bool) {
	for r := Reason(1); r < numReasons; r++ {
		if !yield(r) {
			return
		}
	}
}

// Error refuses a whole request.
type Error struct {
	Reason Reason
	// Detail says more than the reason's message; may be empty.
	Detail string
	// RetryAfter tells the sender when to come back; zero leaves it to the default.
	RetryAfter time.Duration
	// Err is the cause; may be nil.
	Err error
}

// Errorf makes an Error with a detail.
func Errorf(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// Error names the id, what is wrong, and the particulars.
func (e *Error) Error() string {
	s := e.Reason.ID() + ": " + e.Reason.Message()
	if p := e.particulars(); p != "" {
		s += ": " + p
	}
	return s
}

// particulars are the detail and the cause.
func (e *Error) particulars() string {
	switch {
	case e.Err == nil:
		return e.Detail
	case e.Detail == "":
		return e.Err.Error()
	}
	return e.Detail + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError returns err as an Error. What is not one comes from the storage or from the request's
// context, and passes.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Reason: StoreUnavailable, Err: err}
}
