package eval

import (
	"slices"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// input is a series that was selected.
type input struct {
	labels series.Labels
	chunks []chunk.Chunk
	sides  [2]int32 // Without chunks: the series of each side of a join.
	group  int32
	points int32 // Once evaluated: the steps with a value before operations with numbers.
	kept   bool  // Some are left after these.
	mixed  bool  // Some chunks have histograms.
	floats bool  // Some of the steps have floats.
}

// inputs are all series of a selection and the groups that they belong to. Without an aggregation
// each series is a group.
type inputs struct {
	list   []input
	groups []series.Labels // the labels of results
	most   int             // samples of the largest series
	bytes  int64           // of their chunks
	named  bool            // All have the same name.

	dropped series.Labels // the labels that are dropped of the first, nil if none are
	differ  bool          // Others have others.
}

// inputBytes is what a series takes here, beside what the selection took for it; groupBytes the
// same for a group.
const (
	inputBytes = 80
	groupBytes = 128
)

// gather reads the set to its end.
func (x *Expr) gather(set chunk.SeriesSet, p *Params) (*inputs, error) {
	in, want := &inputs{}, x.want(p)
	g := grouper{expr: x, index: map[string]int32{}}
	for set.Next() {
		s := set.At()
		if err := p.Hold(s); err != nil {
			return nil, err
		}
		before := len(g.groups)
		i := g.group(s.Labels)
		bytes := int64(inputBytes)
		if len(g.groups) > before {
			bytes += groupBytes + 2*int64(len(g.groups[i]))
		}
		if err := p.Take(bytes); err != nil {
			return nil, err
		}
		samples, mixed := 0, false
		for i := range s.Chunks {
			c := &s.Chunks[i]
			if !want.skips(c) && !want.reads(c) {
				if mixed = want.histograms && hasHistograms(c); !mixed {
					return nil, ErrFallback
				}
			}
			samples += c.Samples
			in.bytes += int64(len(c.Data))
		}
		if mixed && overlap(s.Chunks) {
			return nil, ErrFallback
		}
		in.most = max(in.most, samples)
		in.list = append(in.list, input{labels: s.Labels, chunks: s.Chunks, group: i, mixed: mixed})
	}
	in.groups, in.named = g.groups, g.seen && !g.ambiguous
	in.dropped, in.differ = g.meta, g.ambiguous
	if g.ambiguous && hasTwins(in.list, reserved[[]byte]) {
		return nil, ErrFallback
	}
	return in, set.Err()
}

// grouper numbers groups by their labels, in the order in which they come.
type grouper struct {
	expr   *Expr
	index  map[string]int32
	groups []series.Labels
	key    series.Labels
	space  series.Labels // for the labels of groups

	meta, scratch series.Labels // the reserved labels of the first series
	seen          bool
	ambiguous     bool // Series may become the same without these.
}

func (g *grouper) group(ls series.Labels) int32 {
	x := g.expr
	if x.dropsName() && !x.mode.DelayedNames && !g.ambiguous {
		g.scratch = appendReserved(g.scratch[:0], ls)
		if !g.seen {
			g.meta, g.seen = append(series.Labels{}, g.scratch...), true
		}
		g.ambiguous = string(g.meta) != string(g.scratch)
	}
	if x.op != 0 && !x.without && len(x.grouping) == 0 {
		g.key = g.key[:0]
	} else {
		g.key = x.appendKept(g.key[:0], ls)
	}
	if x.op != 0 {
		if i, ok := g.index[string(g.key)]; ok {
			return i
		}
		g.index[string(g.key)] = int32(len(g.groups))
	}
	const leastSpace, mostSpace = 512, 32 << 10
	if len(g.key) > cap(g.space)-len(g.space) {
		g.space = make(series.Labels, 0, max(min(2*cap(g.space), mostSpace), leastSpace, len(g.key)))
	}
	from := len(g.space)
	g.space = append(g.space, g.key...)
	g.groups = append(g.groups, g.space[from:len(g.space):len(g.space)])
	return int32(len(g.groups) - 1)
}

// appendKept appends the labels that a result keeps of its series.
func (x *Expr) appendKept(dst, ls series.Labels) series.Labels {
	for name, value := range ls.All() {
		if x.keeps(name) {
			dst = series.AppendPair(dst, name, value)
		}
	}
	return dst
}

func (x *Expr) keeps(name []byte) bool {
	if reserved(name) && (x.dropsName() || x.op != 0 && x.without) {
		return false
	}
	if x.op == 0 {
		return true
	}
	listed := slices.ContainsFunc(x.grouping, func(s string) bool { return s == string(name) })
	return listed != x.without
}

func appendReserved(dst, ls series.Labels) series.Labels {
	for name, value := range ls.All() {
		if reserved(name) {
			dst = series.AppendPair(dst, name, value)
		}
	}
	return dst
}

// hasTwins reports whether series differ by nothing but labels that are not to count.
func hasTwins(list []input, ignored func(name []byte) bool) bool {
	seen := make(map[string]struct{}, len(list))
	var key series.Labels
	for _, in := range list {
		key = key[:0]
		for name, value := range in.labels.All() {
			if ignored == nil || !ignored(name) {
				key = series.AppendPair(key, name, value)
			}
		}
		seen[string(key)] = struct{}{}
	}
	return len(seen) < len(list)
}

// byGroup returns the numbers of the series so that those of a group lie side by side, in their
// order.
func (in *inputs) byGroup() []int32 {
	from := make([]int32, len(in.groups)+1)
	for _, s := range in.list {
		from[s.group+1]++
	}
	for i := range in.groups {
		from[i+1] += from[i]
	}
	order := make([]int32, len(in.list))
	for i, s := range in.list {
		order[from[s.group]] = int32(i)
		from[s.group]++
	}
	return order
}
