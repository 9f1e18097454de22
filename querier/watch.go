package querier

import (
	"context"
	runtimemetrics "runtime/metrics"
	"sync"
	"time"
)

// What promql allocates between two selectors is estimated, not measured, and there are functions
// whose results have no bound that is of use: count_values makes a series of each value there is.
// So while queries run the memory of the process is looked at now and then, and when it comes close
// to its limit the query that holds most is ended.
type watch struct {
	max     int64 // bytes; 0 is no watch
	metrics *metrics
	memory  func() int64 // in use
	done    sync.WaitGroup

	mu struct {
		sync.Mutex
		running  map[*Account]bool // false once it was told to end
		watching bool
	}
}

const (
	// watchEvery is so short that no query gets far in between.
	watchEvery = 10 * time.Millisecond
	// endEvery is how long a query that was ended is given to let go of what it held.
	endEvery = 100 * time.Millisecond
)

func newWatch(limit int64, m *metrics) *watch {
	w := &watch{max: limit, metrics: m, memory: memoryInUse}
	w.mu.running = map[*Account]bool{}
	return w
}

// enter says that a query runs, until leave is called. The context ends when it is to stop.
func (w *watch) enter(ctx context.Context, a *Account) (_ context.Context, leave func()) {
	if w.max <= 0 || a == nil {
		return ctx, func() {}
	}
	ctx, stop := context.WithCancelCause(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	a.stop = stop
	w.mu.running[a] = true
	if !w.mu.watching {
		w.mu.watching = true
		w.done.Go(w.run)
	}
	return ctx, func() {
		stop(nil)
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.mu.running, a)
	}
}

// run looks until no query runs.
func (w *watch) run() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var ended time.Time
	for now := range tick.C {
		if w.idle() {
			return
		}
		if now.Sub(ended) >= endEvery && w.memory() > w.max {
			ended = now
			w.endLargest()
		}
	}
}

func (w *watch) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.watching = len(w.mu.running) > 0
	return !w.mu.watching
}

// endLargest ends the query that holds most of those that were not ended yet.
func (w *watch) endLargest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var largest *Account
	for a, runs := range w.mu.running {
		if runs && (largest == nil || a.used.Load() > largest.used.Load()) {
			largest = a
		}
	}
	if largest != nil {
		w.mu.running[largest] = false
		largest.stop(w.metrics.limited(Execution, limitMemory, w.max,
			"the process is short of memory, and of all queries this one held most"))
	}
}

func (w *watch) close() { w.done.Wait() }

// memoryInUse is how much of the heap is in use: what the last collection found, or most of what
// there is when a collection has not come to its end yet. In between, much of the heap is garbage.
func memoryInUse() int64 {
	s := [...]runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	runtimemetrics.Read(s[:])
	const garbage = 4 // The share of the heap that may be garbage before a collection is due.
	live, all := int64(s[0].Value.Uint64()), int64(s[1].Value.Uint64())
	return max(live, all-all/garbage)
}
