package placement

import (
	"math/bits"
	"slices"
)

// balance passes shards on from nodes with more than their share to nodes with less, along the
// shortest ways, until there are none.
//
// A way exists as long as shares are not kept, since shares respect the bounds of zones; each way
// makes the sum of surpluses smaller by one.
func (b *board) balance() {
	for {
		way := b.way()
		if way == nil {
			return
		}
		for _, pass := range way {
			b.remove(pass.shard, pass.from)
			b.add(pass.shard, pass.to)
		}
	}
}

// pass moves a replica from one node to another.
type pass struct{ shard, from, to int }

// way finds the shortest sequence of passes from a node with a surplus to one that lacks some.
// Each node's shards are seen once, and a shard offers itself to all nodes that no way has reached.
func (b *board) way() []pass {
	reached := make([]pass, len(b.ids)) // how, with from -1 for the beginnings
	fresh := newBits(len(b.ids))
	var queue []int
	for n := range b.ids {
		if b.surplus(n) > 0 {
			reached[n] = pass{from: -1}
			queue = append(queue, n)
		} else {
			fresh.set(n)
		}
	}
	slices.SortStableFunc(queue, func(x, y int) int { return b.surplus(y) - b.surplus(x) })
	for at := 0; at < len(queue); at++ {
		from := queue[at]
		for _, s := range b.on[from] {
			lacks := -1
			for to := range fresh.all() {
				if !b.mayPass(s, from, to) {
					continue
				}
				reached[to] = pass{shard: s, from: from, to: to}
				fresh.clear(to)
				queue = append(queue, to)
				if b.surplus(to) < 0 && (lacks < 0 || b.surplus(to) < b.surplus(lacks)) {
					lacks = to
				}
			}
			if lacks >= 0 {
				return follow(reached, lacks)
			}
		}
	}
	return nil
}

// follow returns the passes that lead to a node. A shard may be in several of them: then each leaves
// the zones as they are for the others, or the first node could have passed it on to the last.
func follow(reached []pass, at int) []pass {
	var way []pass
	for ; reached[at].from >= 0; at = reached[at].from {
		way = append(way, reached[at])
	}
	slices.Reverse(way)
	return way
}

// mayPass reports whether the shard may be on one node instead of another.
func (b *board) mayPass(shard, from, to int) bool {
	if slices.Contains(b.held[shard], to) {
		return false
	}
	zf, zt := b.zoneOf[from], b.zoneOf[to]
	return zf == zt || b.inZone(shard, zf) > b.zones[zf].least && b.inZone(shard, zt) < b.zones[zt].most
}

// bitmap is a set of nodes.
type bitmap []uint64

func newBits(n int) bitmap { return make(bitmap, (n+63)/64) }

func (m bitmap) set(i int)   { m[i/64] |= 1 << (i % 64) }
func (m bitmap) clear(i int) { m[i/64] &^= 1 << (i % 64) }

// all yields the members; those that are cleared meanwhile may still come.
func (m bitmap) all() func(func(int) bool) {
	return func(yield func(int) bool) {
		for w := range m {
			for word := m[w]; word != 0; word &= word - 1 {
				if !yield(w*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}
