package cardinality

import (
	"cmp"
	"slices"
)

// Limits bound what is counted; Of gives those that go with a ranking.
type Limits struct {
	// Ranked is how many metrics and labels are kept, Names how many label names.
	Ranked, Names int
}

const (
	// Values is up to how many values of a name are exact.
	Values = 4096
	// Pairs is up to how many labels in all are.
	Pairs = 1 << 16

	leastRanked = 10_000
	leastNames  = 500
)

// Of returns the limits with which a ranking of so many is right, but for what hardly differs.
func Of(ranking int) Limits {
	return Limits{Ranked: max(ranking, leastRanked), Names: max(ranking, leastNames)}
}

// Ranked is one line of a ranking.
type Ranked struct {
	Name  string
	Value uint64
}

// Name is what is known of a label name.
type Name struct {
	Name string
	// Bytes sums the lengths of its values over all series.
	Bytes  uint64
	Values Distinct
}

// Counts are of some series. Rankings are in falling order, then by name.
type Counts struct {
	Series, Chunks uint64
	// MinTime and MaxTime of their samples, in milliseconds; MinTime is above MaxTime when there are none.
	MinTime, MaxTime int64
	Pairs            Distinct
	Metrics          []Ranked
	Labels           []Ranked
	Names            []Name
}

// Merge returns the counts of series that are in one of all each.
func Merge(all []*Counts, l Limits) *Counts {
	if len(all) == 1 {
		return all[0]
	}
	sum := &Counts{Pairs: NewDistinct(Pairs)}
	metrics, labels, names := map[string]uint64{}, map[string]uint64{}, map[string]*Name{}
	for i, c := range all {
		if i == 0 || c.MinTime < sum.MinTime {
			sum.MinTime = c.MinTime
		}
		if i == 0 || c.MaxTime > sum.MaxTime {
			sum.MaxTime = c.MaxTime
		}
		sum.Series += c.Series
		sum.Chunks += c.Chunks
		sum.Pairs.Merge(c.Pairs)
		for _, r := range c.Metrics {
			metrics[r.Name] += r.Value
		}
		for _, r := range c.Labels {
			labels[r.Name] += r.Value
		}
		for _, n := range c.Names {
			if known := names[n.Name]; known != nil {
				known.Bytes += n.Bytes
				known.Values.Merge(n.Values)
			} else {
				names[n.Name] = &n
			}
		}
	}
	sum.Metrics, sum.Labels = ranking(metrics, l.Ranked), ranking(labels, l.Ranked)
	for _, n := range names {
		sum.Names = append(sum.Names, *n)
	}
	sum.Names = RankNames(sum.Names, l.Names)
	return sum
}

func ranking(values map[string]uint64, limit int) []Ranked {
	list := make([]Ranked, 0, len(values))
	for name, value := range values {
		list = append(list, Ranked{name, value})
	}
	return Rank(list, limit)
}

// Rank sorts a list, the largest first, and cuts it.
func Rank(list []Ranked, limit int) []Ranked {
	slices.SortFunc(list, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), limit)]
}

// RankNames sorts names, that with the most values first, and cuts them.
func RankNames(list []Name, limit int) []Name {
	for i := range list {
		list[i].Values.sort()
	}
	slices.SortFunc(list, func(a, b Name) int {
		return cmp.Or(cmp.Compare(b.Values.Count(), a.Values.Count()), cmp.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), limit)]
}

// Top are the largest of a ranking.
func Top(list []Ranked, limit int) []Ranked { return list[:min(len(list), limit)] }

// ByValues ranks the names by how many values they have.
func (c *Counts) ByValues(limit int) []Ranked {
	return c.byName(limit, func(n *Name) uint64 { return n.Values.Count() })
}

// ByBytes ranks the names by the lengths of their values over all series.
func (c *Counts) ByBytes(limit int) []Ranked {
	return c.byName(limit, func(n *Name) uint64 { return n.Bytes })
}

func (c *Counts) byName(limit int, value func(*Name) uint64) []Ranked {
	list := make([]Ranked, len(c.Names))
	for i := range c.Names {
		list[i] = Ranked{c.Names[i].Name, value(&c.Names[i])}
	}
	return Rank(list, limit)
}
