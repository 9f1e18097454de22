package eval

import "github.com/barograph-db/barograph/querier/partial"

// result merges what the workers have done. Groups come in the order of the first of their series
// that has a value.
func (r *run) result() (*Result, error) {
	found := make([]done, len(r.groups))
	var last *done
	finish := func() (ok bool) {
		if ok = true; last != nil && last.column != nil {
			found[last.group].values, ok = last.column.Finish()
		}
		return ok
	}
	for _, piece := range r.pieces {
		for i := range piece {
			d := &piece[i]
			if d.column == nil {
				found[d.group] = *d
				continue
			}
			if last != nil && last.group == d.group {
				if !last.column.Merge(d.column) {
					return nil, ErrFallback
				}
				continue
			}
			if !finish() {
				return nil, ErrFallback
			}
			last = d
		}
	}
	if !finish() {
		return nil, ErrFallback
	}
	return r.assemble(found), nil
}

func (r *run) assemble(found []done) *Result {
	res := &Result{
		Grid: r.params.Grid, Read: len(r.list),
		Samples: r.samples.Load(), NewSamples: r.reads.Load(),
	}
	r.annotate(res)
	var to points
	for _, s := range r.list {
		d := &found[s.group]
		if !s.kept || d.values == nil && d.points == nil {
			continue
		}
		out := Series{Labels: r.groups[s.group], Values: d.values, Points: d.points}
		if *d = (done{}); r.params.Points && out.Points == nil { // Once is enough.
			out.Points, out.Values = to.add(out.Values, res.Grid), nil
		}
		res.Series = append(res.Series, out)
	}
	r.writers = append(r.writers, to)
	for _, p := range r.writers {
		res.slabs = append(res.slabs, p.slabs...)
	}
	return res
}

// Total is the number of values that are there.
func (r *Result) Total() int64 {
	n := int64(0)
	for _, s := range r.Series {
		n += int64(len(s.Points))
		for _, v := range s.Values {
			if !partial.IsAbsent(v) {
				n++
			}
		}
	}
	return n
}

// Release gives back the memory of the points, which are not to be used any more.
func (r *Result) Release() {
	release(r.slabs)
	r.slabs = nil
}

func (r *run) release() {
	for _, p := range r.writers {
		release(p.slabs)
	}
}
