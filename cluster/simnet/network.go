package simnet

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// ErrKilled is what all calls of a host return after [Network.Kill].
var ErrKilled = errors.New("host was killed")

// Bounds of what waits in the network.
const (
	streamBuffer = 64 << 10 // Bytes of a stream, in one direction, that were sent and not read.
	backlog      = 128      // Connections that nobody has accepted yet, of a listener.
	packetQueue  = 1024     // Packets that nobody has read yet, of a socket; more are dropped.
	maxPacket    = 65507    // Bytes of a packet, as UDP over IPv4 has it.
)

// Network is a set of hosts and the links between them.
type Network struct {
	seed    uint64
	changed sync.Cond // A fault, a connection: for whoever dials or accepts.

	mu struct {
		sync.Mutex
		hosts    map[string]*Host // The last of each name, living or killed.
		names    map[netip.Addr]string
		links    map[[2]string]*link
		settings settings // Of links to come.
		conns    map[*conn]struct{}
	}
}

// link is one direction between two hosts. The network's lock guards it.
type link struct {
	settings
	cut bool
	rng *rand.Rand
}

type settings struct {
	min, max time.Duration
	loss     float64
}

// New returns a network without hosts. Losses and delays follow from the seed.
func New(seed uint64) *Network {
	n := &Network{seed: seed}
	n.changed.L = &n.mu.Mutex
	n.mu.hosts = map[string]*Host{}
	n.mu.names = map[netip.Addr]string{}
	n.mu.links = map[[2]string]*link{}
	n.mu.conns = map[*conn]struct{}{}
	return n
}

// Host returns the host of this name; a new one if there is none or it was killed.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := n.mu.hosts[name]
	if last != nil && last.killed == nil {
		return last
	}
	h := &Host{net: n, name: name, listeners: map[uint16]*listener{}, sockets: map[uint16]*packetConn{}}
	if last != nil {
		h.ip = last.ip
	} else {
		i := len(n.mu.hosts) + 1
		h.ip = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		n.mu.names[h.ip] = name
	}
	n.mu.hosts[name] = h
	return h
}

// linkLocked returns the way from one host to another.
func (n *Network) linkLocked(from, to string) *link {
	key := [2]string{from, to}
	l := n.mu.links[key]
	if l == nil {
		h := fnv.New64a()
		h.Write([]byte(from + "\x00" + to))
		l = &link{settings: n.mu.settings, rng: rand.New(rand.NewPCG(n.seed, h.Sum64()))}
		n.mu.links[key] = l
	}
	return l
}

// delay draws how long something takes on the link.
func (l *link) delay() time.Duration {
	if l.max <= l.min {
		return l.min
	}
	return l.min + time.Duration(l.rng.Int64N(int64(l.max-l.min)+1))
}

// resolveLocked splits HOST:PORT and finds the host's name.
func (n *Network) resolveLocked(addr string) (name string, port uint16, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	number, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port of %q: %w", addr, err)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		name, ok := n.mu.names[ip.Unmap()]
		if !ok {
			name = host // An address where nobody is: packets and dials find no one.
		}
		return name, uint16(number), nil
	}
	if n.mu.hosts[host] == nil {
		return "", 0, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return host, uint16(number), nil
}

// waitLocked waits on a condition, at the longest until a time if there is one.
func (n *Network) waitLocked(c *sync.Cond, until time.Time) {
	if !until.IsZero() {
		t := time.AfterFunc(time.Until(until), func() {
			// With the lock taken once, whoever checked the time before has begun to wait.
			n.mu.Lock()
			defer n.mu.Unlock()
			c.Broadcast()
		})
		defer t.Stop()
	}
	c.Wait()
}

// wake makes those who dial or accept look again.
func (n *Network) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changed.Broadcast()
}

// wakeAllLocked makes all who wait look again.
func (n *Network) wakeAllLocked() {
	n.changed.Broadcast()
	for c := range n.mu.conns {
		c.wakeLocked()
	}
	for _, h := range n.mu.hosts {
		for _, p := range h.sockets {
			p.ready.Broadcast()
		}
	}
}

// earliest is the sooner of two times, where zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// passed says whether a deadline has passed; zero is none.
func passed(deadline, now time.Time) bool {
	return !deadline.IsZero() && !now.Before(deadline)
}
