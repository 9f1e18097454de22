package eval

import (
	"sync"

	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/querier/partial"
)

// slab is memory for the points of many series.
type slab [32 << 10]promql.FPoint

// pointBytes is what a point takes.
const pointBytes = 16

var slabs = sync.Pool{New: func() any { return new(slab) }}

func release(list []*slab) {
	for _, s := range list {
		slabs.Put(s)
	}
}

// points turns values into points, which lie in slabs. It is for one goroutine.
type points struct {
	slabs []*slab
	free  []promql.FPoint // of the last slab
}

// draw makes points of the values of a series.
func (p *points) draw(s *Series, g Grid) {
	for i, h := range s.Histograms {
		if h != nil {
			s.HPoints = append(s.HPoints, promql.HPoint{T: g.Start + int64(i)*g.Step, H: h})
			s.Floats[i] = partial.Absent
		}
	}
	s.Points = p.add(s.Floats, g)
	s.Values = partial.Values{}
}

// add returns the points of the values that are there.
func (p *points) add(values []float64, g Grid) []promql.FPoint {
	out := p.room(len(values))
	for i, v := range values {
		if !partial.IsAbsent(v) {
			out = append(out, promql.FPoint{T: g.Start + int64(i)*g.Step, F: v})
		}
	}
	if len(p.free) >= len(out) {
		p.free = p.free[len(out):]
	}
	return out[:len(out):len(out)]
}

// room returns an empty slice with room for n points.
func (p *points) room(n int) []promql.FPoint {
	if n > len(slab{}) {
		p.free = nil
		return make([]promql.FPoint, 0, n)
	}
	if n > len(p.free) {
		s := slabs.Get().(*slab)
		p.slabs, p.free = append(p.slabs, s), s[:]
	}
	return p.free[:0]
}
