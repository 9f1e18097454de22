package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/barograph-db/barograph/storage/series"
)

// maxCuts is how many gaps of a replica the times of one query are cut at. Where it has more, what
// lies between the first and the last of them counts as one.
const maxCuts = 8

// layer lays shards, one after the other, over nodes.
type layer struct {
	*layout
	mint, maxt int64
	out        []bool  // By node: it is not to be asked.
	gaps       [][]Gap // By node: those that lie in the times.
	load       []int   // By node: shards that it has been given.
	all        []replica

	parts   []Part
	simple  []int // By node: 1 + its part of all times that is not merged.
	byPart  map[partKey]int
	missing []Missing
	byMiss  map[missKey]int
}

type partKey struct {
	node       int
	mint, maxt int64
	merged     bool
}

type missKey struct {
	mint, maxt int64
	why        string
}

// replica is one that can be asked, with its gaps in the times: in order and apart from each other.
type replica struct {
	node int
	gaps []stretch
	// forgot are those of its gaps in which it lacks also what it acknowledged. Where a quorum is counted, it
	// is as if the replica were not there.
	forgot []stretch
}

type stretch struct{ mint, maxt int64 }

// lay lays out shards, nil being all of them, for some times.
func (l *layout) lay(mint, maxt int64, shards *series.ShardSet, without []Node) ([]Part, []Missing) {
	y := &layer{
		layout: l, mint: mint, maxt: maxt,
		out: make([]bool, len(l.alive)), gaps: make([][]Gap, len(l.alive)), load: make([]int, len(l.alive)),
		simple: make([]int, len(l.alive)),
		byPart: map[partKey]int{}, byMiss: map[missKey]int{},
	}
	for i := range l.alive {
		y.out[i] = !l.alive[i]
		for _, g := range l.gaps[i] {
			if g.Mint <= maxt && mint <= g.Maxt {
				y.gaps[i] = append(y.gaps[i], g)
			}
		}
	}
	for _, n := range without {
		if i, ok := l.place[n.ID]; ok {
			y.out[i] = true
		}
	}
	for s := range l.placement.Shards {
		if shard := series.Shard(s); shards.Has(first(shard, l.placement.Bits)) {
			y.shard(shard)
		}
	}
	return y.parts, y.missing
}

func (y *layer) shard(s series.Shard) {
	all := y.all[:0]
	for _, i := range y.whole[s] {
		if !y.out[i] {
			all = append(all, replica{node: int(i), gaps: y.gapsOf(int(i), s, false), forgot: y.gapsOf(int(i), s, true)})
		}
	}
	y.all = all
	enough := y.placement.Enough(s)
	switch {
	case len(all) == 0:
		y.miss(s, y.mint, y.maxt, "no replica can be reached")
		return
	case enough == 1: // Each has all that was acknowledged, whatever it lacks, but what it had and lost.
		for i := range all {
			all[i].gaps = all[i].forgot
		}
	}
	times := stretch{y.mint, y.maxt}
	if node := y.pick(all, times, -1); node >= 0 {
		y.add(s, node, times, false)
		return
	}
	last := -1
	for _, t := range y.cut(all) {
		var node int
		if node = y.pick(all, t, last); node >= 0 {
			y.add(s, node, t, false)
		} else {
			kept := 0 // have what they acknowledged
			for _, r := range all {
				y.add(s, r.node, t, len(all) > 1)
				if free(r.forgot, t) {
					kept++
				}
			}
			switch {
			case kept >= enough:
			case kept < len(all):
				y.miss(s, t.mint, t.maxt, fmt.Sprintf("replicas that can be reached have lost samples, %d that have not would do", enough))
			default:
				y.miss(s, t.mint, t.maxt, fmt.Sprintf("the replicas that can be reached have gaps, %d of them would do", enough))
			}
		}
		last = node
	}
}

// gapsOf returns the gaps of a replica within the times, or those alone in which it forgot something.
func (y *layer) gapsOf(node int, s series.Shard, forgot bool) []stretch {
	var gaps []stretch
	for _, g := range y.gaps[node] {
		if g.Shards.Has(first(s, y.placement.Bits)) && (g.Forgot || !forgot) {
			gaps = append(gaps, stretch{max(g.Mint, y.mint), min(g.Maxt, y.maxt)})
		}
	}
	slices.SortFunc(gaps, func(a, b stretch) int { return cmp.Compare(a.mint, b.mint) })
	joined := gaps[:0]
	for _, g := range gaps {
		if n := len(joined); n > 0 && g.mint <= joined[n-1].maxt {
			joined[n-1].maxt = max(joined[n-1].maxt, g.maxt)
		} else {
			joined = append(joined, g)
		}
	}
	if n := len(joined); n > maxCuts {
		joined = []stretch{{joined[0].mint, joined[n-1].maxt}}
	}
	return joined
}

// cut returns the stretches of the times in each of which every replica has a gap or has none.
// Neighbours for which the same can be read are one.
func (y *layer) cut(all []replica) []stretch {
	begins := []int64{y.mint}
	for _, r := range all {
		for _, g := range r.gaps {
			begins = append(begins, g.mint)
			if g.maxt < y.maxt {
				begins = append(begins, g.maxt+1)
			}
		}
	}
	slices.Sort(begins)
	begins = slices.Compact(begins)
	out := make([]stretch, len(begins))
	for i, b := range begins {
		out[i] = stretch{b, y.maxt}
		if i > 0 {
			out[i-1].maxt = b - 1
		}
	}
	return join(all, out)
}

// join makes one of neighbours for as long as some replica has no gap in both, or none has in either.
func join(all []replica, cuts []stretch) []stretch {
	any := func(t stretch) bool { return slices.ContainsFunc(all, func(r replica) bool { return r.has(t) }) }
	out := cuts[:1]
	for _, t := range cuts[1:] {
		before := &out[len(out)-1]
		if both := (stretch{before.mint, t.maxt}); any(both) || !any(*before) && !any(t) {
			*before = both
		} else {
			out = append(out, t)
		}
	}
	return out
}

// has reports whether the replica has no gap in the stretch.
func (r *replica) has(t stretch) bool { return free(r.gaps, t) }

// free reports whether none of the gaps reaches into the stretch.
func free(gaps []stretch, t stretch) bool {
	return !slices.ContainsFunc(gaps, func(g stretch) bool { return g.mint <= t.maxt && t.mint <= g.maxt })
}

// pick returns which of the replicas without a gap is to read the stretch, -1 if each has one. It is
// this node if it can be, then the one that read the stretch before, then the one with the least to
// do for its weight.
func (y *layer) pick(all []replica, t stretch, last int) int {
	best := -1
	for _, r := range all {
		switch {
		case !r.has(t):
		case r.node == y.self || best < 0:
			best = r.node
		case best == y.self || best == last:
		case r.node == last || y.busy(r.node) < y.busy(best):
			best = r.node
		}
	}
	return best
}

// busy is how much a node has to do with one more shard, relative to its weight.
func (y *layer) busy(node int) float64 {
	return float64(y.load[node]+1) / float64(y.placement.Nodes[node].Weight)
}

func (y *layer) add(s series.Shard, node int, t stretch, merged bool) {
	y.load[node]++
	simple := !merged && t.mint == y.mint && t.maxt == y.maxt
	if simple && y.simple[node] > 0 {
		y.parts[y.simple[node]-1].Shards.Add(s)
		return
	}
	key := partKey{node, t.mint, t.maxt, merged}
	i, ok := y.byPart[key]
	if !ok {
		i = len(y.parts)
		if y.byPart[key] = i; simple {
			y.simple[node] = i + 1
		}
		n := &y.placement.Nodes[node]
		y.parts = append(y.parts, Part{
			Node: Node{ID: n.ID, Name: n.Name, Zone: n.Zone}, Shards: &series.ShardSet{Bits: y.placement.Bits},
			Mint: t.mint, Maxt: t.maxt, Merged: merged,
		})
	}
	y.parts[i].Shards.Add(s)
}

func (y *layer) miss(s series.Shard, mint, maxt int64, why string) {
	key := missKey{mint, maxt, why}
	i, ok := y.byMiss[key]
	if !ok {
		i = len(y.missing)
		y.byMiss[key] = i
		y.missing = append(y.missing, Missing{
			Shards: &series.ShardSet{Bits: y.placement.Bits}, Mint: mint, Maxt: maxt, Why: why,
		})
	}
	y.missing[i].Shards.Add(s)
}
