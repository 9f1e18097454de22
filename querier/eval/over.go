package eval

import "context"

// Inner returns the expressions that this one is about, and when they are evaluated: both sides of
// an operation between series, or what is in a subquery. They are to be evaluated to values, and
// then Over does the rest. There are none where Run does it all.
func (x *Expr) Inner(p Params) ([]*Expr, Params) {
	p.Points = false
	switch {
	case x.join != nil:
		return x.join.sides, p
	case x.subquery != nil:
		p.PerStep = p.Grid.Steps > 1
		p.Grid = x.innerGrid(p.Grid)
		return []*Expr{x.subquery.inner}, p
	}
	return nil, p
}

// Over evaluates the expression over what its inner ones have been evaluated to. The result refers
// to nothing in these.
func (x *Expr) Over(ctx context.Context, inner []*Result, p Params) (*Result, error) {
	for _, r := range inner {
		p.MaxSamples -= int(r.Count())
	}
	res, err := x.run(ctx, &p, inner, func() (*inputs, error) {
		if x.join != nil {
			return x.pair(inner[0], inner[1], &p)
		}
		return x.members(inner[0], &p)
	})
	if err != nil {
		return nil, err
	}
	res.Read = 0 // Only what was read from outside counts.
	for _, r := range inner {
		res.Annotations.Merge(r.Annotations)
		res.Read += r.Read
	}
	if x.subquery != nil {
		res.steps = x.consume(p.Grid, inner[0])
		res.Samples, res.NewSamples = res.steps.sums()
		return res, nil
	}
	for _, r := range inner {
		res.Samples += r.Samples
		res.NewSamples += r.NewSamples
		if p.PerStep {
			res.steps.add(r.steps)
		}
	}
	return res, nil
}
