package router

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// errForgotten says that a series went away while its samples were on their way.
var errForgotten = errors.New("a series was forgotten twice while its samples were written")

// own exchanges references of the router for those of this node's store.
type own struct {
	frame   frame.Frame // of local refs; its Refs, Histograms and Exemplars are memory of this
	missing []series.Ref
}

func (o *own) clear() {
	clear(o.frame.Histograms)
	clear(o.frame.Exemplars)
	o.frame = frame.Frame{Refs: o.frame.Refs[:0], Histograms: o.frame.Histograms[:0], Exemplars: o.frame.Exemplars[:0]}
}

// append writes f, of router refs, to the local store. Series that the store does not know (any more)
// are looked up there first; once more when it says so only then.
func (o *own) append(ctx context.Context, r *Router, f *frame.Frame) ([]frame.Rejected, error) {
	rejected, err := o.once(ctx, r, f)
	if err != nil {
		return nil, err
	}
	var lost []int
	for _, x := range rejected {
		if x.Reason == frame.UnknownRef {
			lost = append(lost, x.Index)
		}
	}
	if len(lost) == 0 {
		return rejected, nil
	}
	slices.Sort(lost)
	r.metrics.lost.Add(float64(len(lost)))
	rest := subset(f, lost)
	for _, ref := range refsOf(nil, rest) {
		r.table.setLocal(ref, 0)
	}
	again, err := o.once(ctx, r, rest)
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(slices.Clone(rejected), func(x frame.Rejected) bool { return x.Reason == frame.UnknownRef })
	for _, x := range again {
		if x.Reason == frame.UnknownRef {
			return nil, errForgotten
		}
		all = append(all, frame.Rejected{Index: lost[x.Index], Reason: x.Reason})
	}
	return all, nil
}

// once exchanges the references and appends.
func (o *own) once(ctx context.Context, r *Router, f *frame.Frame) ([]frame.Rejected, error) {
	if !o.exchange(r.table, f) {
		if err := o.learn(ctx, r, f); err != nil {
			return nil, err
		}
		if !o.exchange(r.table, f) {
			return nil, errForgotten
		}
	}
	return r.opts.Local.Append(ctx, &o.frame)
}

// exchange fills o.frame with what f has, by local refs. It reports whether all are known; those
// that are not are in o.missing.
func (o *own) exchange(t *table, f *frame.Frame) bool {
	refs, hs, es := o.frame.Refs, o.frame.Histograms, o.frame.Exemplars
	o.frame = *f
	o.missing = o.missing[:0]
	pages := *t.pages.Load()
	refs = slices.Grow(refs[:0], len(f.Refs))[:len(f.Refs)]
	for i, ref := range f.Refs {
		refs[i] = o.local(pages, ref)
	}
	hs = append(hs[:0], f.Histograms...)
	for i := range hs {
		hs[i].Ref = o.local(pages, hs[i].Ref)
	}
	es = append(es[:0], f.Exemplars...)
	for i := range es {
		es[i].Ref = o.local(pages, es[i].Ref)
	}
	o.frame.Refs, o.frame.Histograms, o.frame.Exemplars = refs, hs, es
	return len(o.missing) == 0
}

// local is the local ref of a series. All refs have been found in the table in this very call of
// Append, so that their pages are there.
func (o *own) local(pages []*page, ref series.Ref) series.Ref {
	n := ref.Index()
	c := &pages[n/pageSeries].cells[n%pageSeries]
	local := series.Ref(c.local.Load())
	if local == 0 || !c.is(ref) {
		o.missing = append(o.missing, ref)
		return 0
	}
	return local
}

// learn asks the local store for the references of what is missing, which creates the series there.
func (o *own) learn(ctx context.Context, r *Router, f *frame.Frame) error {
	slices.Sort(o.missing)
	refs := slices.Compact(o.missing)
	sets := make([]series.Labels, len(refs))
	for i, ref := range refs {
		if sets[i] = r.table.labels(ref); sets[i] == nil {
			return errForgotten
		}
	}
	locals, err := r.opts.Local.Refs(ctx, make([]series.Ref, 0, len(sets)), sets)
	if err != nil {
		return fmt.Errorf("look up series: %w", err)
	}
	for i, ref := range refs {
		r.table.setLocal(ref, locals[i])
	}
	return nil
}

// subset copies some elements of f, by their places in order as Rejected counts them.
func subset(f *frame.Frame, places []int) *frame.Frame {
	var s frame.Frame
	for _, i := range places {
		if i < len(f.Refs) {
			s.Refs, s.Times, s.Values = append(s.Refs, f.Refs[i]), append(s.Times, f.Times[i]), append(s.Values, f.Values[i])
			if len(f.Starts) > 0 {
				s.Starts = append(s.Starts, f.Starts[i])
			}
		} else if i -= len(f.Refs); i < len(f.Histograms) {
			s.Histograms = append(s.Histograms, f.Histograms[i])
		} else {
			s.Exemplars = append(s.Exemplars, f.Exemplars[i-len(f.Histograms)])
		}
	}
	return &s
}

// refsOf appends the references in f to dst.
func refsOf(dst []series.Ref, f *frame.Frame) []series.Ref {
	dst = append(dst, f.Refs...)
	for i := range f.Histograms {
		dst = append(dst, f.Histograms[i].Ref)
	}
	for i := range f.Exemplars {
		dst = append(dst, f.Exemplars[i].Ref)
	}
	return dst
}
