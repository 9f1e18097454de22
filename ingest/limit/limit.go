package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/ingest"
)

// Limiter holds the limits of a node and what has been used of them.
type Limiter struct {
	options  atomic.Pointer[Options]
	inFlight atomic.Int64
	metrics  *metrics

	bucket struct {
		sync.Mutex
		tokens float64
		filled time.Time
	}
}

// New returns a Limiter; reg takes its metrics and may be nil.
func New(opts Options, reg prometheus.Registerer) (*Limiter, error) {
	l := &Limiter{}
	if err := l.Set(opts); err != nil {
		return nil, err
	}
	l.bucket.tokens, l.bucket.filled = float64(l.Options().NewSeriesBurst), time.Now()
	l.metrics = newMetrics(reg, l)
	return l, nil
}

// Set replaces the limits. Requests being served may still see the old ones.
func (l *Limiter) Set(opts Options) error {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	l.options.Store(&opts)
	return nil
}

// Options returns the limits in force, which may not be written to.
func (l *Limiter) Options() *Options { return l.options.Load() }

// Refused counts a refusal that a handler made in the name of a limit.
func (l *Limiter) Refused(key Key) { l.metrics.refused[key].Inc() }

// LabelLimits implements ingest.Guard.
func (l *Limiter) LabelLimits() ingest.LabelLimits {
	o := l.Options()
	return ingest.LabelLimits{Labels: o.LabelsPerSeries, NameBytes: o.LabelNameBytes, ValueBytes: o.LabelValueBytes}
}

// NewSeries implements ingest.Guard.
func (l *Limiter) NewSeries(active, n int) (admitted int, why ingest.Reason) {
	o := l.Options()
	admitted = n
	if o.ActiveSeries >= 0 && active+n > o.ActiveSeries {
		admitted, why = max(o.ActiveSeries-active, 0), ingest.TooManySeries
		l.metrics.refused[ActiveSeries].Add(float64(n - admitted))
	}
	if o.NewSeriesPerSecond >= 0 {
		if got := l.draw(o, admitted, time.Now()); got < admitted {
			l.metrics.refused[NewSeries].Add(float64(admitted - got))
			admitted, why = got, ingest.TooManyNewSeries
		}
	}
	return admitted, why
}

// draw takes up to n tokens.
func (l *Limiter) draw(o *Options, n int, now time.Time) int {
	b := &l.bucket
	b.Lock()
	defer b.Unlock()
	if d := now.Sub(b.filled); d > 0 {
		b.tokens = min(b.tokens+d.Seconds()*float64(o.NewSeriesPerSecond), float64(max(o.NewSeriesBurst, o.NewSeriesPerSecond)))
		b.filled = now
	}
	n = min(n, int(b.tokens))
	b.tokens -= float64(n)
	return n
}

// Hold is the part of the bytes in flight that one request has. It belongs to one goroutine.
type Hold struct {
	l *Limiter
	n int64
}

// Hold begins with nothing held.
func (l *Limiter) Hold() Hold { return Hold{l: l} }

// Grow takes n more bytes, or none of them and an error that the sender should come again.
func (h *Hold) Grow(n int64) error {
	limit := h.l.Options().InFlightBytes
	if total := h.l.inFlight.Add(n); !atMost(total, limit) {
		h.l.inFlight.Add(-n)
		h.l.Refused(InFlight)
		return ingest.Errorf(ingest.InFlightFull, "the limit is %d bytes", limit)
	}
	h.n += n
	return nil
}

// Release gives all bytes back. The Hold may be used again.
func (h *Hold) Release() {
	h.l.inFlight.Add(-h.n)
	h.n = 0
}
