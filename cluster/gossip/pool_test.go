package gossip_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster/gossip"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/simnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var large = flag.Bool("large", false, "also measure clusters of 30 and 100 nodes, which takes a minute")

// probesEnd is how long memberlist may still be waiting for an answer after it was shut down.
const probesEnd = 10 * time.Second

// fleet are nodes on one network, inside a bubble.
type fleet struct {
	t     *testing.T
	net   *simnet.Network
	edit  func(*gossip.Options)
	nodes []*node
}

type node struct {
	*gossip.Pool
	id     placement.NodeID
	host   string
	cancel context.CancelFunc
	ended  chan error
}

func newFleet(t *testing.T, seed uint64) *fleet {
	f := &fleet{t: t, net: simnet.New(seed), edit: func(*gossip.Options) {}}
	f.net.DelayAll(100*time.Microsecond, time.Millisecond)
	t.Cleanup(func() {
		for _, n := range f.nodes {
			n.stop()
		}
		time.Sleep(probesEnd)
	})
	return f
}

func id(i int) placement.NodeID { return placement.NodeID{15: byte(i)} }

// start starts the node of this number on a host, joined to others.
func (f *fleet) start(i int, host string, join ...string) *node {
	f.t.Helper()
	h := f.net.Host(host)
	o := gossip.Options{
		Cluster: "test", Node: id(i), Name: fmt.Sprint("node", i), Zone: fmt.Sprint("zone", i%3), Region: "here",
		Software: "0.1.0", RPCAddr: ":11014", Protocol: 1, Weight: uint32(i), Join: join,
		Listen: host + ":11015", Network: h, Logger: slog.New(slog.DiscardHandler),
		Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
			return []netip.Addr{f.net.Host(name).IP()}, nil
		},
	}
	f.edit(&o)
	p, err := gossip.New(o)
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{Pool: p, id: id(i), host: host, cancel: cancel, ended: make(chan error, 1)}
	go func() { n.ended <- p.Run(ctx) }()
	f.nodes = append(f.nodes, n)
	return n
}

// fleetOf starts n nodes that join the first.
func fleetOf(t *testing.T, n int) *fleet {
	t.Helper()
	f := newFleet(t, 1)
	f.join(n)
	return f
}

// join starts n nodes that join the first, and waits until all know each other.
func (f *fleet) join(n int) {
	f.t.Helper()
	for i := 1; i <= n; i++ {
		f.start(i, fmt.Sprint("h", i), "dns+h1")
	}
	for _, node := range f.nodes {
		node.await(f.t, time.Minute, func() bool { return node.count(gossip.Alive) == n })
	}
}

// stop ends the node without a word to the others.
func (n *node) stop() {
	n.cancel()
	if n.ended != nil {
		<-n.ended
		n.ended = nil
	}
}

// await waits until something is so, or fails.
func (n *node) await(t *testing.T, limit time.Duration, is func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	end := time.After(limit)
	for !is() {
		select {
		case <-n.Changed():
		case <-end:
			require.FailNow(t, "it did not become so", "%v after %v: %v", n.host, limit, n.Members())
		}
	}
	return time.Since(start)
}

func (n *node) count(s gossip.State) int {
	c := 0
	for _, m := range n.Members() {
		if m.State == s {
			c++
		}
	}
	return c
}

func (n *node) member(id placement.NodeID) gossip.Member {
	for _, m := range n.Members() {
		if m.ID == id {
			return m
		}
	}
	return gossip.Member{State: 255}
}

func (n *node) facts(key string) (list []string) {
	for _, f := range n.Facts(key) {
		list = append(list, fmt.Sprintf("%d:%s", f.Node[15], f.Value))
	}
	return list
}

func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleetOf(t, 5)
		for _, n := range f.nodes {
			list := n.Members()
			require.True(t, slices.IsSortedFunc(list, func(a, b gossip.Member) int { return a.ID.Compare(b.ID) }))
			m := n.member(id(2))
			m.Since, m.Started = time.Time{}, time.Time{}
			require.Equal(t, gossip.Member{
				ID: id(2), Name: "node2", Zone: "zone2", Region: "here", Software: "0.1.0",
				RPCAddr: f.net.Host("h2").IP().String() + ":11014", GossipAddr: f.net.Host("h2").IP().String() + ":11015",
				Weight: 2, Protocol: 1,
			}, m)
		}
	})
}

func TestDeath(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := fleetOf(t, n)
				time.Sleep(rand.N(10 * time.Second)) // Probes are at any phase.
				f.net.Kill("h2")
				start := time.Now()
				for i, node := range f.nodes {
					if i != 1 {
						node.await(t, 5*time.Second, func() bool { return node.member(id(2)).State == gossip.Dead })
					}
				}
				t.Logf("noticed by all after %v", time.Since(start).Round(time.Millisecond))
			})
		})
	}
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleetOf(t, 5)
		require.NoError(t, f.nodes[1].Publish("k", []byte("v")))
		f.nodes[4].await(t, time.Second, func() bool { return len(f.nodes[4].facts("k")) == 1 })
		require.NoError(t, f.nodes[1].Leave(t.Context()))
		f.nodes[1].stop()
		for i, n := range f.nodes {
			if i != 1 {
				n.await(t, time.Second, func() bool { return n.member(id(2)).State == gossip.Left })
				require.Empty(t, n.facts("k"))
			}
		}
		n := f.start(2, "h2", "h3:11015") // It may come back.
		n.await(t, 5*time.Second, func() bool { return n.count(gossip.Alive) == 5 })
		f.nodes[0].await(t, 5*time.Second, func() bool { return f.nodes[0].count(gossip.Alive) == 5 })
		require.NoError(t, errors.Join(f.nodes[0].Leave(t.Context()), f.nodes[0].Leave(t.Context())))
	})
}

// A node that died comes back at another address, sooner than its death is noticed.
func TestNewAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleetOf(t, 3)
		f.net.Kill("h2")
		again := f.start(2, "h9", "h1:11015")
		addr := f.net.Host("h9").IP().String() + ":11015"
		for _, n := range []*node{f.nodes[0], f.nodes[2], again} {
			n.await(t, 10*time.Second, func() bool {
				m := n.member(id(2))
				return m.State == gossip.Alive && m.GossipAddr == addr && n.count(gossip.Alive) == 3
			})
		}
		select {
		case err := <-again.ended:
			require.NoError(t, err)
		default:
		}
	})
}

// Of two nodes with one identity the second is refused, whoever it asks to join.
func TestSameIdentity(t *testing.T) {
	for _, join := range []string{"h1:11015", "h2:11015"} {
		synctest.Test(t, func(t *testing.T) {
			f := fleetOf(t, 3)
			twin := f.start(2, "copy", join)
			select {
			case err := <-twin.ended:
				require.ErrorIs(t, err, gossip.ErrSameIdentity)
				require.ErrorContains(t, err, id(2).String()+" lives at "+f.net.Host("h2").IP().String())
				twin.ended <- nil
			case <-time.After(5 * time.Second):
				require.Fail(t, "it was not refused")
			}
			time.Sleep(time.Minute)
			for _, n := range f.nodes[:3] {
				require.Equal(t, 3, n.count(gossip.Alive))
				require.Equal(t, f.net.Host("h2").IP().String()+":11015", n.member(id(2)).GossipAddr)
			}
		})
	}
}

// Two nodes with one identity that both were members, on two sides of a partition.
func TestSameIdentityAfterPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleetOf(t, 3)
		f.net.Host("copy")
		f.net.Partition([]string{"h1", "copy"}, []string{"h2", "h3"})
		twin := f.start(3, "copy", "h1:11015")
		at := func(host string) string { return f.net.Host(host).IP().String() + ":11015" }
		f.nodes[0].await(t, 30*time.Second, func() bool {
			m := f.nodes[0].member(id(3))
			return m.State == gossip.Alive && m.GossipAddr == at("copy")
		})
		f.net.HealAll()
		select {
		case err := <-twin.ended:
			require.ErrorIs(t, err, gossip.ErrSameIdentity)
			twin.ended <- nil
		case <-time.After(time.Minute):
			require.Fail(t, "it was not refused")
		}
		for _, n := range f.nodes[:3] {
			n.await(t, time.Minute, func() bool {
				return n.count(gossip.Alive) == 3 && n.member(id(3)).GossipAddr == at("h3")
			})
		}
	})
}

func TestClustersDoNotMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleetOf(t, 2)
		f.edit = func(o *gossip.Options) { o.Cluster = "other" }
		f.start(3, "h3", "h4:11015", "h1:11015", "h2:11015")
		other := f.start(4, "h4", "h3:11015", "h1:11015")
		other.await(t, 10*time.Second, func() bool { return other.count(gossip.Alive) == 2 })
		time.Sleep(2 * time.Minute)
		for _, n := range f.nodes {
			require.Len(t, n.Members(), 2)
		}
	})
}

// A cluster that was split for longer than memberlist remembers its dead is one again, also where
// the address to join lies on one side.
func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleetOf(t, 5)
		f.net.Partition([]string{"h1", "h2", "h3"}, []string{"h4", "h5"})
		time.Sleep(10 * time.Second)
		require.Equal(t, 3, f.nodes[0].count(gossip.Alive))
		require.Equal(t, 2, f.nodes[4].count(gossip.Alive))
		require.NoError(t, f.nodes[4].Publish("side", []byte("b")))
		time.Sleep(4 * time.Minute)
		require.Equal(t, 2, f.nodes[0].count(gossip.Dead))
		f.net.HealAll()
		for _, n := range f.nodes {
			n.await(t, 30*time.Second, func() bool { return n.count(gossip.Alive) == 5 && len(n.facts("side")) == 1 })
		}
	})
}

// A name is resolved at each try, so that a node may be started before the one it is to join.
func TestNameResolvesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		var now atomic.Pointer[[]netip.Addr]
		f.edit = func(o *gossip.Options) {
			o.Resolve = func(_ context.Context, name string) ([]netip.Addr, error) {
				require.Equal(t, "peers.local", name)
				if list := now.Load(); list != nil {
					return *list, nil
				}
				return nil, errors.New("no such name")
			}
		}
		first, second := f.start(1, "h1"), f.start(2, "h2", "dns+peers.local")
		time.Sleep(10 * time.Minute)
		require.Equal(t, 1, second.count(gossip.Alive))
		now.Store(&[]netip.Addr{f.net.Host("elsewhere").IP()})
		time.Sleep(time.Minute)
		now.Store(&[]netip.Addr{f.net.Host("elsewhere").IP(), f.net.Host("h1").IP(), f.net.Host("h2").IP()})
		for _, n := range []*node{first, second} {
			n.await(t, 20*time.Second, func() bool { return n.count(gossip.Alive) == 2 })
		}
	})
}

func TestFacts(t *testing.T) {
	for _, size := range []int{10, 50_000} { // One fits a packet, the other does not.
		synctest.Test(t, func(t *testing.T) {
			f := fleetOf(t, 5)
			f.net.LossAll(0.2)
			start := time.Now()
			for round := range 3 {
				var want []string
				for i, n := range f.nodes {
					value := strings.Repeat(fmt.Sprint(round), size)
					require.NoError(t, n.Publish("k", []byte(value)))
					want = append(want, fmt.Sprintf("%d:%s", i+1, value))
				}
				for _, n := range f.nodes {
					n.await(t, 2*time.Minute, func() bool { return slices.Equal(want, n.facts("k")) })
				}
			}
			t.Logf("three rounds of %d bytes took %v", size, time.Since(start))
			require.NoError(t, f.nodes[0].Publish("k", nil))
			last := f.nodes[4]
			last.await(t, 2*time.Minute, func() bool { return len(last.facts("k")) == 4 })
		})
	}
}

// What a node publishes after a restart replaces what it did before; what it does not publish anew
// stands.
func TestFactsAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleetOf(t, 3)
		for range 10 {
			require.NoError(t, f.nodes[1].Publish("a", []byte("old")))
			require.NoError(t, f.nodes[1].Publish("b", []byte("old")))
		}
		f.nodes[0].await(t, 5*time.Second, func() bool { return len(f.nodes[0].facts("b")) == 1 })
		f.net.Kill("h2")
		again := f.start(2, "h2", "h1:11015")
		require.NoError(t, again.Publish("a", []byte("new")))
		for _, n := range []*node{f.nodes[0], f.nodes[2], again} {
			n.await(t, 20*time.Second, func() bool {
				return slices.Equal(n.facts("a"), []string{"2:new"}) && slices.Equal(n.facts("b"), []string{"2:old"})
			})
		}
	})
}

// Who joins after a node's death hears what it had to say, for as long as others remember it, and no longer.
func TestFactsOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.edit = func(o *gossip.Options) { o.ForgetDead = 10 * time.Minute }
		f.join(3)
		require.NoError(t, f.nodes[1].Publish("a", []byte("x")))
		f.nodes[0].await(t, 5*time.Second, func() bool { return len(f.nodes[0].facts("a")) == 1 })
		f.net.Kill("h2")
		time.Sleep(5 * time.Minute)
		late := f.start(4, "h4", "h1:11015")
		late.await(t, time.Minute, func() bool { return slices.Equal(late.facts("a"), []string{"2:x"}) })
		require.Len(t, late.Members(), 3)
		f.net.Kill("h1")
		f.net.Kill("h3")
		last := f.start(5, "h5", "h4:11015")
		time.Sleep(11 * time.Minute)
		require.Empty(t, late.facts("a"))
		require.Empty(t, last.facts("a"))

		// If it is back, it is a member as any.
		again := f.start(2, "h2", "h4:11015")
		require.NoError(t, again.Publish("a", []byte("y")))
		late.await(t, time.Minute, func() bool { return slices.Equal(late.facts("a"), []string{"2:y"}) })
	})
}

func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.edit = func(o *gossip.Options) { o.ForgetDead = 10 * time.Minute }
		f.join(3)
		require.NoError(t, f.nodes[1].Publish("a", []byte("x")))
		f.nodes[0].await(t, 5*time.Second, func() bool { return len(f.nodes[0].facts("a")) == 1 })
		f.net.Kill("h2")
		time.Sleep(9 * time.Minute)
		require.Equal(t, gossip.Dead, f.nodes[0].member(id(2)).State)
		require.Len(t, f.nodes[0].facts("a"), 1)
		time.Sleep(2 * time.Minute)
		require.Len(t, f.nodes[0].Members(), 2)
		require.Empty(t, f.nodes[0].facts("a"))
	})
}

// Keys can be changed without a break; who has none of them stays out.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a, b := make([]byte, 32), []byte("0123456789abcdef")
		for i, keys := range [][][]byte{{a}, {a, b}, {b, a}, {b}, nil} {
			f.edit = func(o *gossip.Options) { o.Keys = keys }
			f.start(i+1, fmt.Sprint("h", i+1), "h1:11015", "h2:11015", "h3:11015")
		}
		time.Sleep(time.Minute)
		require.Equal(t, 4, f.nodes[1].count(gossip.Alive))
		require.Equal(t, 1, f.nodes[4].count(gossip.Alive))
	})
}

// The keys of nodes that run are changed in three steps; nobody is taken for dead, and facts go on
// spreading.
func TestKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		var deaths atomic.Int64
		old, between, fresh := make([]byte, 32), []byte("0123456789abcdef"), []byte("fedcba9876543210")
		f.edit = func(o *gossip.Options) {
			o.Keys = [][]byte{old}
			o.Logger = slog.New(&deathCounter{slog.DiscardHandler, &deaths})
		}
		f.join(3)
		for round, keys := range [][][]byte{{old, fresh}, {old, between, fresh}, {fresh, between, old}, {fresh, between}, {fresh}} {
			for _, n := range f.nodes {
				require.NoError(t, n.SetKeys(keys))
				time.Sleep(10 * time.Second)
			}
			value := fmt.Sprint("1:round ", round)
			require.NoError(t, f.nodes[0].Publish("k", []byte(value[2:])))
			for _, n := range f.nodes {
				n.await(t, 10*time.Second, func() bool { return slices.Contains(n.facts("k"), value) })
				require.Equal(t, 3, n.count(gossip.Alive))
			}
		}
		require.Zero(t, deaths.Load())
		require.ErrorContains(t, f.nodes[0].SetKeys(nil), "start the node anew")
		require.ErrorContains(t, f.nodes[0].SetKeys([][]byte{{1}}), "has 1 bytes")
		f.edit = func(o *gossip.Options) { o.Keys = [][]byte{old} }
		late := f.start(4, "h4", "h1:11015")
		time.Sleep(time.Minute)
		require.Equal(t, 1, late.count(gossip.Alive), "it has only the old key")
	})
}

// deathCounter counts members that are taken for dead.
type deathCounter struct {
	slog.Handler
	deaths *atomic.Int64
}

func (d *deathCounter) Enabled(context.Context, slog.Level) bool { return true }

func (d *deathCounter) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "state" && a.Value.String() == "dead" {
			d.deaths.Add(1)
		}
		return true
	})
	return nil
}

// Where keys do not fit, both sides say what is wrong, and not with each packet.
func TestKeysThatDoNotFit(t *testing.T) {
	a, b := [][]byte{make([]byte, 32)}, [][]byte{[]byte("0123456789abcdef")}
	for name, c := range map[string]struct {
		there, joins [][]byte
		says, hears  string
	}{
		"only one has": {a, nil, "it gossips without a key, and this node has keys", "it gossips with a key, and this node has none"},
		"the other":    {nil, a, "it gossips with a key, and this node has none", "it gossips without a key, and this node has keys"},
		"another":      {a, b, "it gossips with a key that this node does not have", "it gossips with a key that this node does not have"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1)
				var said [2]lines
				for i, keys := range [][][]byte{c.there, c.joins} {
					f.edit = func(o *gossip.Options) {
						o.Keys, o.Logger = keys, slog.New(slog.NewTextHandler(&said[i], nil))
					}
					f.start(i+1, fmt.Sprint("h", i+1), "h1:11015")
				}
				time.Sleep(time.Minute)
				for i, words := range []string{c.says, c.hears} {
					text := said[i].String()
					require.Contains(t, text, words)
					require.Less(t, strings.Count(text, "level=WARN"), 20, text)
					require.Equal(t, 1, f.nodes[i].count(gossip.Alive))
				}
			})
		})
	}
}

// lines collects what a node says.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// What ten nodes send while nothing happens, with a placement among their facts.
func TestIdleTraffic(t *testing.T) {
	sizes := []int{10}
	if *large {
		sizes = append(sizes, 30, 100)
	}
	for _, nodes := range sizes {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) { testIdleTraffic(t, nodes) })
	}
}

func testIdleTraffic(t *testing.T, nodes int) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 5 << 10
		f := fleetOf(t, nodes)
		require.NoError(t, f.nodes[0].Publish("placement", make([]byte, 1300)))
		for _, n := range f.nodes {
			require.NoError(t, n.Publish("state", make([]byte, 100)))
		}
		time.Sleep(time.Minute)

		const span = 5 * time.Minute
		before := make([]simnet.Traffic, nodes)
		for i, n := range f.nodes {
			before[i] = f.net.Host(n.host).Sent()
		}
		time.Sleep(span)
		var most, payload, total float64
		for i, n := range f.nodes {
			now := f.net.Host(n.host).Sent()
			packets := float64(now.Packets - before[i].Packets)
			bytes := float64(now.PacketBytes - before[i].PacketBytes + now.StreamBytes - before[i].StreamBytes)
			dials := float64(now.Dials - before[i].Dials)
			// IP and UDP take 28 bytes of a packet; a connection some 10 segments of 52, both ways.
			sent := (bytes + packets*28 + dials*2*10*52) / span.Seconds()
			most, total, payload = max(most, sent), total+sent, payload+bytes/span.Seconds()
		}
		t.Logf("each of %d nodes sends %.0f B/s on average (%.0f without headers), the busiest %.0f B/s",
			nodes, total/float64(nodes), payload/float64(nodes), most)
		require.Less(t, most, float64(limit))
	})
}

// A network that is slow and loses packets, yet works, kills nobody.
func TestNoFalseDeaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleetOf(t, 5)
		f.net.DelayAll(70*time.Millisecond, 130*time.Millisecond)
		f.net.LossAll(0.03)
		for end := time.After(time.Minute); ; {
			select {
			case <-f.nodes[0].Changed():
				require.Zero(t, f.nodes[0].count(gossip.Dead))
			case <-end:
				return
			}
		}
	})
}
