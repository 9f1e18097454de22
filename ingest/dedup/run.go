package dedup

import (
	"context"
	"time"
)

const (
	// gather is how long hearings are collected before they are proposed together.
	gather = 500 * time.Millisecond
	// telling is how long that proposal may take.
	telling = 5 * time.Second
)

// tell has Run look for what others do not know.
func (e *Elections) tell() {
	select {
	case e.due <- struct{}{}:
	default:
	}
}

// Run tells others when elected replicas were heard, until ctx ends.
func (e *Elections) Run(ctx context.Context) error {
	for {
		select {
		case <-e.due:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(gather):
		case <-ctx.Done():
			return nil
		}
		e.tellOthers(ctx)
	}
}

// tellOthers proposes what is due. What nobody agrees to stays due: once there is a quorum again it should
// be known before another replica is elected.
func (e *Elections) tellOthers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, telling)
	defer cancel()
	for hs := e.dueNow(); len(hs) > 0; {
		n := min(len(hs), maxHearings)
		if _, _, err := e.propose(ctx, command{heard: hs[:n]}); err != nil {
			e.tell()
			return
		}
		hs = hs[n:]
	}
}

// dueNow returns the hearings that are Update later than what is agreed, of terms that last.
func (e *Elections) dueNow() []hearing {
	update := e.settings.Load().Update.Milliseconds()
	e.mu.Lock()
	defer e.mu.Unlock()
	var hs []hearing
	for pair, v := range e.mu.views {
		if t := e.table.get(pair); t.seq != 0 && t.replica == v.replica && v.heard >= t.heard+update {
			hs = append(hs, hearing{pair: pair, replica: v.replica, at: v.heard})
		}
	}
	return hs
}
