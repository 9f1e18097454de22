package dedup

import (
	"sync"

	"github.com/barograph-db/barograph/ingest"
)

// The number of an origin is a place in a list and the place's generation: when the origin that was
// used least lately makes room, its number means nothing any more, wherever it is cached.
const (
	placeBits  = 16
	maxOrigins = 1 << placeBits
)

// sender is a replica of a pair.
type sender struct{ pair, replica string }

type place struct {
	sender
	generation uint16
	used       bool // since the hand last passed
}

// origins numbers senders.
type origins struct {
	most int

	mu struct {
		sync.RWMutex
		numbers map[sender]ingest.Origin
		places  []place // that of 0 is never used
		hand    int     // where to look next for one to forget
	}
}

func newOrigins(most int) *origins {
	o := &origins{most: most}
	o.mu.numbers = map[sender]ingest.Origin{}
	o.mu.places = make([]place, 1)
	return o
}

// find returns the number of a sender, given as views.
func (o *origins) find(pair, replica []byte) (ingest.Origin, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	n, ok := o.mu.numbers[sender{string(pair), string(replica)}]
	return n, ok
}

// number returns that of a sender, and whether another was forgotten for it.
func (o *origins) number(s sender) (n ingest.Origin, forgotten bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n, ok := o.mu.numbers[s]; ok {
		return n, false
	}
	at := len(o.mu.places)
	if at >= o.most {
		at, forgotten = o.oldest(), true
		delete(o.mu.numbers, o.mu.places[at].sender)
	} else {
		o.mu.places = append(o.mu.places, place{})
	}
	p := &o.mu.places[at]
	*p = place{sender: s, generation: p.generation + 1, used: true}
	n = ingest.Origin(p.generation)<<placeBits | ingest.Origin(at)
	o.mu.numbers[s] = n
	return n, forgotten
}

// oldest finds a place that was not used since the hand last passed it.
func (o *origins) oldest() int {
	for {
		if o.mu.hand++; o.mu.hand >= len(o.mu.places) {
			o.mu.hand = 1
		}
		p := &o.mu.places[o.mu.hand]
		if !p.used {
			return o.mu.hand
		}
		p.used = false
	}
}

// sender returns whose number n is, if it still means something.
func (o *origins) sender(n ingest.Origin) (sender, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := int(n & (maxOrigins - 1))
	if at >= len(o.mu.places) || o.mu.places[at].generation != uint16(n>>placeBits) {
		return sender{}, false
	}
	o.mu.places[at].used = true
	return o.mu.places[at].sender, true
}

func (o *origins) len() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.mu.numbers)
}
