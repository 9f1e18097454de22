package rpc

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
)

// Peer is a node to reach.
type Peer struct {
	ID   placement.NodeID // Who has to be found there.
	Addr string           // host:port
}

func (p Peer) String() string { return fmt.Sprintf("%s at %s", p.ID, p.Addr) }

const (
	firstBackoff = 100 * time.Millisecond
	// maxPeers bounds the peers that are remembered; no placement has more.
	maxPeers = placement.MaxNodes
)

// pool has the links that this node has dialled, one for each peer and class, and remembers of
// which peers the dials fail.
type pool struct {
	t  *Transport
	mu struct {
		sync.Mutex
		peers map[placement.NodeID]*peerLinks
	}
}

// peerLinks is what the pool knows of a peer.
type peerLinks struct {
	addr     string
	dials    [numClasses]*dial
	failures int       // dials in a row
	until    time.Time // when the next is due
	last     *Error    // why the last one failed
}

// dial is a link that is on its way, or there.
type dial struct {
	done chan struct{} // closed when one of these is set
	link *link
	err  *Error
}

// over says that a new link is needed.
func (d *dial) over() bool {
	select {
	case <-d.done:
		return d.link == nil || d.link.spent()
	default:
		return false
	}
}

// link returns the link to a peer, which is dialled if there is none. All who ask for it meanwhile
// wait for the same dial, as long as their contexts let them.
func (p *pool) link(ctx context.Context, to Peer, class Class) (*link, error) {
	p.mu.Lock()
	peer, err := p.peerLocked(to)
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	d := peer.dials[class]
	if d == nil || d.over() {
		if err := p.dueLocked(peer, to); err != nil {
			p.mu.Unlock()
			return nil, err
		}
		d = &dial{done: make(chan struct{})}
		if !p.t.start(func(ctx context.Context) { p.keep(ctx, to, class, d) }) {
			p.mu.Unlock()
			return nil, errNotRunning
		}
		peer.dials[class] = d
	}
	p.mu.Unlock()
	select {
	case <-d.done:
		if d.err != nil {
			return nil, d.err
		}
		return d.link, nil
	case <-ctx.Done():
		return nil, contextError(ctx)
	}
}

// peerLocked finds a peer. What was known of another address of it is forgotten, and the links to there
// end with their last streams.
func (p *pool) peerLocked(to Peer) (*peerLinks, error) {
	peer := p.mu.peers[to.ID]
	if peer != nil && peer.addr == to.Addr {
		return peer, nil
	}
	if peer == nil && len(p.mu.peers) >= maxPeers && !p.forgetLocked() {
		return nil, errorf(Exhausted, "%d peers are connected", maxPeers)
	}
	if peer != nil {
		for _, d := range peer.dials {
			if d != nil {
				p.t.start(func(context.Context) { d.retire() })
			}
		}
	}
	peer = &peerLinks{addr: to.Addr}
	p.mu.peers[to.ID] = peer
	return peer, nil
}

// retire waits for a dial and lets its link end.
func (d *dial) retire() {
	<-d.done
	if d.link != nil {
		d.link.retire()
	}
}

// forgetLocked forgets the peers without links.
func (p *pool) forgetLocked() (some bool) {
	for id, peer := range p.mu.peers {
		used := false
		for _, d := range peer.dials {
			used = used || d != nil && !d.over()
		}
		if !used {
			delete(p.mu.peers, id)
			some = true
		}
	}
	return some
}

// dueLocked says why a peer is not to be dialled now.
func (p *pool) dueLocked(peer *peerLinks, to Peer) error {
	if left := time.Until(peer.until); left > 0 {
		p.t.metrics.backoffs.Inc()
		return errorf(Unavailable, "%s is tried again in %v: %s", to, left.Round(time.Millisecond), peer.last.Text)
	}
	return nil
}

// keep dials a peer and runs the link until it ends.
func (p *pool) keep(ctx context.Context, to Peer, class Class, d *dial) {
	c, a, err := p.t.connect(ctx, to, byte(class), "")
	p.tried(to, err)
	if err != nil {
		d.err = err
		close(d.done)
		return
	}
	d.link = p.t.newLink(c, dialling, class, a.from, a.window)
	stop := context.AfterFunc(ctx, func() { d.link.fail(notLost, errNotRunning) })
	defer stop()
	close(d.done)
	d.link.run()
}

// tried notes how a dial ended.
func (p *pool) tried(to Peer, err *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.mu.peers[to.ID]
	if peer == nil || peer.addr != to.Addr {
		return
	}
	if err == nil {
		peer.failures, peer.until, peer.last = 0, time.Time{}, nil
		return
	}
	peer.failures++
	peer.until, peer.last = time.Now().Add(backoff(peer.failures, p.t.opts.MaxBackoff, rand.Float64())), err
}

// backoff is the pause after so many dials that failed: twice the last, at most the longest, and
// up to a fifth less by chance, so that many nodes don't come at once.
func backoff(failures int, longest time.Duration, chance float64) time.Duration {
	pause := longest
	if shift := failures - 1; shift < 16 {
		pause = min(longest, firstBackoff<<shift)
	}
	return pause - time.Duration(chance*float64(pause)/5)
}

// alive lets a peer be dialled at once, as it has come by itself.
func (p *pool) alive(id placement.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if peer := p.mu.peers[id]; peer != nil {
		peer.failures, peer.until = 0, time.Time{}
	}
}

// raw dials a connection that is handed over, unless the peer's next dial is not due.
func (p *pool) raw(ctx context.Context, to Peer, kind string) (net.Conn, error) {
	p.mu.Lock()
	peer, err := p.peerLocked(to)
	if err == nil {
		err = p.dueLocked(peer, to)
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	c, _, failure := p.t.connect(ctx, to, purposeRaw, kind)
	if failure == nil || ctx.Err() == nil { // A caller in a hurry says nothing of the peer.
		p.tried(to, failure)
	}
	if failure != nil {
		return nil, failure
	}
	if !p.t.raws.add(c, math.MaxInt) {
		return nil, errNotRunning
	}
	p.t.metrics.raws[dialling].Inc()
	return c, nil
}
