package fanout

import (
	"slices"
	"sync"
	"time"
)

// method is a kind of request: they take differently long.
type method uint8

const (
	forSeries method = iota
	forPartials
	forNames
	forValues
	forExemplars
	forCardinality
	numMethods
)

const (
	// remembered is how many of the last requests count, and fewest how many there must be.
	remembered = 256
	fewest     = 16
	// refreshEvery so many requests the delay is computed anew.
	refreshEvery = 32
	// Hedges are at most one request in hedgeShare, but for maxSaved that were not needed before: when
	// all nodes are slow, asking more of them makes it worse.
	hedgeShare = 10
	maxSaved   = 16
)

// delays knows how long to wait for a node before others are asked.
type delays struct {
	min, max time.Duration

	mu struct {
		sync.Mutex
		took   [numMethods][]time.Duration
		next   [numMethods]int
		fresh  [numMethods]int // since the delay was computed
		delay  [numMethods]time.Duration
		credit int // in requests: hedgeShare of them pay for a hedge
	}
}

func newDelays(least, most time.Duration) *delays {
	d := &delays{min: least, max: most}
	for m := range numMethods {
		d.mu.delay[m] = most
	}
	d.mu.credit = maxSaved * hedgeShare
	return d
}

// of returns the delay for one more request.
func (d *delays) of(m method) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.credit = min(d.mu.credit+1, maxSaved*hedgeShare)
	return d.mu.delay[m]
}

// allow reports whether there may be a hedge.
func (d *delays) allow() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.credit < hedgeShare {
		return false
	}
	d.mu.credit -= hedgeShare
	return true
}

// observe says how long a node took to answer.
func (d *delays) observe(m method, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.mu.took[m]) < remembered {
		d.mu.took[m] = append(d.mu.took[m], took)
	} else {
		d.mu.took[m][d.mu.next[m]] = took
		d.mu.next[m] = (d.mu.next[m] + 1) % remembered
	}
	if d.mu.fresh[m]++; d.mu.fresh[m] >= refreshEvery || len(d.mu.took[m]) == fewest {
		d.mu.fresh[m] = 0
		d.mu.delay[m] = hedgeAfter(d.mu.took[m], d.min, d.max)
	}
}

// hedgeAfter is the time within which 19 of 20 answers came.
func hedgeAfter(took []time.Duration, least, most time.Duration) time.Duration {
	if len(took) < fewest {
		return most
	}
	sorted := slices.Sorted(slices.Values(took))
	return min(max(sorted[len(sorted)*19/20], least), most)
}
