package gossip

import (
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"
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
		if f.Node != p.opts.Node && (!known || m.State == Left) {
			continue // It will be told again, once the node is a member.
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

// tell queues a fact for the next packets or, if none takes it, for streams to some members.
// Exchanges of states carry all.
func (p *Pool) tell(f Fact) {
	if b := encodeFact(&f); len(b) <= maxPacketFact {
		p.queue.QueueBroadcast(broadcast{name: string(f.Node[:]) + f.Key, message: b})
	} else {
		p.enqueue(f)
	}
}

// encodeFacts returns all facts, for an exchange of states.
func (p *Pool) encodeFacts() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.facts.encode()
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
