package placement

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/barograph-db/barograph/storage/series"
)

// Target returns where the replicas of each shard are to be in the end: by shard, IDs in order.
// doc.go tells how it is found. Without an active node it is empty.
func (p *Placement) Target() [][]NodeID {
	b := newBoard(p)
	if b.replicas > 0 {
		b.trim()
		b.fill()
		b.balance()
	}
	out := make([][]NodeID, len(b.held))
	for s, held := range b.held {
		for _, n := range held {
			out[s] = append(out[s], b.ids[n])
		}
		slices.SortFunc(out[s], NodeID.Compare)
	}
	return out
}

// board is a target in the making. Nodes are known by their place in ids.
type board struct {
	replicas int // of each shard
	ids      []NodeID
	zoneOf   []int
	zones    []zone
	held     [][]int // by shard
	on       [][]int // by node, shards
	quota    []int   // by node
	seeds    []uint64
}

// newBoard has the active nodes, and what they hold once the moves under way have ended.
func newBoard(p *Placement) *board {
	b := &board{replicas: p.wanted(), held: make([][]int, len(p.Shards))}
	places := map[NodeID]int{}
	byName := map[string]int{}
	var weights []uint64
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.State != Active {
			continue
		}
		z, known := byName[n.Zone]
		if !known {
			z = len(b.zones)
			byName[n.Zone] = z
			b.zones = append(b.zones, zone{name: n.Zone})
		}
		places[n.ID] = len(b.ids)
		b.zones[z].nodes = append(b.zones[z].nodes, len(b.ids))
		b.zones[z].weight += uint64(n.Weight)
		weights = append(weights, uint64(n.Weight))
		b.ids = append(b.ids, n.ID)
		b.zoneOf = append(b.zoneOf, z)
		b.seeds = append(b.seeds, xxhash.Sum64(n.ID[:]))
	}
	b.on = make([][]int, len(b.ids))
	for s := range p.Shards {
		_, filling := p.Replicas(series.Shard(s))
		for _, r := range p.Shards[s] {
			if n, ok := places[r.Node]; ok && (filling == nil || r.Node != filling.For) {
				b.add(s, n)
			}
		}
	}
	b.share(weights)
	return b
}

// share finds how many replicas each node is due.
func (b *board) share(weights []uint64) {
	bound(b.zones, b.replicas)
	shards := len(b.held)
	zones := make([]due, len(b.zones))
	for i := range b.zones {
		z := &b.zones[i]
		zones[i] = due{weight: z.weight, least: shards * z.least, most: shards * z.most}
		for _, n := range z.nodes {
			zones[i].held += len(b.on[n])
		}
	}
	b.quota = make([]int, len(b.ids))
	for i, total := range shares(shards*b.replicas, zones) {
		nodes := make([]due, len(b.zones[i].nodes))
		for j, n := range b.zones[i].nodes {
			nodes[j] = due{weight: weights[n], most: shards, held: len(b.on[n])}
		}
		for j, quota := range shares(total, nodes) {
			b.quota[b.zones[i].nodes[j]] = quota
		}
	}
}

func (b *board) add(shard, node int) {
	b.held[shard] = append(b.held[shard], node)
	b.on[node] = append(b.on[node], shard)
}

func (b *board) remove(shard, node int) {
	without := func(list []int, x int) []int {
		return slices.Delete(list, slices.Index(list, x), slices.Index(list, x)+1)
	}
	b.held[shard] = without(b.held[shard], node)
	b.on[node] = without(b.on[node], shard)
}

// surplus is what a node holds beyond its share.
func (b *board) surplus(node int) int { return len(b.on[node]) - b.quota[node] }

// inZone counts a shard's replicas in a zone.
func (b *board) inZone(shard, zone int) int {
	n := 0
	for _, node := range b.held[shard] {
		if b.zoneOf[node] == zone {
			n++
		}
	}
	return n
}

// score orders nodes that are equally good for a shard.
func (b *board) score(shard, node int) uint64 {
	var buf [16]byte
	binary.LittleEndian.PutUint64(buf[:], b.seeds[node])
	binary.LittleEndian.PutUint64(buf[8:], uint64(shard))
	return xxhash.Sum64(buf[:])
}

// trim takes away what is too much, in a zone or in all, from who has the largest surplus.
func (b *board) trim() {
	for s := range b.held {
		for z := range b.zones {
			for b.inZone(s, z) > b.zones[z].most {
				b.remove(s, b.fullest(s, func(n int) bool { return b.zoneOf[n] == z }))
			}
		}
		for len(b.held[s]) > b.replicas {
			b.remove(s, b.fullest(s, func(n int) bool {
				return b.inZone(s, b.zoneOf[n]) > b.zones[b.zoneOf[n]].least
			}))
		}
	}
}

// fullest is the one of a shard's nodes with the largest surplus.
func (b *board) fullest(shard int, among func(int) bool) int {
	best := -1
	for _, n := range b.held[shard] {
		if among(n) && (best < 0 || b.surplus(n) > b.surplus(best) ||
			b.surplus(n) == b.surplus(best) && b.score(shard, n) < b.score(shard, best)) {
			best = n
		}
	}
	return best
}

// fill gives each shard the replicas that it lacks: first in zones that must have one.
func (b *board) fill() {
	for s := range b.held {
		for z := range b.zones {
			for b.inZone(s, z) < b.zones[z].least {
				b.makeRoom(s)
				b.add(s, b.emptiest(s, func(n int) bool { return b.zoneOf[n] == z }))
			}
		}
		for len(b.held[s]) < b.replicas {
			b.add(s, b.emptiest(s, func(n int) bool {
				return b.inZone(s, b.zoneOf[n]) < b.zones[b.zoneOf[n]].most
			}))
		}
	}
}

// makeRoom takes a replica of a full shard from a zone that can do with fewer.
func (b *board) makeRoom(shard int) {
	if len(b.held[shard]) == b.replicas {
		b.remove(shard, b.fullest(shard, func(n int) bool {
			return b.inZone(shard, b.zoneOf[n]) > b.zones[b.zoneOf[n]].least
		}))
	}
}

// emptiest is the node without the shard that has most of its share open.
func (b *board) emptiest(shard int, among func(int) bool) int {
	best, bestScore := -1, uint64(0)
	for n := range b.ids {
		if best >= 0 && b.surplus(n) > b.surplus(best) || slices.Contains(b.held[shard], n) || !among(n) {
			continue
		}
		score := b.score(shard, n)
		if best < 0 || b.surplus(n) < b.surplus(best) || score > bestScore {
			best, bestScore = n, score
		}
	}
	return best
}
