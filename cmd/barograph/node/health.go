package node

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// retryAfter is told to clients that are turned away while the node starts or stops.
const retryAfter = "5"

// unavailable answers 503 with the reason.
func unavailable(w http.ResponseWriter, id, reason string) {
	w.Header().Set("Retry-After", retryAfter)
	http.Error(w, fmt.Sprintf("%s (err-barograph-%s)", reason, id), http.StatusServiceUnavailable)
}

func healthy(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "Barograph is healthy.")
}

// ready answers 200 while the node takes writes and queries.
func (n *Node) ready(w http.ResponseWriter, _ *http.Request) {
	switch phase(n.phase.Load()) {
	case starting:
		unavailable(w, "starting", "Barograph is starting.")
	case stopping:
		unavailable(w, "stopping", "Barograph is stopping.")
	default:
		fmt.Fprintln(w, "Barograph is ready.")
	}
}

// phase of a node's life.
type phase int32

const (
	starting phase = iota
	serving
	stopping
)

// gate lets requests through until it is closed, and knows when those that it let through are done.
type gate struct {
	mu struct {
		sync.Mutex
		inside int
		empty  chan struct{} // Not nil once the gate is closed; closed when nobody is inside.
	}
}

// guard puts the gate before h.
func (g *gate) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter() {
			unavailable(w, "stopping", "Barograph is stopping and takes no more writes.")
			return
		}
		defer g.leave()
		h.ServeHTTP(w, r)
	})
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.empty != nil {
		return false
	}
	g.mu.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.inside--; g.mu.inside == 0 && g.mu.empty != nil {
		close(g.mu.empty)
	}
}

// close turns away every later request and waits until the earlier ones are done, but not longer
// than the timeout. It reports whether they are. It is called once; the gate stays closed for ever.
func (g *gate) close(timeout time.Duration) bool {
	g.mu.Lock()
	empty := make(chan struct{})
	g.mu.empty = empty
	if g.mu.inside == 0 {
		close(empty)
	}
	g.mu.Unlock()
	select {
	case <-empty:
		return true
	case <-time.After(timeout):
		return false
	}
}
