package assign

import (
	"cmp"
	"slices"

	"github.com/barograph-db/barograph/ruler/rules"
)

// Member is a node.
type Member struct {
	ID      string
	Alive   bool
	Stalled bool // it owns groups that are due and evaluates none
	Leading bool
}

// Group is one that is to be evaluated.
type Group struct {
	Key   rules.Key
	Owner string  // "" if it has none
	Load  float64 // how much of a node's time its evaluations take, 1 being all of it
}

const (
	// Capacity is the load that a node carries before others take part.
	Capacity = 0.5
	// uneven is how much more than the mean a node carries before groups move for that.
	uneven = 1.3
)

// Change gives a group to a node.
type Change struct {
	Key   rules.Key
	Owner string
}

// Next returns the groups that are to have another owner, in the order of their keys. Loads are made even only
// where that is asked for: they are measured, and take a while to show what a change has done to them.
func Next(groups []Group, members []Member, even bool) []Change {
	able := able(members)
	if len(able) == 0 {
		return nil
	}
	p := plan{owners: make([]int, len(groups)), groups: groups, loads: make([]float64, len(able)), able: able}
	var orphans []int
	total := 0.0
	for i, g := range groups {
		total += g.Load
		p.owners[i] = slices.IndexFunc(able, func(m Member) bool { return m.ID == g.Owner })
		if p.owners[i] < 0 {
			orphans = append(orphans, i)
			continue
		}
		p.loads[p.owners[i]] += g.Load
	}
	// The largest first, so that the small ones even out what remains.
	slices.SortStableFunc(orphans, func(a, b int) int { return cmp.Compare(groups[b].Load, groups[a].Load) })
	for _, i := range orphans {
		if total <= Capacity {
			p.give(i, p.main())
		} else {
			p.give(i, p.least())
		}
	}
	if even {
		p.even(total)
	}
	return p.changes()
}

// able returns those who can evaluate: the living, without those that stall unless all do.
func able(members []Member) []Member {
	alive := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return !m.Alive })
	well := slices.DeleteFunc(slices.Clone(alive), func(m Member) bool { return m.Stalled })
	if len(well) == 0 {
		well = alive
	}
	slices.SortFunc(well, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return well
}

type plan struct {
	groups []Group
	owners []int // of the groups, by their place in able
	able   []Member
	loads  []float64
}

func (p *plan) give(group, to int) {
	if from := p.owners[group]; from >= 0 {
		p.loads[from] -= p.groups[group].Load
	}
	p.owners[group] = to
	p.loads[to] += p.groups[group].Load
}

// main is the node that has most groups, or the leader if none has any.
func (p *plan) main() int {
	counts := make([]int, len(p.able))
	for _, o := range p.owners {
		if o >= 0 {
			counts[o]++
		}
	}
	best := 0
	for i, m := range p.able {
		if counts[i] > counts[best] || counts[i] == counts[best] && m.Leading {
			best = i
		}
	}
	return best
}

func (p *plan) least() int { return slices.Index(p.loads, slices.Min(p.loads)) }
func (p *plan) most() int  { return slices.Index(p.loads, slices.Max(p.loads)) }

// even moves groups from those who carry too much, each time the largest that makes it more even.
func (p *plan) even(total float64) {
	mean := total / float64(len(p.able))
	for range p.groups {
		from, to := p.most(), p.least()
		if p.loads[from] <= Capacity || p.loads[from] <= uneven*mean {
			return
		}
		best := -1
		for i, o := range p.owners {
			fits := p.groups[i].Load > 0 && p.loads[to]+p.groups[i].Load < p.loads[from]
			if o == from && fits && (best < 0 || p.groups[i].Load > p.groups[best].Load) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		p.give(best, to)
	}
}

func (p *plan) changes() []Change {
	var out []Change
	for i, g := range p.groups {
		if owner := p.able[p.owners[i]].ID; owner != g.Owner {
			out = append(out, Change{Key: g.Key, Owner: owner})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return a.Key.Compare(b.Key) })
	return out
}
