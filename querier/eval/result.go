package eval

import "github.com/barograph-db/barograph/querier/partial"

// result merges what the workers have done.
func (r *run) result() (*Result, error) {
	var last *done
	finish := func() (ok bool) {
		if ok = true; last != nil {
			r.found[last.group].Values, ok = last.column.Finish()
		}
		return ok
	}
	for _, piece := range r.pieces {
		for i := range piece {
			d := &piece[i]
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
	return r.assemble(), nil
}

// assemble puts results in the order of the first series of each that has a value.
func (r *run) assemble() *Result {
	res := &Result{
		Grid: r.params.Grid, Read: len(r.list), Series: make([]Series, 0, len(r.found)),
		Samples: r.samples.Load(), NewSamples: r.reads.Load(),
	}
	r.annotate(res)
	var to points
	for _, s := range r.list {
		out := r.found[s.group]
		if !s.kept || out.Values == nil && out.Points == nil {
			continue
		}
		r.found[s.group] = Series{} // Once is enough.
		if out.Labels = r.groups[s.group]; r.params.Points && out.Points == nil {
			out.Points, out.Values = to.add(out.Values, res.Grid), nil
		}
		res.Series = append(res.Series, out)
	}
	res.slabs = to.slabs
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
