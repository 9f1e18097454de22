package intake

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/limit"
)

// Intake serves the handlers of all protocols of a node.
type Intake struct {
	limits  *limit.Limiter
	metrics *metrics
	buffers sync.Pool // *[]byte
	zstds   sync.Pool // *zstd.Decoder
	gzips   sync.Pool // *gzip.Reader
}

// New returns an Intake under the limits; reg takes its metrics and may be nil.
func New(limits *limit.Limiter, reg prometheus.Registerer) *Intake {
	in := &Intake{limits: limits, metrics: newMetrics(reg)}
	in.buffers.New = func() any { return new([]byte) }
	return in
}

// Limits of the node.
func (in *Intake) Limits() *limit.Limiter { return in.limits }

// Request is one request being served, by one goroutine.
type Request struct {
	in       *Intake
	protocol string
	w        http.ResponseWriter
	r        *http.Request
	hold     limit.Hold
	begin    time.Time
	status   int
	// Buffers lent for the body, to be given back at the end.
	lent   [2]*[]byte
	closer func()
}

// Begin starts to serve a request of a protocol, the name of which labels metrics.
func (in *Intake) Begin(protocol string, w http.ResponseWriter, r *http.Request) *Request {
	return &Request{in: in, protocol: protocol, w: w, r: r, hold: in.limits.Hold(), begin: time.Now()}
}

// maxPooled is the largest buffer kept for later requests.
const maxPooled = 4 << 20

// End gives back what the request used: no body that it returned may be looked at afterwards.
func (q *Request) End() {
	if q.closer != nil {
		q.closer()
	}
	for _, b := range q.lent {
		if b != nil && cap(*b) <= maxPooled {
			q.in.buffers.Put(b)
		}
	}
	q.hold.Release()
	q.in.metrics.observe(q)
}

// Take counts n more bytes as in flight, until the end.
func (q *Request) Take(n int64) error { return q.hold.Grow(n) }

// Fail answers with the status of err's reason.
func (q *Request) Fail(err error) {
	e := ingest.AsError(err)
	q.Refused(e)
	q.Text(e.Reason.Status(), e.Error())
}

// Refused counts a request refused as a whole, and sets the headers that go with the reason.
func (q *Request) Refused(e *ingest.Error) {
	q.in.metrics.refused[e.Reason].Inc()
	if e.RetryAfter > 0 {
		q.retryAfter(e.RetryAfter)
	}
	if e.Reason.Status() == http.StatusRequestEntityTooLarge || e.Reason == ingest.BodyIncomplete {
		q.w.Header().Set("Connection", "close") // There is more of the body than will be read.
	}
}

// Text answers with plain text.
func (q *Request) Text(status int, text string) {
	h := q.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	q.start(status)
	_, _ = io.WriteString(q.w, text+"\n") // The sender may be gone.
}

// JSON answers with v.
func (q *Request) JSON(status int, v any) {
	q.w.Header().Set("Content-Type", "application/json")
	q.start(status)
	_ = json.NewEncoder(q.w).Encode(v) // The sender may be gone.
}

// NoContent answers that all is well.
func (q *Request) NoContent() { q.start(http.StatusNoContent) }

func (q *Request) start(status int) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		if q.w.Header().Get("Retry-After") == "" {
			q.retryAfter(0)
		}
	}
	q.status = status
	q.w.WriteHeader(status)
}

// retryAfter asks for a retry after d, or after one to five seconds, so that senders refused
// together do not come back together.
func (q *Request) retryAfter(d time.Duration) {
	seconds := int((d + time.Second - 1) / time.Second)
	if seconds <= 0 {
		seconds = 1 + rand.IntN(5)
	}
	q.w.Header().Set("Retry-After", strconv.Itoa(seconds))
}

// bodyError makes a reading error one of ingest's.
func (q *Request) bodyError(err error, limitKey limit.Key) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		q.in.limits.Refused(limitKey)
		return ingest.Errorf(ingest.BodyTooLarge, "the limit is %d bytes", tooLarge.Limit)
	}
	if _, ok := errors.AsType[*ingest.Error](err); ok {
		return err
	}
	return &ingest.Error{Reason: ingest.BodyIncomplete, Err: err}
}
