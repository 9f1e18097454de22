package gossip

import (
	"context"
	"math/rand/v2"
	"net/netip"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

const (
	relayTo    = 3       // Members that a fact is sent to at once; all but some 6 % hear of it so.
	relayBytes = 1 << 20 // In one message.
)

// factKey names a fact among those that wait to be relayed.
type factKey struct{ node, key string }

// enqueue keeps a fact that no packet takes until relay sends it. The next of its name replaces it,
// so what waits is bounded as the facts are.
func (p *Pool) enqueue(f Fact) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.bulky[factKey{string(f.Node[:]), f.Key}] = f
	p.signalBulky()
}

func (p *Pool) signalBulky() {
	select {
	case p.bulky <- struct{}{}:
	default:
	}
}

// dequeue returns a message of some of the facts that wait.
func (p *Pool) dequeue() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := []byte{factsVersion}
	for key, f := range p.mu.bulky {
		if len(b) > 1 && len(b)+f.size() > relayBytes {
			p.signalBulky() // The rest goes next.
			break
		}
		b = appendFact(b, &f)
		delete(p.mu.bulky, key)
	}
	return b
}

// relay sends facts that no packet takes to some members, over streams. Those to whom they are news
// do the same, so that all have them after a few steps; exchanges of states see to the rest.
func (p *Pool) relay(ctx context.Context, list *memberlist.Memberlist) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.bulky:
		}
		message := p.dequeue()
		var g errgroup.Group
		for _, n := range p.someOthers(relayTo) {
			g.Go(func() error {
				if err := list.SendReliable(n, message); err != nil {
					p.log.Debug("relay facts", "node", n.Name, "err", err)
				}
				return nil
			})
		}
		_ = g.Wait() // No function fails.
	}
}

// someOthers returns up to so many living members, by chance.
func (p *Pool) someOthers(limit int) []*memberlist.Node {
	var nodes []*memberlist.Node
	for _, m := range p.Members() {
		addr, err := netip.ParseAddrPort(m.GossipAddr)
		if err == nil && m.State == Alive && m.ID != p.opts.Node {
			nodes = append(nodes, &memberlist.Node{Name: m.ID.String(), Addr: addr.Addr().AsSlice(), Port: addr.Port()})
		}
	}
	rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	return nodes[:min(len(nodes), limit)]
}
