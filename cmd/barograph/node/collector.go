package node

import (
	"context"
	"os"
	"runtime/debug"
	gometrics "runtime/metrics"
	"sync"
	"time"
)

// collector tells Go's garbage collector how far the heap may grow between two cycles. A percentage
// alone is wrong at one end: an append leaves next to no garbage and most of the memory holds no
// pointers, so that with many series a small one costs little CPU and saves what matters most; but
// with few series the same one has queries collect every few megabytes.
type collector struct {
	mu      sync.Mutex
	fixed   bool
	percent int
}

const (
	// headroom is what the heap may grow by in any case.
	headroom     = 32 << 20
	leastPercent = 20
	mostPercent  = 400
	// adaptEvery is seldom enough to cost nothing: a change stops the world for some microseconds.
	adaptEvery = time.Second
)

// percentFor is the percentage for so many bytes of live heap.
func percentFor(live uint64) int {
	return int(min(max(headroom*100/max(live, 1), leastPercent), mostPercent))
}

// set takes the percentage of the configuration, or that of the environment; without either it
// follows the heap.
func (c *collector) set(percent int) {
	c.mu.Lock()
	c.fixed = percent != 0 || os.Getenv("GOGC") != ""
	if percent != 0 {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
	c.mu.Unlock()
	c.adapt()
}

func (c *collector) adapt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fixed {
		return
	}
	s := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}}
	gometrics.Read(s)
	if s[0].Value.Kind() != gometrics.KindUint64 {
		return
	}
	if p := percentFor(s[0].Value.Uint64()); p*10 > c.percent*11 || p*11 < c.percent*10 {
		c.percent = p
		debug.SetGCPercent(p)
	}
}

// run adapts until ctx ends.
func (c *collector) run(ctx context.Context) {
	ticker := time.NewTicker(adaptEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.adapt()
		}
	}
}
