package gossip

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares bytes with those in hex in a file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(hex.Dump(got)), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), hex.Dump(got))
}

func node(i byte) placement.NodeID { return placement.NodeID{0xba, 15: i} }

var fullMetadata = metadata{
	protocol: 3, lowest: 2, weight: 70000, started: 1_767_225_600_000,
	rpcAddr: "10.0.0.1:11014", name: "node-1", zone: "a", region: "north", software: "0.4.0",
}

func TestMetadata(t *testing.T) {
	b, err := fullMetadata.encode()
	require.NoError(t, err)
	golden(t, "metadata.v1", b)
	got, err := decodeMetadata(append(b, "what later versions add"...))
	require.NoError(t, err)
	require.Equal(t, fullMetadata, got)
	for i := range b {
		_, err := decodeMetadata(b[:i])
		require.Error(t, err)
	}
	m := fullMetadata
	m.zone = strings.Repeat("z", memberlist.MetaMaxSize-len(b))
	_, err = m.encode()
	require.NoError(t, err, "one more character, of which there was one, and a byte of length")
	m.zone += "zzz"
	_, err = m.encode()
	require.ErrorContains(t, err, "must be up to 512")
}

func TestFactBytes(t *testing.T) {
	list := []Fact{
		{Node: node(1), Version: 1_767_225_600_000_000, Key: "placement", Value: []byte("bytes")},
		{Node: node(2), Version: 7, Key: "gaps", Value: []byte{}},
	}
	b := []byte{factsVersion}
	for i := range list {
		b = appendFact(b, &list[i])
	}
	golden(t, "facts.v1", b)
	got, err := decodeFacts(b)
	require.NoError(t, err)
	require.Equal(t, list, got)
	for _, bad := range [][]byte{nil, {2}, b[:len(b)-1], append(b, 0), encodeFact(&Fact{}), encodeFact(&Fact{Key: strings.Repeat("k", 65)})} {
		_, err := decodeFacts(bad)
		require.Error(t, err, "%x", bad)
	}
}

func FuzzMetadata(f *testing.F) {
	b, err := fullMetadata.encode()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMetadata(b)
		if err != nil {
			return
		}
		again, err := m.encode()
		require.NoError(t, err)
		got, err := decodeMetadata(again)
		require.NoError(t, err)
		require.Equal(t, m, got)
	})
}

func FuzzFacts(f *testing.F) {
	f.Add(encodeFact(&Fact{Node: node(1), Version: 5, Key: "k", Value: []byte("v")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeFacts(b)
		if err != nil {
			return
		}
		again := []byte{factsVersion}
		for i := range list {
			again = appendFact(again, &list[i])
		}
		require.LessOrEqual(t, len(again), len(b))
		got, err := decodeFacts(again)
		require.NoError(t, err)
		require.Equal(t, list, got)
	})
}

func TestFactsMerge(t *testing.T) {
	self, other := node(1), node(2)
	fs := newFacts(self)
	now := time.UnixMicro(1000)
	merge := func(node placement.NodeID, key string, version uint64, value string) (told Fact, news bool) {
		t.Helper()
		told, news, err := fs.merge(Fact{Node: node, Version: version, Key: key, Value: []byte(value)})
		require.NoError(t, err)
		return told, news
	}
	_, news := merge(other, "k", 5, "five")
	require.True(t, news)
	_, news = merge(other, "k", 5, "other five")
	require.False(t, news, "the same version")
	_, news = merge(other, "k", 4, "four")
	require.False(t, news)
	require.Equal(t, "five", string(fs.list("k")[0].Value))

	// An earlier life of this node, whose clock was ahead, is remembered by the others.
	merge(self, "k", 5000, "past")
	require.Len(t, fs.list("k"), 2, "what it published stands")
	f, err := fs.publish("k", []byte("present"), now)
	require.NoError(t, err)
	require.EqualValues(t, 5001, f.Version)
	f, err = fs.publish("new", []byte("present"), now)
	require.NoError(t, err)
	require.EqualValues(t, 1000, f.Version)
	told, news := merge(self, "new", 7000, "past")
	require.True(t, news)
	require.EqualValues(t, 7001, told.Version)
	require.Equal(t, "present", string(told.Value))
	_, news = merge(self, "new", 7001, "present")
	require.False(t, news)
	_, _, err = fs.merge(Fact{Node: self, Version: 1<<64 - 1, Key: "new"})
	require.Error(t, err)

	_, err = fs.publish("k", nil, now)
	require.NoError(t, err)
	require.Len(t, fs.list("k"), 1)
	fs.forget(self)
	fs.forget(other)
	require.Zero(t, fs.bytes)
}

func TestFactsAreBounded(t *testing.T) {
	fs := newFacts(node(1))
	_, err := fs.publish("k", make([]byte, MaxFactBytes), time.Now())
	require.Error(t, err)
	for i := range MaxFacts {
		_, err := fs.publish(fmt.Sprint(i), make([]byte, MaxFactBytes/MaxFacts-2), time.Now())
		require.NoError(t, err)
	}
	_, err = fs.publish("more", nil, time.Now())
	require.ErrorIs(t, err, errTooManyFacts)
	_, err = fs.publish(leavingKey, []byte("1"), time.Now())
	require.NoError(t, err, "a node may always leave")
	_, err = fs.publish("1", make([]byte, MaxFactBytes/2), time.Now())
	require.ErrorIs(t, err, errTooManyFactBytes)

	for i := range 200 { // More than one exchange may carry.
		_, _, err := fs.merge(Fact{Node: node(byte(i + 2)), Version: 1, Key: "k", Value: make([]byte, 60<<10)})
		require.NoError(t, err)
	}
	b := fs.encode(func(placement.NodeID) bool { return true })
	require.InDelta(t, maxState, len(b), 64<<10)
	require.LessOrEqual(t, len(b), maxState)
	list, err := decodeFacts(b)
	require.NoError(t, err)
	for i := range MaxFacts {
		require.Equal(t, node(1), list[i].Node, "the own first")
	}
}

// The largest fact for packets fits one beside the longest name of a cluster and encryption.
func TestPacketFactFits(t *testing.T) {
	const label, encryption, crc, compound, user = 2 + maxClusterName, 45, 5, 2 + 2, 1
	require.LessOrEqual(t, maxPacketFact+label+encryption+crc+compound+user, memberlist.DefaultLANConfig().UDPBufferSize)
}

func TestTargets(t *testing.T) {
	addr := func(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:11015", i)) }
	member := func(i int, s State) Member { return Member{GossipAddr: addr(i).String(), State: s} }
	keepOrder := func(int, func(int, int)) {}
	seeds := func(n int) (list []netip.AddrPort) {
		for i := range n {
			list = append(list, addr(i+1))
		}
		return list
	}
	for name, c := range map[string]struct {
		s    situation
		want []netip.AddrPort
	}{
		"alone":           {situation{seeds: []netip.AddrPort{addr(2), addr(1), addr(2)}}, []netip.AddrPort{addr(2)}},
		"many":            {situation{seeds: seeds(40)}, seeds(17)[1:]},
		"together":        {situation{seeds: seeds(3), members: []Member{member(1, Alive), member(2, Alive), member(3, Alive)}}, nil},
		"dead and left":   {situation{members: []Member{member(2, Alive), member(3, Dead), member(4, Left)}}, []netip.AddrPort{addr(3)}},
		"few when joined": {situation{seeds: seeds(40), members: []Member{member(2, Alive)}}, seeds(5)[2:]},
		"rivals":          {situation{rivals: true, members: []Member{member(1, Alive), member(2, Alive), member(3, Dead)}}, []netip.AddrPort{addr(3), addr(2)}},
		"left":            {situation{left: true, members: []Member{member(3, Dead)}}, nil},
	} {
		c.s.self = addr(1)
		require.ElementsMatch(t, c.want, c.s.targets(keepOrder), name)
	}
}

func TestPause(t *testing.T) {
	require.Equal(t, 800*time.Millisecond, pause(true, 1, 0))
	require.Equal(t, 4*time.Second, pause(true, 3, 0.5))
	require.Equal(t, 18*time.Second, pause(true, 1000, 1))
	require.Equal(t, 15*time.Second, pause(false, 1, 0.5))
}

func TestIsFirst(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:1")
	require.True(t, (&rival{addr: b, started: 1}).isFirst(2, a))
	require.False(t, (&rival{addr: b, started: 3}).isFirst(2, a))
	require.True(t, (&rival{addr: a, started: 2}).isFirst(2, b))
	require.False(t, (&rival{addr: b, started: 2}).isFirst(2, a))
}

func TestPreferred(t *testing.T) {
	for want, addrs := range map[string][]string{
		"10.1.2.3":    {"127.0.0.1/8", "203.0.113.7/24", "fd00::1/64", "10.1.2.3/16"},
		"203.0.113.7": {"127.0.0.1/8", "fe80::1/64", "203.0.113.7/24"},
		"fd00::1":     {"203.0.113.7/24", "fd00::1/64"},
		"127.0.0.1":   {"::1/128", "127.0.0.1/8"},
		"127.0.0.2":   {"127.0.0.2/8"},
	} {
		var list []net.Addr
		for _, a := range addrs {
			ip, network, err := net.ParseCIDR(a)
			require.NoError(t, err)
			list = append(list, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		require.Equal(t, want, preferred(list).String())
	}
	require.Equal(t, "127.0.0.1", preferred(nil).String())
}

func TestOptions(t *testing.T) {
	good := Options{Cluster: "c", Node: node(1), RPCAddr: ":1", Join: []string{"dns+a.b", "dns+a.b:7", "1.2.3.4:5", "[::1]:6"}}
	_, err := New(good)
	require.NoError(t, err)
	for want, edit := range map[string]func(*Options){
		"cluster name":         func(o *Options) { o.Cluster = strings.Repeat("x", 65) },
		"node ID is missing":   func(o *Options) { o.Node = placement.NodeID{} },
		"missing port":         func(o *Options) { o.RPCAddr = "host" },
		"address to join":      func(o *Options) { o.Join = []string{"host"} },
		"must be HOST:PORT or": func(o *Options) { o.Join = []string{"dns+host:x"} },
		"has 3 bytes":          func(o *Options) { o.Keys = [][]byte{[]byte("abc")} },
		"must be up to 512":    func(o *Options) { o.Zone = strings.Repeat("z", 500) },
		"must be 1 min":        func(o *Options) { o.ForgetDead = 1 },
		"65 addresses to join": func(o *Options) { o.Join = make([]string, 65) },
	} {
		o := good
		edit(&o)
		_, err := New(o)
		require.ErrorContains(t, err, want)
	}
}

func TestAdmit(t *testing.T) {
	p, err := New(Options{Cluster: "c", Node: node(1), RPCAddr: ":1"})
	require.NoError(t, err)
	meta, err := fullMetadata.encode()
	require.NoError(t, err)
	n := &memberlist.Node{Name: node(2).String(), Meta: meta}
	require.NoError(t, p.admit(n))
	require.Error(t, p.admit(&memberlist.Node{Name: "host-7", Meta: meta}))
	require.Error(t, p.admit(&memberlist.Node{Name: node(2).String(), Meta: bytes.Repeat([]byte{1}, 600)}))
	for i := range maxMembers {
		p.mu.members[placement.NodeID{1, byte(i), byte(i >> 8)}] = Member{}
	}
	require.ErrorContains(t, p.admit(n), "4096 members already")
}
