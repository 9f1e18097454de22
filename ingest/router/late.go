package router

import (
	"context"
	"sync"
)

// A Sender calls done from the goroutine that reads its peer's answers, which must not wait for a disk.
// So frames that are found missing after Append has returned are told by a few goroutines of Run.
// They are several so that those who wait for one sync of a disk share it.
const (
	lateTellers = 8
	// lateFrames is how many may wait. When there are more, done waits after all: none is lost.
	lateFrames = 1024
)

// late are the targets whose miss is to be told. Each holds its write.
type late struct {
	queue chan *target
	mu    struct {
		sync.RWMutex
		ended bool // There is nobody to take from the queue any more.
	}
}

// put leaves the telling to Run, if it can.
func (l *late) put(t *target) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.mu.ended {
		return false
	}
	select {
	case l.queue <- t:
		return true
	default:
		return false
	}
}

// Run tells Options.Missed of frames that nodes turn out to lack after their write was acknowledged,
// until ctx ends, and then of those that wait. It is to end after the Senders, which fail what is
// pending when they end. It may be called once.
func (r *Router) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range lateTellers {
		wg.Go(func() {
			for {
				select {
				case t := <-r.late.queue:
					r.tellLate(t)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	r.late.mu.Lock()
	r.late.mu.ended = true
	r.late.mu.Unlock()
	for {
		select {
		case t := <-r.late.queue:
			r.tellLate(t)
		default:
			return nil
		}
	}
}

func (r *Router) tellLate(t *target) {
	r.missed(t.write, t)
	t.write.release()
}
