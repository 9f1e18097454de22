package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/gossip"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/simnet"
	"github.com/barograph-db/barograph/storage/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probesEnd is how long memberlist may still be waiting for an answer after it was shut down.
const probesEnd = 10 * time.Second

// fleet are nodes on one network, inside a bubble.
type fleet struct {
	t     *testing.T
	net   *simnet.Network
	disks map[int]*vfs.MemFS
	nodes map[int]*testNode
	edit  func(*cluster.Options)
}

type testNode struct {
	*cluster.Cluster
	cancel context.CancelFunc
	ended  chan error
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{
		t: t, net: simnet.New(1), disks: map[int]*vfs.MemFS{}, nodes: map[int]*testNode{},
		edit: func(*cluster.Options) {},
	}
	f.net.DelayAll(100*time.Microsecond, time.Millisecond)
	t.Cleanup(func() {
		for i := range f.nodes {
			f.stop(i)
		}
		time.Sleep(probesEnd)
	})
	return f
}

func nodeID(i int) placement.NodeID { return placement.NodeID{15: byte(i)} }

func nodeOf(i int) placement.Node { return placement.Node{ID: nodeID(i), Name: fmt.Sprint("n", i)} }

// start starts node i, on the disk that it has or a new one, joined to others.
func (f *fleet) start(i int, join ...int) *testNode {
	f.t.Helper()
	host := f.net.Host(fmt.Sprint("host", i))
	if f.disks[i] == nil {
		f.disks[i] = vfs.NewMem()
		require.NoError(f.t, f.disks[i].MkdirAll("data", 0o755))
	}
	opts := cluster.Options{
		Name: "test", Node: placement.Node{ID: nodeID(i), Name: fmt.Sprint("n", i), Zone: fmt.Sprint("z", i)},
		AdvertiseHost: host.IP().String(), Shards: 16, Dir: "data", FS: f.disks[i], Network: host,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, j := range join {
		opts.Join = append(opts.Join, net.JoinHostPort(f.net.Host(fmt.Sprint("host", j)).IP().String(), "11015"))
	}
	f.edit(&opts)
	c, err := cluster.New(opts)
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(f.t.Context())
	n := &testNode{Cluster: c, cancel: cancel, ended: make(chan error, 1)}
	go func() { n.ended <- c.Run(ctx) }()
	f.nodes[i] = n
	return n
}

func (f *fleet) stop(i int) {
	f.t.Helper()
	f.nodes[i].cancel()
	require.NoError(f.t, <-f.nodes[i].ended)
	delete(f.nodes, i)
}

// kill ends a node as kill -9 does; what it had on disk stays.
func (f *fleet) kill(i int) {
	f.net.Kill(fmt.Sprint("host", i))
	f.nodes[i].cancel()
	<-f.nodes[i].ended
	delete(f.nodes, i)
}

// eventually waits for a condition, in the time of the bubble.
func (f *fleet) eventually(within time.Duration, what string, condition func() bool) {
	f.t.Helper()
	for end := time.Now().Add(within); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			for i, n := range f.nodes {
				f.t.Logf("node %d: %+v", i, n.Status())
			}
			f.t.Fatalf("%s: not within %s", what, within)
		}
	}
}

// agreed reports whether all nodes have the same placement, with so many nodes, and one leader.
func (f *fleet) agreed(nodes int) bool {
	var epoch uint64
	leader := ""
	for _, n := range f.nodes {
		p, s := n.Placement(), n.Status()
		if p == nil || len(p.Nodes) != nodes || epoch != 0 && p.Epoch != epoch || s.Leader == "" || leader != "" && s.Leader != leader {
			return false
		}
		epoch, leader = p.Epoch, s.Leader
	}
	return true
}

// voters is how many nodes vote, as node i knows.
func (f *fleet) voters(i int) int {
	voters := 0
	for _, n := range f.nodes[i].Status().Nodes {
		if n.Voter {
			voters++
		}
	}
	return voters
}

// state is that of node j in the placement, as node i knows.
func (f *fleet) state(i, j int) string {
	for _, n := range f.nodes[i].Status().Nodes {
		if n.ID == nodeID(j).String() {
			return n.State
		}
	}
	return ""
}

func TestOneNodeFoundsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		n := f.start(1)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.NoError(t, n.Wait(ctx))
		s := n.Status()
		require.Equal(t, 16, s.Shards)
		require.Zero(t, s.Unwritable)
		require.Len(t, s.Nodes, 1)
		require.Equal(t, 16, s.Nodes[0].Replicas)

		f.stop(1)
		again := f.start(1)
		require.Equal(t, uint64(1), again.Placement().Epoch, "what was agreed upon is known from the start")
	})
}

// Three nodes that expect each other found one region, without anything to move.
func TestThreeExpectEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.edit = func(o *cluster.Options) { o.BootstrapExpect = 3 }
		f.start(1, 1, 2, 3)
		f.start(2, 1, 2, 3)
		time.Sleep(20 * time.Second)
		require.Nil(t, f.nodes[1].Placement(), "two are not three")
		f.start(3, 1, 2, 3)
		f.eventually(20*time.Second, "the region is founded", func() bool { return f.agreed(3) })
		s := f.nodes[2].Status()
		require.Zero(t, s.Moving+s.Waiting+s.Thin)
		for _, n := range s.Nodes {
			require.Equal(t, 16, n.Replicas, "three replicas on three nodes")
			require.Equal(t, "alive", n.Health)
		}
		f.eventually(30*time.Second, "all three vote", func() bool { return f.voters(1) == 3 })
	})
}

// Nodes that join are taken in; when the leader dies another leads, and after the hold time the
// dead one is given up; when it is back it is one of them again.
func TestLeaderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start(1)
		f.start(2, 1)
		f.start(3, 1)
		f.eventually(20*time.Second, "all are taken in", func() bool { return f.agreed(3) })
		f.eventually(20*time.Second, "all vote", func() bool { return f.voters(1) == 3 })
		require.Equal(t, nodeID(1).String(), f.nodes[1].Status().Leader)
		f.kill(1)
		f.eventually(10*time.Second, "another leads", func() bool {
			return f.agreed(3) && f.nodes[2].Status().Leader != nodeID(1).String()
		})
		f.eventually(5*time.Second, "its death is noticed", func() bool { return !f.nodes[2].Alive(nodeID(1)) })
		state := func() string { return f.state(2, 1) }
		time.Sleep(4 * time.Minute)
		require.Equal(t, "active", state(), "it may come back")
		f.eventually(2*time.Minute, "it is given up", func() bool { return state() == "lost" })
		f.start(1, 2)
		f.eventually(20*time.Second, "it is back", func() bool { return f.agreed(3) && state() == "active" })
	})
}

// A leader that has not heard of a node since it started itself gives it the same time as one that has.
func TestUnheardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.edit = func(o *cluster.Options) { o.BootstrapExpect = 3 }
		for i := 1; i <= 3; i++ {
			f.start(i, 1, 2, 3)
		}
		f.eventually(30*time.Second, "the region is founded", func() bool { return f.agreed(3) })
		f.eventually(30*time.Second, "all three vote", func() bool { return f.voters(1) == 3 })
		f.kill(1)
		f.stop(2)
		f.stop(3)
		f.start(2, 1, 2, 3)
		f.start(3, 1, 2, 3)
		f.eventually(30*time.Second, "there is a leader", func() bool { return f.agreed(3) })
		time.Sleep(4 * time.Minute)
		require.Equal(t, 3, f.voters(2), "it may come back")
		state := func() string { return f.state(2, 1) }
		require.Equal(t, "active", state())
		f.eventually(3*time.Minute, "it is given up", func() bool { return state() == "lost" })
	})
}

// Without a quorum what was agreed upon stays known, also after a restart; only changes wait.
func TestWithoutQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.edit = func(o *cluster.Options) { o.BootstrapExpect = 3 }
		for i := 1; i <= 3; i++ {
			f.start(i, 1, 2, 3)
		}
		f.eventually(30*time.Second, "the region is founded", func() bool { return f.agreed(3) })
		f.kill(1)
		f.kill(2)
		f.stop(3)
		n := f.start(3, 1, 2, 3)
		require.NotNil(t, n.Placement())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.Error(t, n.Drain(ctx, "n1"))
		f.start(1, 1, 2, 3)
		f.eventually(30*time.Second, "changes go on", func() bool { return n.Drain(t.Context(), "n2") == nil })
	})
}

// Two regions of one name, each founded by itself, do not mix.
func TestRegionsDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start(1)
		f.eventually(20*time.Second, "one is founded", func() bool { return f.agreed(1) })
		f.start(2)
		f.eventually(20*time.Second, "another is founded", func() bool { return f.nodes[2].Placement() != nil })
		f.stop(2)
		f.start(2, 1)
		time.Sleep(time.Minute)
		require.Len(t, f.nodes[1].Placement().Nodes, 1)
		require.Len(t, f.nodes[2].Placement().Nodes, 1)
		require.NotEqual(t, f.nodes[1].Status().RegionID, f.nodes[2].Status().RegionID)
	})
}

// A node that speaks no common version of the protocol is shown and not taken in, and the log says so.
func TestIncompatibleNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var said bytes.Buffer
		var lock sync.Mutex
		f.edit = func(o *cluster.Options) {
			o.Logger = slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
				lock.Lock()
				defer lock.Unlock()
				return said.Write(b)
			}), nil))
		}
		n := f.start(1)
		f.eventually(10*time.Second, "the region is founded", func() bool { return f.agreed(1) })
		host := f.net.Host("host2")
		pool, err := gossip.New(gossip.Options{
			Cluster: "test", Node: nodeID(2), Name: "later", Software: "9.0.0", Protocol: 9, LowestProtocol: 8, RPCAddr: ":11014",
			Listen: host.IP().String() + ":11015", Network: host, Logger: slog.New(slog.DiscardHandler),
			Join: []string{f.net.Host("host1").IP().String() + ":11015"},
		})
		require.NoError(t, err)
		require.NoError(t, pool.Publish("region", make([]byte, 17))) // Of no region yet.
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- pool.Run(ctx) }()
		f.eventually(20*time.Second, "it is seen", func() bool { return len(n.Status().Nodes) == 2 })
		time.Sleep(30 * time.Second)
		for _, s := range n.Status().Nodes {
			require.Equal(t, s.Name == "later", s.Incompatible)
			require.Equal(t, s.Name == "later", s.State == "outside")
		}
		require.Len(t, n.Placement().Nodes, 1)
		stop()
		require.NoError(t, <-ended)
		lock.Lock()
		defer lock.Unlock()
		require.Equal(t, 1, strings.Count(said.String(), "speak no common version of the protocol"), said.String())
		require.Contains(t, said.String(), `speaks="versions 8 to 9, software 9.0.0" own="version 1"`)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestOperatorsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.edit = func(o *cluster.Options) { o.BootstrapExpect = 3 }
		for i := 1; i <= 3; i++ {
			f.start(i, 1, 2, 3)
		}
		f.eventually(30*time.Second, "the region is founded", func() bool { return f.agreed(3) })
		require.ErrorIs(t, f.nodes[2].Drain(t.Context(), "nobody"), cluster.ErrUnknownNode)
		require.NoError(t, f.nodes[2].Drain(t.Context(), "n3"), "any node takes an operator's word")
		require.ErrorIs(t, f.nodes[3].Remove(t.Context(), nodeID(1).String(), false), cluster.ErrAlive)
		f.kill(3)
		f.eventually(10*time.Second, "its death is noticed", func() bool { return !f.nodes[2].Alive(nodeID(3)) })
		f.eventually(20*time.Second, "it is removed", func() bool { return f.nodes[2].Remove(t.Context(), "n3", false) == nil })
		f.eventually(10*time.Second, "all know", func() bool { return f.agreed(2) })
	})
}

// The vote of a node that is removed goes to another at once, not when it has been dead for long: else
// the next to die might take the quorum along.
func TestARemovedNodesVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.edit = func(o *cluster.Options) { o.BootstrapExpect = 4 }
		for i := 1; i <= 4; i++ {
			f.start(i, 1, 2, 3, 4)
		}
		f.eventually(30*time.Second, "the region is founded", func() bool { return f.agreed(4) })
		voters := func(at int) (names []string) {
			for _, n := range f.nodes[at].Status().Nodes {
				if n.Voter {
					names = append(names, n.Name)
				}
			}
			return names
		}
		f.eventually(30*time.Second, "three vote", func() bool { return len(voters(1)) == 3 })
		gone := 0
		for i := 4; i > 0 && gone == 0; i-- {
			if name := fmt.Sprint("n", i); slices.Contains(voters(1), name) && f.nodes[1].Status().Leader != nodeID(i).String() {
				gone = i
			}
		}
		at := 1 + gone%4
		f.kill(gone)
		f.eventually(20*time.Second, "it is removed", func() bool { return f.nodes[at].Remove(t.Context(), fmt.Sprint("n", gone), true) == nil })
		f.eventually(20*time.Second, "another votes", func() bool {
			names := voters(at)
			return len(names) == 3 && !slices.Contains(names, fmt.Sprint("n", gone))
		})
	})
}

// A node that is new fills its replicas: once all know of it, it says how far it is, and that they are whole.
func TestReplicasAreFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start(1)
		f.eventually(20*time.Second, "one is founded", func() bool { return f.agreed(1) })
		f.start(2, 1)
		f.eventually(20*time.Second, "moves begin", func() bool { return f.agreed(2) && f.nodes[2].Status().Moving == 16 })
		since, all := f.nodes[2].Placement().Epoch, make([]series.Shard, 16)
		for i := range all {
			all[i] = series.Shard(i)
		}
		require.False(t, f.nodes[2].ShutOut(since, all))
		require.NoError(t, f.nodes[2].Follow(f.nodes[2].Placement()))
		require.False(t, f.nodes[2].ShutOut(since, all), "it is not whole")
		require.NoError(t, f.nodes[1].Follow(f.nodes[1].Placement()))
		f.eventually(20*time.Second, "it is told", func() bool { return f.nodes[2].ShutOut(since, all) })
		told := cluster.Filling{Shards: 16, DaysDone: 3, DaysLeft: 28, Bytes: 1 << 33, Samples: 1 << 34}
		require.NoError(t, f.nodes[2].PublishFilling(told))
		f.eventually(20*time.Second, "others see how far it is", func() bool {
			for _, n := range f.nodes[1].Status().Nodes {
				if n.Name == "n2" && n.Copy != nil && n.Filling == 16 {
					return *n.Copy == told
				}
			}
			return false
		})
		shards := make([]series.Shard, 16)
		for i := range shards {
			shards[i] = series.Shard(i)
		}
		require.NoError(t, f.nodes[2].Filled(t.Context(), shards[:4]))
		require.Equal(t, 12, f.nodes[2].Status().Moving, "it knows at once")
		require.NoError(t, f.nodes[2].Filled(t.Context(), shards), "those that are whole stay so")
		require.NoError(t, f.nodes[1].Filled(t.Context(), shards), "what does not fill is nothing to be agreed upon")
		f.eventually(20*time.Second, "all are whole", func() bool { return f.nodes[1].Status().Moving == 0 && f.nodes[1].Status().Thin == 0 })

		// What a node has said holds when it is dead, and when it is back with what it had on disk.
		f.kill(1)
		f.eventually(20*time.Second, "its death is noticed", func() bool { return !f.nodes[2].Alive(nodeID(1)) })
		require.True(t, f.nodes[2].ShutOut(since, all[:0]))
		f.start(1, 2)
		require.GreaterOrEqual(t, f.nodes[1].Placement().Epoch, since)
	})
}
