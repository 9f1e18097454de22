package plan

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

var golden = flag.Bool("golden", false, "rewrite testdata")

func shards(bits uint8, list ...int) *series.ShardSet {
	s := &series.ShardSet{Bits: bits}
	for _, i := range list {
		s.Add(series.Shard(i))
	}
	return s
}

func id(i int) placement.NodeID { return placement.NodeID{14: byte((i + 1) >> 8), 15: byte(i + 1)} }

// region has nodes a, b, c... and 1<<bits shards.
func region(t testing.TB, nodes, factor int, bits uint8) *placement.Placement {
	p := &placement.Placement{Epoch: 7, Bits: bits, Factor: factor}
	for i := range nodes {
		p.Nodes = append(p.Nodes, placement.Node{ID: id(i), Name: string(rune('a' + i)), Weight: 1})
	}
	for s := range 1 << bits {
		var on []placement.Replica
		for i := range factor {
			on = append(on, placement.Replica{Node: id((s + i) % nodes)})
		}
		slices.SortFunc(on, func(a, b placement.Replica) int { return a.Node.Compare(b.Node) })
		p.Shards = append(p.Shards, on)
	}
	require.NoError(t, p.Validate())
	return p
}

// without are all nodes but these.
func without(dead ...int) func(placement.NodeID) bool {
	return func(n placement.NodeID) bool {
		return !slices.ContainsFunc(dead, func(i int) bool { return id(i) == n })
	}
}

const minute = 60_000

func TestGolden(t *testing.T) {
	up := labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")
	job := labels.MustNewMatcher(labels.MatchNotRegexp, "job", `a"b|c`)
	hour := Query{Matchers: []*labels.Matcher{up}, Maxt: 60 * minute}
	single := Single(Node{Name: "self"})
	three := func(factor int, alive func(placement.NodeID) bool, gaps ...Gap) View {
		return NewView(Cluster{Placement: region(t, 3, factor, 4), Self: id(0), Alive: alive, Gaps: gaps})
	}
	weighted := region(t, 4, 3, 4)
	weighted.Nodes[2].Weight = 3
	filling := region(t, 3, 1, 1)
	filling.Shards[1] = append(filling.Shards[1], placement.Replica{Node: id(2), Filling: true, For: id(1)})
	short := region(t, 2, 2, 4)
	short.Short = map[series.Shard]uint8{3: 1}
	half := Gap{Node: id(0), Mint: 30 * minute, Maxt: math.MaxInt64}
	var b strings.Builder
	for _, tc := range []struct {
		what string
		q    Query
		v    View
	}{
		{"alone", Query{[]*labels.Matcher{up}, 1_700_000_000_000, 1_700_000_300_123}, single},
		{"alone, more matchers", Query{[]*labels.Matcher{up, job}, -1, 0}, single},
		{"alone, everything", Query{nil, math.MinInt64, math.MaxInt64}, single},
		{"alone, nothing", Query{[]*labels.Matcher{up}, 2, 1}, single},
		{"one replica", hour, three(1, without())},
		{"two replicas", hour, three(2, without())},
		{"three replicas are all here", hour, three(3, without())},
		{"asked from outside", hour, NewView(Cluster{Placement: region(t, 3, 2, 4), Self: id(9), Alive: without()})},
		{"weights", hour, NewView(Cluster{Placement: weighted, Self: id(9), Alive: without()})},
		{"a filling replica is not read", hour, NewView(Cluster{Placement: filling, Self: id(2), Alive: without()})},
		{"b is dead", hour, three(2, without(1))},
		{"b is dead, and has the only replica", hour, three(1, without(1))},
		{"b and c are dead", hour, three(2, without(1, 2))},
		{"a gap elsewhere in time", hour, three(3, without(), Gap{Node: id(0), Mint: 61 * minute, Maxt: 70 * minute})},
		{"a has a gap", hour, three(3, without(), Gap{Node: id(0), Mint: 10 * minute, Maxt: 20 * minute})},
		{"a has a gap in some shards", hour, three(2, without(), Gap{Node: id(0), Shards: shards(4, 0, 3), Mint: 0, Maxt: 20 * minute})},
		{"all have gaps, one after the other", hour, three(3, without(),
			Gap{Node: id(0), Mint: 10 * minute, Maxt: 20*minute - 1}, Gap{Node: id(1), Mint: 20 * minute, Maxt: 30 * minute},
			Gap{Node: id(2), Mint: 50 * minute, Maxt: 90 * minute})},
		{"all have gaps at once", hour, three(3, without(),
			Gap{Node: id(0), Mint: 10 * minute, Maxt: 20 * minute}, Gap{Node: id(1), Mint: 15 * minute, Maxt: 30 * minute},
			Gap{Node: id(2), Mint: 0, Maxt: 17 * minute})},
		{"two have gaps at once, the other is dead", hour, three(3, without(2),
			Gap{Node: id(0), Mint: 10 * minute, Maxt: 20 * minute}, Gap{Node: id(1), Mint: 15 * minute, Maxt: 30 * minute})},
		{"the only one has a gap", hour, three(1, without(), Gap{Node: id(0), Mint: 10 * minute, Maxt: 20 * minute})},
		{"the last of two has a gap", hour, three(2, without(1), half)},
		{"the last of two has a gap, and may lack what was acknowledged", hour, NewView(Cluster{Placement: short, Self: id(0), Alive: without(1), Gaps: []Gap{half}})},
		{"two have gaps, and either may have what the other lacks", hour, NewView(Cluster{Placement: short, Self: id(0), Alive: without(), Gaps: []Gap{half, {Node: id(1), Maxt: math.MaxInt64}}})},
		{"the last one has a gap", hour, three(3, without(1, 2), Gap{Node: id(0), Mint: 10 * minute, Maxt: 20 * minute})},
		{"the only one forgot something", hour, three(1, without(), Gap{Node: id(0), Mint: 10 * minute, Maxt: 20 * minute, Forgot: true})},
		{"one forgot something, others have it", hour, three(3, without(2), Gap{Node: id(0), Mint: 10 * minute, Maxt: 20 * minute, Forgot: true})},
		{"one forgot what another lacks, and the third is dead", hour, three(3, without(2),
			Gap{Node: id(0), Mint: 10 * minute, Maxt: 20 * minute, Forgot: true}, Gap{Node: id(1), Mint: 15 * minute, Maxt: 30 * minute})},
	} {
		b.WriteString("# " + tc.what + "\n" + Make(tc.q, tc.v).String() + "\n")
	}
	p := Make(hour, three(2, without()))
	parts, missing := p.Instead(p.Parts[1], []Node{p.Parts[1].Node})
	b.WriteString("# instead of " + p.Parts[1].String() + "\n" + Plan{Query: hour, Self: p.Self, Parts: parts, Missing: missing}.String() + "\n")
	parts, missing = p.Instead(p.Parts[1], []Node{p.Parts[1].Node, p.Self})
	b.WriteString("# and of a\n" + Plan{Query: hour, Self: p.Self, Parts: parts, Missing: missing}.String() + "\n")
	const file = "testdata/plans.txt"
	if *golden {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

// world is a random cluster of which it is known which replica has what.
type world struct {
	Cluster
	r *rand.Rand
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 3))}
	nodes := 1 + w.r.IntN(7)
	w.Placement = region(t, nodes, min(nodes, 1+w.r.IntN(5)), uint8(w.r.IntN(6)))
	for s := range w.Placement.Shards {
		if q := w.Placement.Quorum(series.Shard(s)); q > 1 && w.r.IntN(4) == 0 {
			if w.Placement.Short == nil {
				w.Placement.Short = map[series.Shard]uint8{}
			}
			w.Placement.Short[series.Shard(s)] = uint8(1 + w.r.IntN(q-1))
		}
	}
	require.NoError(t, w.Placement.Validate())
	w.Self = id(w.r.IntN(nodes + 1))
	var dead []int
	for i := range nodes {
		if w.r.IntN(3) == 0 {
			dead = append(dead, i)
		}
		for range w.r.IntN(3) * w.r.IntN(8) {
			g := Gap{Node: id(i), Mint: w.r.Int64N(1000)}
			g.Maxt = g.Mint + w.r.Int64N(300)
			if w.r.IntN(2) == 0 {
				g.Shards = shards(w.Placement.Bits, w.r.IntN(len(w.Placement.Shards)), 0)
			}
			w.Gaps = append(w.Gaps, g)
		}
	}
	w.Alive = without(dead...)
	return w
}

func (w *world) alive(n placement.NodeID) bool { return n == w.Self || w.Alive(n) }

func (w *world) hasGap(n placement.NodeID, f series.Fingerprint, at int64) bool {
	return slices.ContainsFunc(w.Gaps, func(g Gap) bool {
		return g.Node == n && g.Mint <= at && at <= g.Maxt && g.Shards.Has(f)
	})
}

// TestRandomWorlds holds plans to what they promise, for single samples.
func TestRandomWorlds(t *testing.T) {
	missed, merged := 0, 0
	for seed := range uint64(400) {
		w := newWorld(t, seed)
		q := Query{Mint: w.r.Int64N(1000)}
		q.Maxt = q.Mint + w.r.Int64N(400)
		p := Make(q, NewView(w.Cluster))
		text := p.String()
		require.Equal(t, text, Make(q, NewView(w.Cluster)).String(), "it is a pure function")
		for range 200 {
			f, at := series.Fingerprint(w.r.Uint64()), q.Mint+w.r.Int64N(q.Maxt-q.Mint+1)
			what := fmt.Sprintf("seed %d: shard %d at %d\n%s", seed, f.Shard(w.Placement.Bits), at, text)
			parts, missing := w.reads(t, p.Parts, f, at), 0
			for _, m := range p.Missing {
				if m.Shards.Has(f) && m.Mint <= at && at <= m.Maxt {
					missing++
				}
			}
			require.LessOrEqual(t, missing, 1, what)
			enough := w.Placement.Enough(f.Shard(w.Placement.Bits))
			switch {
			case len(parts) == 1 && (enough == 1 || !w.hasGap(parts[0].Node.ID, f, at)):
				require.Zero(t, missing, what)
			case missing == 0:
				require.GreaterOrEqual(t, len(parts), enough, what)
				merged++
			default:
				require.Less(t, len(parts), enough, what)
				missed++
			}
		}
	}
	require.Greater(t, missed, 100)
	require.Greater(t, merged, 100)
}

// reads returns the parts that have a sample, of which all are asked of replicas that live.
func (w *world) reads(t *testing.T, all []Part, f series.Fingerprint, at int64) []Part {
	var parts []Part
	seen := map[Node]bool{}
	for _, part := range all {
		if !part.Shards.Has(f) || at < part.Mint || part.Maxt < at {
			continue
		}
		require.False(t, seen[part.Node])
		seen[part.Node] = true
		require.True(t, w.alive(part.Node.ID))
		require.True(t, w.Placement.Holds(f.Shard(w.Placement.Bits), part.Node.ID))
		parts = append(parts, part)
	}
	for _, part := range parts {
		require.Equal(t, len(parts) > 1, part.Merged)
	}
	return parts
}

// TestInstead replaces nodes until none is left.
func TestInstead(t *testing.T) {
	for seed := range uint64(100) {
		w := newWorld(t, seed)
		p := Make(Query{Mint: 100, Maxt: 300}, NewView(w.Cluster))
		for _, part := range p.Parts {
			without := []Node{part.Node}
			for {
				parts, missing := p.Instead(part, without)
				if len(missing) > 0 {
					require.NotEmpty(t, missing[0].Why)
					break
				}
				for range 20 {
					f, at := series.Fingerprint(w.r.Uint64()), part.Mint+w.r.Int64N(part.Maxt-part.Mint+1)
					got := w.reads(t, parts, f, at)
					require.Equal(t, part.Shards.Has(f), len(got) > 0)
					for _, g := range got {
						require.NotContains(t, without, g.Node)
					}
				}
				without = append(without, parts[0].Node)
			}
		}
	}
}

// TestBalance spreads what is not here over the others.
func TestBalance(t *testing.T) {
	p := Make(Query{Maxt: 1}, NewView(Cluster{Placement: region(t, 6, 3, 10), Self: id(9), Alive: without(2)}))
	require.Len(t, p.Parts, 5)
	for _, part := range p.Parts {
		n := 0
		for s := range 1 << 10 {
			if part.Shards.Has(first(series.Shard(s), 10)) {
				n++
			}
		}
		require.InDelta(t, 1024/5, n, 25, part.Node)
	}
}

func BenchmarkMake(b *testing.B) {
	for _, c := range []struct {
		name string
		view View
	}{
		{"alone", Single(Node{Name: "self"})},
		{"100 nodes", NewView(Cluster{Placement: region(b, 100, 3, 12), Self: id(0), Alive: without()})},
		{"1000 nodes", NewView(Cluster{Placement: region(b, 1000, 3, 12), Self: id(0), Alive: without()})},
		{"100 nodes and a gap", NewView(Cluster{Placement: region(b, 100, 3, 12), Self: id(0), Alive: without(), Gaps: []Gap{{Node: id(3), Maxt: 9}}})},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Make(Query{Maxt: 5}, c.view)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	hour := Query{Maxt: 60 * minute}
	v := func(gaps ...Gap) View {
		return NewView(Cluster{Placement: region(t, 4, 3, 4), Self: id(0), Alive: without(3), Gaps: gaps})
	}
	whole, rest := Make(hour, v()).Split()
	require.Len(t, whole.Parts, len(Make(hour, v()).Parts))
	require.Empty(t, rest.Parts)
	p := Make(hour, v(Gap{Node: id(0), Mint: minute, Maxt: 2 * minute}, Gap{Node: id(1), Mint: 3 * minute, Maxt: 4 * minute}))
	whole, rest = p.Split()
	require.NotEmpty(t, whole.Parts)
	require.NotEmpty(t, rest.Parts)
	require.Len(t, p.Parts, len(whole.Parts)+len(rest.Parts))
	for _, part := range whole.Parts {
		require.Equal(t, []int64{0, 60 * minute}, []int64{part.Mint, part.Maxt})
		require.False(t, part.Merged)
	}
}
