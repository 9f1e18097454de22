package rpc

import (
	"sync"

	"github.com/barograph-db/barograph/cluster/placement"
)

// connSet is connections that are to be closed in the end, and how many each peer has.
type connSet struct {
	mu struct {
		sync.Mutex
		closed bool
		conns  map[*conn]placement.NodeID // zero until the peer is known
		peers  map[placement.NodeID]int
	}
}

// add takes a connection in until it is closed, unless there are so many already or the end has
// come: then it is closed.
func (cs *connSet) add(c *conn, most int) bool {
	cs.mu.Lock()
	fits := !cs.mu.closed && len(cs.mu.conns) < most
	if fits {
		if cs.mu.conns == nil {
			cs.mu.conns = map[*conn]placement.NodeID{}
			cs.mu.peers = map[placement.NodeID]int{}
		}
		cs.mu.conns[c] = placement.NodeID{}
		c.onClose = func() { cs.remove(c) }
	}
	cs.mu.Unlock()
	if !fits {
		_ = c.Close()
	}
	return fits
}

// belongs notes whose connection it is, unless the peer has so many already.
func (cs *connSet) belongs(c *conn, to placement.NodeID, most int) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, open := cs.mu.conns[c]; !open || cs.mu.peers[to] >= most {
		return false
	}
	cs.mu.conns[c] = to
	cs.mu.peers[to]++
	return true
}

func (cs *connSet) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	to := cs.mu.conns[c]
	delete(cs.mu.conns, c)
	if cs.mu.peers[to]--; cs.mu.peers[to] <= 0 {
		delete(cs.mu.peers, to)
	}
}

// close closes all that are there and all that come.
func (cs *connSet) close() {
	cs.mu.Lock()
	cs.mu.closed = true
	all := make([]*conn, 0, len(cs.mu.conns))
	for c := range cs.mu.conns {
		all = append(all, c)
	}
	cs.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}
