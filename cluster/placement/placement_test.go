package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

func id(i int) NodeID { return NodeID{15: byte(i), 14: byte(i >> 8), 0: 1} }

// fleet makes nodes over so many zones.
func fleet(nodes, zones int) []Node {
	all := make([]Node, nodes)
	for i := range all {
		all[i] = Node{ID: id(i), Name: fmt.Sprintf("n%d", i), Zone: fmt.Sprintf("z%d", i%zones), Weight: 1}
	}
	return all
}

func found(t testing.TB, bits uint8, factor int, nodes []Node) *Placement {
	t.Helper()
	p, err := Found(bits, factor, nodes)
	require.NoError(t, err)
	return p
}

// settle makes all moves, and counts them.
func settle(t testing.TB, p *Placement) (*Placement, int) {
	t.Helper()
	moves := 0
	for {
		next := p.Next(4)
		require.NoError(t, next.Validate())
		under := next.Moves()
		if next == p && len(under) == 0 {
			return p, moves
		}
		for _, m := range under {
			var err error
			next, err = next.Filled(m.To, m.Shard)
			require.NoError(t, err)
			moves++
		}
		p = next
	}
}

// checkSpread asserts that a placement at rest has all replicas, spread over zones and by weight.
func checkSpread(t testing.TB, p *Placement) {
	t.Helper()
	require.NoError(t, p.Validate())
	b := newBoard(p)
	for s := range p.Shards {
		whole, filling := p.Replicas(series.Shard(s))
		require.Nil(t, filling)
		require.Len(t, whole, p.wanted(), "shard %d\n%v", s, p)
		for z := range b.zones {
			n := b.inZone(s, z)
			require.True(t, b.zones[z].least <= n && n <= b.zones[z].most, "shard %d, zone %s has %d of %d to %d\n%v",
				s, b.zones[z].name, n, b.zones[z].least, b.zones[z].most, p)
		}
	}
	for n := range b.ids {
		require.Zero(t, b.surplus(n), "node %s holds %d, its share is %d\n%v", b.ids[n], len(b.on[n]), b.quota[n], p)
	}
}

func TestFound(t *testing.T) {
	for _, c := range []struct{ nodes, zones, factor int }{
		{1, 1, 3}, {2, 1, 3}, {3, 1, 3}, {3, 3, 3}, {4, 1, 3}, {5, 2, 3}, {7, 3, 3}, {9, 3, 2}, {10, 5, 3}, {5, 1, 1}, {6, 2, 4}, {8, 3, 5},
	} {
		checkSpread(t, found(t, 6, c.factor, fleet(c.nodes, c.zones)))
	}
}

func TestQuorum(t *testing.T) {
	for nodes, want := range map[int]int{1: 1, 2: 2, 3: 2, 5: 2} {
		require.Equal(t, want, found(t, 2, 3, fleet(nodes, 1)).Quorum(1))
	}
}

// A node that joins gets its share, and nothing else moves.
func TestJoinMovesTheLeast(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 4, 7, 16} {
		for _, zones := range []int{1, 2, 3} {
			p := found(t, 8, 3, fleet(nodes, zones))
			joined, err := p.Join(fleet(nodes+1, zones)[nodes])
			require.NoError(t, err)
			p, moves := settle(t, joined)
			checkSpread(t, p)
			all, _ := p.Holding(id(nodes))
			if zones == 1 {
				require.Equal(t, all, moves, "%d nodes", nodes)
			} else { // A zone that gets a node may be due more than before.
				require.LessOrEqual(t, moves, all+all/2, "%d nodes, %d zones", nodes, zones)
			}
		}
	}
}

// What a node held that drains or is lost goes to the others, and no more.
func TestLeaveMovesTheLeast(t *testing.T) {
	leave := map[string]func(*Placement, NodeID) (*Placement, error){"drain": (*Placement).Drain, "lose": (*Placement).Lose}
	for name, step := range leave {
		p := found(t, 8, 3, fleet(7, 1))
		held, _ := p.Holding(id(2))
		p, err := step(p, id(2))
		require.NoError(t, err)
		require.Len(t, p.Left(), held)
		p, moves := settle(t, p)
		require.Equal(t, held, moves, name)
		all, _ := p.Holding(id(2))
		require.Zero(t, all)
		checkSpread(t, p)
		p, err = p.Remove(id(2), false)
		require.NoError(t, err)
		require.Len(t, p.Nodes, 6)
		checkSpread(t, p)
	}
}

// Of three nodes with three replicas one is lost: there is nobody to take over, so it stays counted,
// and is as before when it comes back.
func TestLostWithoutOthersStays(t *testing.T) {
	p := found(t, 4, 3, fleet(3, 1))
	before := p.Shards
	lost, err := p.Lose(id(1))
	require.NoError(t, err)
	p, moves := settle(t, lost)
	require.Zero(t, moves)
	require.Equal(t, before, p.Shards)
	p, err = p.Join(fleet(3, 1)[1])
	require.NoError(t, err)
	checkSpread(t, p)
	// One that drains leaves nevertheless.
	p, err = p.Drain(id(1))
	require.NoError(t, err)
	p, moves = settle(t, p)
	require.Zero(t, moves)
	checkSpread(t, p)
}

func TestRemove(t *testing.T) {
	p := found(t, 4, 1, fleet(3, 1))
	_, err := p.Remove(id(1), false)
	require.ErrorIs(t, err, ErrLastReplica)
	forced, err := p.Remove(id(1), true)
	require.NoError(t, err)
	forced, _ = settle(t, forced)
	checkSpread(t, forced)
	_, err = p.Remove(id(9), false)
	require.ErrorIs(t, err, ErrUnknownNode)
}

// The most urgent moves come first: of shards that have but one living replica.
func TestUrgency(t *testing.T) {
	p := found(t, 6, 2, fleet(6, 1))
	var err error
	for _, n := range []int{0, 1} {
		p, err = p.Lose(id(n))
		require.NoError(t, err)
	}
	alive := func(m Move) (n int) {
		for _, r := range p.Shards[m.Shard] {
			if r.Node != id(0) && r.Node != id(1) {
				n++
			}
		}
		return n
	}
	require.True(t, slices.IsSortedFunc(p.Left(), func(a, b Move) int { return alive(a) - alive(b) }))
	require.Zero(t, alive(p.Left()[0]))
}

// No node takes part in more moves than it may.
func TestMovesAreFew(t *testing.T) {
	p := found(t, 8, 3, fleet(4, 1))
	p, err := p.Join(fleet(5, 1)[4])
	require.NoError(t, err)
	p = p.Next(2)
	require.Len(t, p.Moves(), 2)
	require.Same(t, p, p.Next(2), "nothing to do until one has ended")
}

// Whatever happens, no shard loses a whole replica unless others are enough, and in the end all is
// spread as it should be.
func TestRandomLife(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		all := fleet(12, 1+rng.IntN(4))
		for i := range all {
			all[i].Weight = 1 + rng.Uint32N(4)
		}
		p := found(t, 5, 1+rng.IntN(4), all[:1+rng.IntN(5)])
		for range 150 {
			next := randomStep(t, p, all, rng)
			require.NoError(t, next.Validate(), "seed %d", seed)
			checkStep(t, p, next)
			p = next
		}
		for i := range p.Nodes { // Nobody stays lost, or there may be nobody to take over.
			var err error
			if p.Nodes[i].State == Lost {
				p, err = p.Join(p.Nodes[i])
				require.NoError(t, err)
			}
		}
		if p.placeable() > 0 {
			p, _ = settle(t, p)
			checkSpread(t, p)
		}
		decoded, err := Decode(p.Append(nil))
		require.NoError(t, err)
		require.Equal(t, p, decoded)
	}
}

// randomStep does something that may be done.
func randomStep(t *testing.T, p *Placement, all []Node, rng *rand.Rand) *Placement {
	var next *Placement
	var err error
	some := p.Nodes[rng.IntN(len(p.Nodes))].ID
	switch rng.IntN(12) {
	case 0, 1:
		next, err = p.Join(all[rng.IntN(len(all))])
	case 2:
		next, err = p.Drain(some)
	case 3:
		next, err = p.Lose(some)
	case 4:
		if next, err = p.Remove(some, false); err != nil {
			require.ErrorIs(t, err, ErrLastReplica)
			return p
		}
	case 5:
		next, err = p.SetFactor(1 + rng.IntN(4))
	case 6, 7, 8:
		next = p.Next(1 + rng.IntN(3))
	default:
		moves := p.Moves()
		if len(moves) == 0 {
			return p
		}
		m := moves[rng.IntN(len(moves))]
		next, err = p.Filled(m.To, m.Shard)
	}
	require.NoError(t, err)
	return next
}

// checkStep asserts what no step may break.
func checkStep(t *testing.T, p, next *Placement) {
	if next == p {
		return
	}
	require.Equal(t, p.Epoch+1, next.Epoch)
	for s := range p.Shards {
		shard := series.Shard(s)
		before, after := p.wholeIDs(shard, NodeID{}), next.wholeIDs(shard, NodeID{})
		require.NotEmpty(t, after)
		gone := slices.DeleteFunc(without(before, after), func(id NodeID) bool {
			_, there := next.Node(id)
			return !there
		})
		came := without(after, before)
		require.LessOrEqual(t, len(gone), 1, "one replica at a time")
		require.LessOrEqual(t, len(came), 1, "one replica at a time")
		if len(gone) == 1 && len(came) == 0 {
			require.GreaterOrEqual(t, len(after), next.wanted())
		}
	}
}
