package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
)

var (
	epochOne = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	regionA  = placement.NodeID{0: 0xa}
	regionB  = placement.NodeID{0: 0xb}
)

func node(i int) placement.Node {
	return placement.Node{ID: placement.NodeID{15: byte(i)}, Name: fmt.Sprint("n", i), Zone: fmt.Sprint("z", i%3), Weight: 1}
}

func alive(i int) member { return member{Node: node(i), alive: true, told: true, since: epochOne} }

func foreign(i int) member {
	m := alive(i)
	m.foreign = "version 9"
	return m
}

func dead(i int, since time.Time) member { return member{Node: node(i), told: true, since: since} }

// silent is a node that has not said which region it is of.
func silent(i int) member { return member{Node: node(i), alive: true, since: epochOne} }

func of(region placement.NodeID, m member) member {
	m.region = region
	return m
}

func TestFound(t *testing.T) {
	for _, tc := range []struct {
		name    string
		self    int
		members []member
		expect  int
		with    int
	}{
		{"alone", 1, []member{alive(1)}, 1, 1},
		{"waits to be taken in", 1, []member{alive(1), alive(2)}, 0, 0},
		{"too few", 1, []member{alive(1), alive(2)}, 3, 0},
		{"who speaks otherwise doesn't count", 1, []member{alive(1), alive(2), foreign(3)}, 3, 0},
		{"the dead don't count", 1, []member{alive(1), alive(2), dead(3, epochOne)}, 3, 0},
		{"the first of enough", 1, []member{alive(1), alive(2), alive(3)}, 3, 3},
		{"not the second", 2, []member{alive(1), alive(2), alive(3)}, 3, 0},
		{"more than enough", 1, []member{alive(1), alive(2), alive(3), alive(4)}, 3, 4},
		{"one that has not told", 1, []member{alive(1), alive(2), silent(3)}, 3, 0},
		{"there is a region", 1, []member{alive(1), alive(2), of(regionA, alive(3))}, 3, 0},
		{"there was one", 1, []member{alive(1), of(regionA, dead(2, epochOne))}, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			with, ok := found(node(tc.self).ID, tc.members, tc.expect)
			require.Equal(t, tc.with > 0, ok)
			if ok {
				require.Len(t, with, tc.with)
			}
		})
	}
}

func TestDecide(t *testing.T) {
	base, err := placement.Found(4, 2, []placement.Node{node(1), node(2), node(3)})
	require.NoError(t, err)
	now := epochOne.Add(time.Hour)
	want := wanted{factor: 2, hold: 5 * time.Minute, moves: 1}
	three := []member{of(regionA, alive(1)), of(regionA, alive(2)), of(regionA, alive(3))}
	with := func(i int, m member) []member {
		list := append([]member(nil), three...)
		list[i-1] = m
		return list
	}
	moved := node(2)
	moved.Zone = "elsewhere"
	for _, tc := range []struct {
		name    string
		members []member
		want    wanted
		why     string
	}{
		{"nothing to do", three, want, ""},
		{"a node that is new", append(three[:3:3], alive(4)), want, "node n4 has joined, is back, or is another than it was"},
		{"one that has not told", append(three[:3:3], silent(4)), want, ""},
		{"one of another region", append(three[:3:3], of(regionB, alive(4))), want, ""},
		{"one in another zone", with(2, member{Node: moved, alive: true, told: true, region: regionA}), want, "node n2 has joined, is back, or is another than it was"},
		{"one away for a moment", with(2, of(regionA, dead(2, now.Add(-5*time.Minute+1)))), want, ""},
		{"one away for long", with(2, of(regionA, dead(2, now.Add(-5*time.Minute)))), want, "node n2 has been away for 5m0s"},
		{"unknown and dead", append(three[:3:3], dead(4, epochOne)), want, ""},
		{"another factor", three, wanted{factor: 3, hold: time.Minute, moves: 1}, "the replication factor is to be 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, ok := decide(now, base, regionA, tc.members, tc.want)
			require.Equal(t, tc.why != "", ok, s.why)
			require.Equal(t, tc.why, s.why)
			if ok {
				require.Equal(t, base.Epoch+1, s.next.Epoch)
			}
		})
	}
}

// Step by step the placement comes to rest, and a node that comes back is active again.
func TestDecideComesToRest(t *testing.T) {
	p, err := placement.Found(4, 2, []placement.Node{node(1), node(2), node(3)})
	require.NoError(t, err)
	now, want := epochOne.Add(time.Hour), wanted{factor: 2, hold: 5 * time.Minute, moves: 1}
	settle := func(members ...member) {
		for range 200 {
			s, ok := decide(now, p, regionA, members, want)
			if !ok {
				moves := p.Moves()
				if len(moves) == 0 {
					return
				}
				if p, err = p.Filled(moves[0].To, moves[0].Shard); err != nil {
					t.Fatal(err)
				}
				continue
			}
			p = s.next
		}
		t.Fatal("it does not come to rest")
	}
	state := func(i int) placement.State {
		n, _ := p.Node(node(i).ID)
		return n.State
	}
	settle(alive(1), alive(2), dead(3, epochOne))
	require.Equal(t, placement.Lost, state(3))
	all, _ := p.Holding(node(3).ID)
	require.Zero(t, all)
	settle(alive(1), alive(2), alive(3))
	require.Equal(t, placement.Active, state(3))
	all, _ = p.Holding(node(3).ID)
	require.InDelta(t, 32.0/3, all, 1)

	p, err = p.Drain(node(1).ID)
	require.NoError(t, err)
	settle(alive(1), alive(2), alive(3))
	require.Equal(t, placement.Draining, state(1), "a node that drains is not taken in again")
	all, _ = p.Holding(node(1).ID)
	require.Zero(t, all)
}
