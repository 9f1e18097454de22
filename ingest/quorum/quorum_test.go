package quorum

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fleet makes nodes a, b, c... over so many zones.
func fleet(nodes, zones int) []placement.Node {
	all := make([]placement.Node, nodes)
	for i := range all {
		all[i] = placement.Node{
			ID: placement.NodeID{1, 15: byte(i)}, Name: string(rune('a' + i)), Zone: fmt.Sprintf("z%d", i%zones), Weight: 1,
		}
	}
	return all
}

func found(t testing.TB, bits uint8, factor int, nodes []placement.Node) *placement.Placement {
	t.Helper()
	p, err := placement.Found(bits, factor, nodes)
	require.NoError(t, err)
	return p
}

// moving is a placement of which some shards have replicas that fill.
func moving(t testing.TB, bits uint8, factor, nodes, zones int) *placement.Placement {
	t.Helper()
	all := fleet(nodes+1, zones)
	p, err := found(t, bits, factor, all[:nodes]).Join(all[nodes])
	require.NoError(t, err)
	return p.Next(4)
}

func TestGolden(t *testing.T) {
	var b strings.Builder
	for _, p := range []*placement.Placement{
		found(t, 3, 3, fleet(1, 1)), found(t, 8, 3, fleet(3, 1)), found(t, 3, 2, fleet(3, 1)), moving(t, 3, 3, 4, 2),
	} {
		table := New(p)
		fmt.Fprintf(&b, "%s\n%s", p, table)
		var s State
		s.Begin(table)
		for g := range table.Groups() {
			s.Use(uint16(g))
		}
		fmt.Fprintf(&b, "begins %s\n%s", s.Outcome(), &s)
		for n := range p.Nodes {
			if n%3 == 1 {
				fmt.Fprintf(&b, "%s fails: %s\n%s", table.Name(uint16(n)), s.Fail(uint16(n)), &s)
			} else {
				fmt.Fprintf(&b, "%s acks: %s\n%s", table.Name(uint16(n)), s.Ack(uint16(n)), &s)
			}
			fmt.Fprintf(&b, "why: %s\n", s.Why())
		}
		b.WriteByte('\n')
	}
	if *update {
		require.NoError(t, os.WriteFile("testdata/quorum.txt", []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile("testdata/quorum.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

// randomPlacement is any that is valid, not only those that steps lead to.
func randomPlacement(rng *rand.Rand) *placement.Placement {
	nodes := fleet(1+rng.IntN(7), 1+rng.IntN(4))
	p := &placement.Placement{Epoch: 1, Bits: uint8(rng.IntN(5)), Factor: 3, Nodes: nodes}
	for range 1 << p.Bits {
		chosen := rng.Perm(len(nodes))
		n := 1 + rng.IntN(min(len(nodes), 5))
		whole := map[int]bool{}
		for _, i := range chosen[:n] {
			whole[i] = true
		}
		var all []placement.Replica
		for i := range nodes {
			if whole[i] {
				all = append(all, placement.Replica{Node: nodes[i].ID})
			}
		}
		if n < len(nodes) && rng.IntN(2) == 0 {
			fills := placement.Replica{Node: nodes[chosen[n]].ID, Filling: true}
			if rng.IntN(2) == 0 {
				fills.For = nodes[chosen[rng.IntN(n)]].ID
			}
			all = append(all, fills)
		}
		p.Shards = append(p.Shards, all)
	}
	return p
}

// enough says by the words of the promise whether the nodes that acknowledged suffice for a shard.
func enough(p *placement.Placement, s series.Shard, acks map[placement.NodeID]bool) bool {
	whole, filling := p.Replicas(s)
	if filling == nil {
		return quorumOf(p, whole, acks)
	}
	next := slices.DeleteFunc(slices.Clone(whole), func(r placement.Replica) bool { return r.Node == filling.For })
	return quorumOf(p, whole, acks) && quorumOf(p, append(next, *filling), acks)
}

func quorumOf(p *placement.Placement, replicas []placement.Replica, acks map[placement.NodeID]bool) bool {
	n, all, those := 0, map[string]bool{}, map[string]bool{}
	for _, r := range replicas {
		node, _ := p.Node(r.Node)
		all[node.Zone] = true
		if acks[r.Node] {
			n++
			those[node.Zone] = true
		}
	}
	quorum := len(replicas)/2 + 1
	return n >= quorum && (quorum == 1 || len(all) == 1 || len(those) > 1)
}

// A write that is acknowledged while a replica fills is on a quorum of the replicas before and after.
func TestFlip(t *testing.T) {
	p := found(t, 0, 3, fleet(3, 1))
	p, err := p.Join(fleet(4, 1)[3])
	require.NoError(t, err)
	p.Shards[0] = append(p.Shards[0], placement.Replica{Node: p.Nodes[3].ID, Filling: true, For: p.Nodes[0].ID})
	require.NoError(t, p.Validate())
	var s State
	s.Begin(New(p))
	s.Use(0)
	s.Ack(0)
	require.Equal(t, Pending, s.Ack(1), "of b, c and d, which count next, only b has it")
	require.Equal(t, Done, s.Ack(3))
}

// oracle tries what every node that has not answered may still say.
func oracle(p *placement.Placement, shards []series.Shard, answers map[placement.NodeID]answer) Outcome {
	var open []placement.NodeID
	acks := map[placement.NodeID]bool{}
	for _, n := range p.Nodes {
		acks[n.ID] = answers[n.ID] == acked
		if answers[n.ID] == waiting {
			open = append(open, n.ID)
		}
	}
	all := func() bool {
		for _, s := range shards {
			if !enough(p, s, acks) {
				return false
			}
		}
		return true
	}
	if all() {
		return Done
	}
	for future := range 1 << len(open) {
		for i, id := range open {
			acks[id] = future>>i&1 == 1
		}
		if all() {
			return Pending
		}
	}
	return Impossible
}

func TestAgainstOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s State
	outcomes := map[Outcome]int{}
	for range 2000 {
		p := randomPlacement(rng)
		require.NoError(t, p.Validate())
		table := New(p)
		for range 2 { // The State begins with the same table, and with others.
			s.Begin(table)
			var shards []series.Shard
			for range rng.IntN(4) {
				shard := series.Shard(rng.IntN(len(p.Shards)))
				shards = append(shards, shard)
				s.Use(table.Group(shard))
			}
			answers := map[placement.NodeID]answer{}
			require.Equal(t, oracle(p, shards, answers), s.Outcome())
			for _, n := range rng.Perm(len(p.Nodes)) {
				answer, answerer := acked, (*State).Ack
				if rng.IntN(3) == 0 {
					answer, answerer = failed, (*State).Fail
				}
				before := s.Outcome()
				answers[p.Nodes[n].ID] = answer
				got := answerer(&s, uint16(n))
				require.Equal(t, oracle(p, shards, answers), got, "%s\n%s", p, &s)
				require.True(t, before == Pending || before == got, "%s after %s", got, before)
				require.Equal(t, got, s.Fail(uint16(n)), "a second answer counts")
				require.Equal(t, got == Done, s.Why() == "")
			}
			outcomes[s.Outcome()]++
		}
	}
	require.Zero(t, outcomes[Pending])
	require.Greater(t, outcomes[Done], 500)
	require.Greater(t, outcomes[Impossible], 500)
}

// Groups hold the same as the placement, and no two of them are alike.
func TestGroups(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		p := randomPlacement(rng)
		table := New(p)
		seen := map[string]bool{}
		for s := range p.Shards {
			g := table.Group(series.Shard(s))
			whole, _ := p.Replicas(series.Shard(s))
			require.Equal(t, len(whole), table.Whole(g))
			require.Len(t, table.Nodes(g), len(p.Shards[s]))
			for i, n := range table.Nodes(g) {
				require.Equal(t, p.Shards[s][i].Node, p.Nodes[n].ID)
			}
		}
		for g := range table.Groups() {
			_, about, _ := strings.Cut(strings.Split(table.String(), "\n")[g], "): ")
			require.False(t, seen[about], "two groups are %s", about)
			seen[about] = true
		}
	}
}

func TestOneGroupForThreeNodes(t *testing.T) {
	require.Equal(t, 1, New(found(t, 8, 3, fleet(3, 3))).Groups())
	require.Equal(t, 3, New(found(t, 8, 2, fleet(3, 1))).Groups())
}

func TestStateAllocatesNothing(t *testing.T) {
	table := New(moving(t, 8, 3, 6, 3))
	var s State
	allocs := testing.AllocsPerRun(100, func() { write(&s, table) })
	require.Zero(t, allocs)
}

// write goes through one write of all groups.
func write(s *State, t *Table) {
	s.Begin(t)
	for g := range t.Groups() {
		s.Use(uint16(g))
	}
	for n := range t.Placement().Nodes {
		s.Ack(uint16(n))
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		nodes int
		bits  uint8
	}{{3, 8}, {10, 8}, {100, 12}} {
		b.Run(fmt.Sprintf("%dx%d", c.nodes, 1<<c.bits), func(b *testing.B) {
			table := New(found(b, c.bits, 3, fleet(c.nodes, 3)))
			var s State
			b.ReportAllocs()
			for b.Loop() {
				write(&s, table)
			}
			b.ReportMetric(float64(table.Groups()), "groups")
		})
	}
}
