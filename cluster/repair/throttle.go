package repair

import (
	"context"
	"time"
)

// throttle lets so many bytes through in a second. What was not used is not saved up.
type throttle struct {
	rate int64 // bytes a second
	next time.Time
}

// burst is how far ahead of the rate it may be, so that small takes don't wait each.
const burst = 100 * time.Millisecond

func (t *throttle) take(ctx context.Context, bytes int) error {
	now := time.Now()
	if t.next.Before(now) {
		t.next = now
	}
	t.next = t.next.Add(time.Duration(float64(bytes) / float64(t.rate) * float64(time.Second)))
	ahead := t.next.Sub(now)
	if ahead <= burst {
		return ctx.Err()
	}
	return sleep(ctx, ahead)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
