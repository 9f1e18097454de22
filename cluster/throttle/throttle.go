package throttle

import (
	"context"
	"sync"
	"time"
)

// DefaultRate is that of New(0), in bytes a second.
const DefaultRate = 64 << 20

// Throttle lets so many bytes through in a second. What was not used is not saved up. Its methods may be
// called concurrently.
type Throttle struct {
	rate int64

	mu   sync.Mutex
	next time.Time
}

// New returns a Throttle of so many bytes a second, which must not be negative.
func New(rate int64) *Throttle {
	if rate == 0 {
		rate = DefaultRate
	}
	return &Throttle{rate: rate}
}

// burst is how far ahead of the rate it may be, so that small takes don't wait each.
const burst = 100 * time.Millisecond

// Take waits until so many bytes may be taken, or ctx ends.
func (t *Throttle) Take(ctx context.Context, bytes int) error {
	now := time.Now()
	ahead := t.reserve(now, bytes)
	if ahead <= burst {
		return ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *Throttle) reserve(now time.Time, bytes int) (ahead time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next.Before(now) {
		t.next = now
	}
	t.next = t.next.Add(time.Duration(float64(bytes) / float64(t.rate) * float64(time.Second)))
	return t.next.Sub(now)
}
