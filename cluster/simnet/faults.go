package simnet

import (
	"slices"
	"time"
)

// Cut stops everything from one host to another; the way back stays as it is. What streams have
// under way stalls, packets are lost.
func (n *Network) Cut(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.setCutLocked(from, to, true)
}

// Heal ends what Cut began.
func (n *Network) Heal(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.setCutLocked(from, to, false)
}

// Partition cuts all links between hosts of different groups, both ways, and heals all others.
// Hosts named in no group keep their links to all.
func (n *Network) Partition(groups ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, l := range n.mu.links {
		if l.cut {
			n.setCutLocked(key[0], key[1], false)
		}
	}
	for i, group := range groups {
		for _, other := range slices.Concat(groups[i+1:]...) {
			for _, host := range group {
				n.setCutLocked(host, other, true)
				n.setCutLocked(other, host, true)
			}
		}
	}
}

// HealAll heals all links that are cut. Delays and losses stay.
func (n *Network) HealAll() { n.Partition() }

// setCutLocked changes a link, once all that has reached its other end by now is there.
func (n *Network) setCutLocked(from, to string, cut bool) {
	l, now := n.linkLocked(from, to), time.Now()
	for c := range n.mu.conns {
		if c.in.link == l {
			c.in.settle(now)
		}
	}
	l.cut = cut
	n.wakeAllLocked()
}

// Delay makes what is sent from one host to another take from min to max; streams keep their order.
func (n *Network) Delay(from, to string, minimum, maximum time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.linkLocked(from, to)
	l.min, l.max = minimum, maximum
}

// Loss is the share of packets, of 1, that are lost from one host to another.
func (n *Network) Loss(from, to string, p float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.linkLocked(from, to).loss = p
}

// DelayAll is Delay for all links, those to come too.
func (n *Network) DelayAll(minimum, maximum time.Duration) {
	n.setAll(func(s *settings) { s.min, s.max = minimum, maximum })
}

// LossAll is Loss for all links, those to come too.
func (n *Network) LossAll(p float64) {
	n.setAll(func(s *settings) { s.loss = p })
}

func (n *Network) setAll(set func(*settings)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	set(&n.mu.settings)
	for _, l := range n.mu.links {
		set(&l.settings)
	}
}

// Kill ends a host as kill -9 ends a process: its calls fail and its connections break.
func (n *Network) Kill(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.mu.hosts[name]
	if h == nil || h.killed != nil {
		return
	}
	h.killed = ErrKilled
	for c := range n.mu.conns {
		if c.host == h {
			c.closeLocked(ErrKilled)
		}
	}
	for _, l := range h.listeners {
		l.closeLocked(ErrKilled)
	}
	for _, p := range h.sockets {
		p.closeLocked(ErrKilled)
	}
	n.wakeAllLocked()
}

// Pause stops a host: its calls return after Resume, or when what they are made on is closed.
func (n *Network) Pause(name string) { n.setPaused(name, true) }

// Resume lets a paused host go on.
func (n *Network) Resume(name string) { n.setPaused(name, false) }

func (n *Network) setPaused(name string, paused bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.mu.hosts[name]; h != nil {
		h.paused = paused
		n.wakeAllLocked()
	}
}
