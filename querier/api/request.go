package api

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"

	"github.com/barograph-db/barograph/querier"
)

// The outermost times. The strings that stand for them are older than the values' exactness
// matters: clients send them for "everything".
var (
	minTime = time.Unix(math.MinInt64/1000+62135596801, 0).UTC()
	maxTime = time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC()

	minTimeText = minTime.Format(time.RFC3339Nano)
	maxTimeText = maxTime.Format(time.RFC3339Nano)
)

// maxSeconds bounds times so that they fit 64 bits of milliseconds.
const maxSeconds = math.MaxInt64 / 1000

// request is an HTTP request whose parameters were read: those of the body before those of the
// URL.
type request struct {
	*http.Request
	form url.Values
}

// newRequest reads the parameters, from at most maxBytes of body.
func newRequest(w http.ResponseWriter, r *http.Request, maxBytes int64) (request, error) {
	if r.Body != nil {
		r.Body = &accountedBody{http.MaxBytesReader(w, r.Body, maxBytes), querier.AccountOf(r.Context())}
	}
	err := r.ParseForm()
	if err == nil {
		// The memory bound is never met, so that no part of a form goes to a file.
		if err = r.ParseMultipartForm(maxBytes + 1); errors.Is(err, http.ErrNotMultipart) {
			err = nil
		}
	}
	if err != nil {
		return request{}, failf(badData, "error parsing form values: %w", err)
	}
	return request{Request: r, form: r.Form}, nil
}

// accountedBody takes bytes for what is made of each byte read: copies and parameters.
type accountedBody struct {
	io.ReadCloser
	account *querier.Account
}

// Read reads from the body.
func (b *accountedBody) Read(p []byte) (int, error) {
	const copies = 4
	n, err := b.ReadCloser.Read(p)
	if takeErr := b.account.Take(copies*int64(n), "the request's body"); takeErr != nil {
		return n, takeErr
	}
	return n, err
}

func (r request) value(name string) string { return r.form.Get(name) }

// limit is the parameter of that name; 0 is none.
func (r request) limit() (int, error) {
	s := r.value("limit")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err == nil && n < 0 {
		err = errors.New("limit must be non-negative")
	}
	if err != nil {
		return 0, badParam("limit", err)
	}
	return n, nil
}

// number is a parameter that is a whole number; missing is what it is when not given.
func (r request) number(name string, missing int) (int, error) {
	s := r.value(name)
	if s == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, failf(badData, "%s must be a number", name)
	}
	return n, nil
}

// boolean is a parameter that is true or false; it is false when not given.
func (r request) boolean(name string) (bool, error) {
	s := r.value(name)
	if s == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, badParam(name, fmt.Errorf("cannot parse %q as true or false", s))
	}
	return b, nil
}

// time is a time parameter; missing is what it is when not given.
func (r request) time(name string, missing time.Time) (time.Time, error) {
	s := r.value(name)
	if s == "" {
		return missing, nil
	}
	t, err := parseTime(s)
	if err != nil {
		return time.Time{}, badParam(name, fmt.Errorf("invalid time value for '%s': %w", name, err))
	}
	return t, nil
}

// bounds are the optional parameters start and end, in milliseconds.
func (r request) bounds() (mint, maxt int64, err error) {
	start, err := r.time("start", minTime)
	if err != nil {
		return 0, 0, err
	}
	end, err := r.time("end", maxTime)
	if err != nil {
		return 0, 0, err
	}
	return timestamp.FromTime(start), timestamp.FromTime(end), nil
}

// parseTime reads seconds since the epoch, with decimals, or RFC 3339. Whole milliseconds count.
func parseTime(s string) (time.Time, error) {
	if secs, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(secs) || math.Abs(secs) >= maxSeconds {
			return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
		}
		whole, frac := math.Modf(secs)
		return time.Unix(int64(whole), int64(math.Round(frac*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	// The time package reads years of four digits only.
	switch s {
	case minTimeText:
		return minTime, nil
	case maxTimeText:
		return maxTime, nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
}

// parseDuration reads seconds, with decimals, or Prometheus' form of a duration.
func parseDuration(s string) (time.Duration, error) {
	if secs, err := strconv.ParseFloat(s, 64); err == nil {
		ns := secs * float64(time.Second)
		// 1<<63 is the least float that overflows; NaN compares false and is caught by the negation.
		if !(ns >= -(1<<63) && ns < 1<<63) {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
		}
		return time.Duration(ns), nil
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
}

// selectors parses the parameter match[].
func (a *API) selectors(r request) ([][]*labels.Matcher, error) {
	texts := r.form["match[]"]
	if len(texts) > a.opts.MaxSelectors {
		return nil, failf(badData, "%d match[] parameters, at most %d are accepted", len(texts), a.opts.MaxSelectors)
	}
	sets := make([][]*labels.Matcher, len(texts))
	for i, text := range texts {
		var err error
		if sets[i], err = a.opts.Engine.ParseSelector(r.Context(), text); err != nil {
			return nil, fail(badData, err)
		}
	}
	return sets, nil
}

// matchers parses the parameter match[] where a selector that matches every series is refused, so
// that nobody asks for everything by accident.
func (a *API) matchers(r request) ([][]*labels.Matcher, error) {
	sets, err := a.selectors(r)
	if err != nil {
		return nil, err
	}
	for _, ms := range sets {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return nil, fail(badData, errors.New("match[] must contain at least one non-empty matcher"))
		}
	}
	return sets, nil
}
