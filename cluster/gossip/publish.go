package gossip

import (
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/barograph-db/barograph/cluster/placement"
)

// Publish makes the value this node's fact under the key, in place of its last. An empty value
// takes the fact back; the key still counts. The pool keeps a copy.
func (p *Pool) Publish(key string, value []byte) error {
	if key == leavingKey {
		return fmt.Errorf("key %q is gossip's own", key)
	}
	return p.publish(key, value)
}

func (p *Pool) publish(key string, value []byte) error {
	p.mu.Lock()
	f, err := p.mu.facts.publish(key, value, time.Now())
	p.metrics.facts.Set(float64(p.mu.facts.bytes))
	p.mu.Unlock()
	if err != nil {
		return err
	}
	p.tell(f)
	p.notify()
	return nil
}

// Facts returns what the members, this one included, have published under the key, sorted by node.
// Nobody may change the values.
func (p *Pool) Facts(key string) []Fact {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.facts.list(key)
}

// takeFacts takes in a message of facts, and tells further what is news.
func (p *Pool) takeFacts(message []byte) {
	list, err := decodeFacts(message)
	if err != nil {
		p.metrics.refused.Inc()
		p.log.Debug("facts are refused", "err", err)
		return
	}
	var news []Fact
	p.mu.Lock()
	for _, f := range list {
		m, known := p.mu.members[f.Node]
		if known && m.State == Left && f.Node != p.opts.Node || !known && !p.hearOfLocked(&f, time.Now()) {
			continue
		}
		tell, isNews, err := p.mu.facts.merge(f)
		if err != nil {
			p.metrics.refused.Inc()
			p.log.Debug("fact is refused", "node", f.Node.String(), "key", f.Key, "err", err)
		} else if isNews {
			news = append(news, tell)
		}
		if m.State == Dead && known && p.hasLeftLocked(m) {
			m.State = Left
			p.putMemberLocked(m)
		}
	}
	p.metrics.facts.Set(float64(p.mu.facts.bytes))
	p.mu.Unlock()
	for _, f := range news {
		p.tell(f)
	}
	if len(news) > 0 {
		p.notify()
	}
}

// maxUnmet bounds the nodes of which there are facts and nothing else.
const maxUnmet = 64

// hearOfLocked reports whether a fact of a node that is no member is kept: it is about to be one, or died
// before this one joined.
func (p *Pool) hearOfLocked(f *Fact, now time.Time) bool {
	_, known := p.mu.unmet[f.Node]
	switch {
	case f.Node == p.opts.Node:
	case f.Key == leavingKey:
		delete(p.mu.unmet, f.Node)
		p.mu.facts.forget(f.Node)
		return false
	case !known && len(p.mu.unmet) >= maxUnmet:
		return false
	case !known:
		p.mu.unmet[f.Node] = now
	}
	return true
}

// tell queues a fact for the next packets or, if none takes it, for streams to some members.
// Exchanges of states carry all.
func (p *Pool) tell(f Fact) {
	if b := encodeFact(&f); len(b) <= maxPacketFact {
		p.queue.QueueBroadcast(broadcast{name: string(f.Node[:]) + f.Key, message: b})
	} else {
		p.enqueue(f)
	}
}

// encodeFacts returns all facts of members, for an exchange of states. What was only heard of others goes
// no further, or it would never be forgotten; nor does what is about to be forgotten, which others have
// forgotten already.
func (p *Pool) encodeFacts() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	return p.mu.facts.encode(func(id placement.NodeID) bool {
		_, unmet := p.mu.unmet[id]
		m := p.mu.members[id]
		fading := m.State == Dead && now.Sub(m.Since) > p.opts.ForgetDead-min(time.Minute, p.opts.ForgetDead/2)
		return !unmet && !fading
	})
}

// broadcast is a fact in memberlist's queue, where the next of the same name replaces it. So the
// queue is bounded as the facts are.
type broadcast struct {
	name    string
	message []byte
}

var _ memberlist.NamedBroadcast = broadcast{}

func (b broadcast) Name() string                          { return b.name }
func (b broadcast) Message() []byte                       { return b.message }
func (b broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) Finished()                             {}
