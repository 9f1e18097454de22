package gossip

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// rival is an address, other than its own, at which others know this node: another node with its
// identity, or its own past, which they do not know yet to be over.
type rival struct {
	addr    netip.AddrPort
	started uint64    // As in the metadata.
	since   time.Time // When this node heard of it first.
	heard   bool      // Since the last round.
}

const (
	maxRivals = 16
	// rivalPatience is how long others may hold on to an address where nobody answers. It is longer
	// than it takes to notice a death, also in a large cluster.
	rivalPatience = 30 * time.Second
)

// isFirst says whether the rival came before a node that started then, at this address. Both come to
// the same result.
func (r *rival) isFirst(started uint64, addr netip.AddrPort) bool {
	return cmp.Or(cmp.Compare(r.started, started), r.addr.Compare(addr)) < 0
}

// noteRival keeps the address of a node that has this one's identity, if it is another.
func (p *Pool) noteRival(n *memberlist.Node) {
	addr := addrOf(n)
	if n.Name != p.opts.Node.String() {
		return
	}
	meta, _ := decodeMetadata(n.Meta) // If it cannot be read, the other came first.
	p.mu.Lock()
	defer p.mu.Unlock()
	if addr == p.mu.self {
		return
	}
	r, known := p.mu.rivals[addr]
	if !known {
		if len(p.mu.rivals) >= maxRivals {
			return
		}
		r = rival{addr: addr, since: time.Now()}
	}
	r.started, r.heard = meta.started, true
	p.mu.rivals[addr] = r
	select {
	case p.rivals <- struct{}{}:
	default:
	}
}

// heardRivals returns the rivals that were heard of since it was called last; the others are gone.
func (p *Pool) heardRivals() []rival {
	p.mu.Lock()
	defer p.mu.Unlock()
	var heard []rival
	for addr, r := range p.mu.rivals {
		if !r.heard {
			delete(p.mu.rivals, addr)
			continue
		}
		heard = append(heard, r)
		r.heard = false
		p.mu.rivals[addr] = r
	}
	return heard
}

// judge returns an error if a rival lives and this node came second.
func (p *Pool) judge(list *memberlist.Memberlist, rivals []rival) error {
	for _, r := range rivals {
		if !p.answers(list, r.addr) && time.Since(r.since) < rivalPatience {
			continue
		}
		if r.isFirst(p.meta.started, p.self()) {
			return fmt.Errorf("%w: node %v lives at %v since %s; no two nodes may have one data directory, nor a copy of it",
				ErrSameIdentity, p.opts.Node, r.addr, time.UnixMilli(int64(r.started)).UTC().Format(time.RFC3339))
		}
		p.log.Error("another node has this node's identity, and came second", "node", p.opts.Node.String(), "address", r.addr)
	}
	return nil
}

// answers says whether a node of this identity is at the address: one of another does not answer to
// its name.
func (p *Pool) answers(list *memberlist.Memberlist, addr netip.AddrPort) bool {
	for range 3 {
		if _, err := list.Ping(p.opts.Node.String(), net.UDPAddrFromAddrPort(addr)); err == nil {
			return true
		}
	}
	return false
}
