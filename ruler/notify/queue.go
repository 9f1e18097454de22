package notify

import (
	"slices"
	"time"
)

// queue holds the alerts that wait for one Alertmanager, oldest first. It is not safe for concurrent use.
//
// The last entry of each labels that waits is found by their hash, so that the next one can take its
// place. An entry of other labels with the same hash hides it; then both wait, which does no harm.
type queue struct {
	size  int
	items []*item
	last  map[uint64]*item
}

// item is a place in the queue.
type item struct{ *entry }

func newQueue(size int) *queue { return &queue{size: size, last: map[uint64]*item{}} }

func (q *queue) len() int { return len(q.items) }

// add queues an entry, and returns how many were dropped for it.
func (q *queue) add(e *entry) (dropped int) {
	if last := q.last[e.hash]; last != nil && e.replaces(last.entry) {
		last.entry = e
		return 0
	}
	it := &item{e}
	q.items = append(q.items, it)
	q.last[e.hash] = it
	return q.trim()
}

// take removes up to n entries, and all expired ones that come before them.
func (q *queue) take(n int, now time.Time) (batch []*entry, expired int) {
	i := 0
	for ; i < len(q.items) && len(batch) < n; i++ {
		q.forget(q.items[i])
		if e := q.items[i].entry; e.expired(now) {
			expired++
		} else {
			batch = append(batch, e)
		}
	}
	q.cut(i)
	return batch, expired
}

// giveBack puts entries that were taken before all others, except those that one that has come meanwhile
// replaces. It returns how many were dropped for want of room.
func (q *queue) giveBack(batch []*entry) (dropped int) {
	next := map[uint64]*item{} // the first of its labels after the entry at hand
	for _, it := range slices.Backward(q.items) {
		next[it.hash] = it
	}
	var kept []*item
	for _, e := range slices.Backward(batch) {
		if n := next[e.hash]; n != nil && n.replaces(e) {
			continue
		}
		it := &item{e}
		kept = append(kept, it)
		next[e.hash] = it
		if q.last[e.hash] == nil {
			q.last[e.hash] = it
		}
	}
	slices.Reverse(kept)
	q.items = append(kept, q.items...)
	return q.trim()
}

// trim drops the oldest entries that there is no room for.
func (q *queue) trim() int {
	over := max(0, len(q.items)-q.size)
	for _, it := range q.items[:over] {
		q.forget(it)
	}
	q.cut(over)
	return over
}

// cut removes the first n places.
func (q *queue) cut(n int) {
	clear(q.items[:n])
	q.items = q.items[n:]
}

// forget makes sure that nothing takes the place of an item that leaves.
func (q *queue) forget(it *item) {
	if q.last[it.hash] == it {
		delete(q.last, it.hash)
	}
}
