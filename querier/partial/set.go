package partial

import (
	"cmp"
	"slices"

	"github.com/barograph-db/barograph/storage/series"
)

// Set is what an aggregation has come to over some of the series: a column for each group.
type Set struct {
	Aggregate
	Groups []GroupColumn
}

// GroupColumn is a group's labels and its column.
type GroupColumn struct {
	Labels series.Labels
	// First is the fingerprint of the first of its series that has a value.
	First  series.Fingerprint
	Column *Column
}

// Detach makes all labels the set's own, so that the series may go.
func (s *Set) Detach() {
	for i := range s.Groups {
		g := &s.Groups[i]
		g.Labels = slices.Clone(g.Labels)
		for j, ls := range g.Column.members {
			g.Column.members[j] = slices.Clone(ls)
		}
	}
}

// Merge merges sets, the series of each after those of the one before, into the first. Groups come
// in the order of their first series. It returns false where a column refuses, or where the sets are
// not of one aggregation. The sets are not to be used any more.
func Merge(sets ...*Set) (*Set, bool) {
	into := sets[0]
	if len(sets) == 1 {
		return into, true
	}
	index := make(map[string]int, len(into.Groups))
	for i, g := range into.Groups {
		index[string(g.Labels)] = i
	}
	for _, s := range sets[1:] {
		if s.Op != into.Op || s.Steps != into.Steps || !slices.EqualFunc(s.Params, into.Params, same) {
			return nil, false
		}
		for _, g := range s.Groups {
			i, ok := index[string(g.Labels)]
			if !ok {
				index[string(g.Labels)] = len(into.Groups)
				into.Groups = append(into.Groups, g)
				continue
			}
			has := &into.Groups[i]
			if has.First = min(has.First, g.First); !has.Column.Merge(g.Column) {
				return nil, false
			}
		}
	}
	slices.SortStableFunc(into.Groups, func(a, b GroupColumn) int { return cmp.Compare(a.First, b.First) })
	return into, true
}

// same reports whether a and b are the same number, or both none.
func same(a, b float64) bool { return a == b || a != a && b != b }
