package placement

import (
	"cmp"
	"slices"
)

// zone is the nodes of a zone that may hold replicas, and its bounds for each shard.
type zone struct {
	name        string
	nodes       []int // places in board.ids
	least, most int   // replicas of one shard
	weight      uint64
}

// due is one of those who share: with the weight that its share is by, within bounds, and what it
// holds already, which decides about odd ones.
type due struct {
	weight      uint64
	least, most int
	held        int
}

// shares splits total between all by weight and within bounds, exactly. The bounds must allow it.
//
// Who is bounded gets its bound and the others split what remains, until nobody is; the fractions
// go to those with the largest, and of like ones to those that hold more.
func shares(total int, all []due) []int {
	out := make([]int, len(all))
	open := make([]int, len(all))
	for i := range open {
		open[i] = i
	}
	for len(open) > 0 {
		weights := uint64(0)
		for _, i := range open {
			weights += all[i].weight
		}
		// Of those below their least and those above their most, the ones with the larger sum are
		// bounded first: bounding the others could turn out to be wrong afterwards.
		var low, high []int
		under, over := 0.0, 0.0
		for _, i := range open {
			share := float64(total) * float64(all[i].weight) / float64(weights)
			if d := float64(all[i].least) - share; d > 0 {
				low, under = append(low, i), under+d
			} else if d := share - float64(all[i].most); d > 0 {
				high, over = append(high, i), over+d
			}
		}
		bounded, bound := low, func(i int) int { return all[i].least }
		if over > under || len(low) == 0 {
			bounded, bound = high, func(i int) int { return all[i].most }
		}
		if len(bounded) == 0 {
			round(total, weights, all, open, out)
			break
		}
		for _, i := range bounded {
			out[i] = bound(i)
			total -= out[i]
		}
		open = slices.DeleteFunc(open, func(i int) bool { return slices.Contains(bounded, i) })
	}
	return out
}

// round gives the open ones their shares as whole numbers that add up to total.
func round(total int, weights uint64, all []due, open, out []int) {
	rest := total
	remainder := make(map[int]uint64, len(open))
	for _, i := range open {
		product := uint64(total) * all[i].weight
		out[i] = int(product / weights)
		remainder[i] = product % weights
		rest -= out[i]
	}
	order := slices.Clone(open)
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(remainder[b], remainder[a]), cmp.Compare(all[b].held, all[a].held))
	})
	for _, i := range order {
		if rest > 0 && out[i] < all[i].most {
			out[i]++
			rest--
		}
	}
}

// bound sets how many replicas of a shard each zone has: l, or one more, as far as its nodes go.
func bound(zones []zone, replicas int) {
	least := 0
	for fits(zones, least+1) <= replicas && least < replicas {
		least++
	}
	for i := range zones {
		z := &zones[i]
		z.least, z.most = min(least, len(z.nodes)), min(least+1, len(z.nodes))
		if fits(zones, least) == replicas {
			z.most = z.least
		}
	}
}

// fits is how many replicas a shard has with at most so many in each zone.
func fits(zones []zone, each int) int {
	n := 0
	for i := range zones {
		n += min(each, len(zones[i].nodes))
	}
	return n
}
